// test_intern.c -- equal sequences have one number, whoever asks, and who finds a
// number finds its words (INTERN-1).

#include "hooks/intern.h"

#include <string.h>

#include "support/core.h"
#include "support/fake_os.h"
#include "support/team.h"

static int
end(void **state)
{
    (void)state;
    fake_os_heal();
    pim_intern_forget();
    EXPECT_EQ(pim_intern_bytes(), 0);
    return 0;
}

static uint32_t
intern(pim_interned_kind kind, uint32_t first, unsigned n)
{
    uint32_t words[PIM_INTERN_WORDS];
    for (unsigned i = 0; i < n; i++) {
        words[i] = first + i;
    }
    return pim_intern(kind, words, n);
}

static void
expect_words(uint32_t number, uint32_t first, unsigned n)
{
    unsigned count;
    const uint32_t *words = pim_interned(number, &count);
    EXPECT_EQ(count, n);
    for (unsigned i = 0; i < n; i++) {
        EXPECT_EQ(words[i], first + i);
    }
}

TEST(equal_sequences_have_one_number)
{
    uint32_t text = intern(PIM_TEXT, 5, 3);
    EXPECT_NE(text, 0);
    EXPECT_EQ(intern(PIM_TEXT, 5, 3), text);
    EXPECT_NE(intern(PIM_TEXT, 5, 2), text);
    EXPECT_NE(intern(PIM_TEXT, 6, 3), text);
    EXPECT_NE(intern(PIM_PLACE, 5, 3), text);
    EXPECT_NE(intern(PIM_STACK, 5, 3), intern(PIM_PLACE, 5, 3));
    expect_words(text, 5, 3);
    EXPECT_EQ(pim_interned(text, NULL)[0], 5);
}

TEST(the_longest_fit_and_none_lies_in_two_chunks)
{
    uint32_t numbers[300];
    for (uint32_t i = 0; i < 300; i++) {
        numbers[i] = intern(PIM_STACK, i, PIM_INTERN_WORDS - i % 3);
    }
    for (uint32_t i = 0; i < 300; i++) {
        expect_words(numbers[i], i, PIM_INTERN_WORDS - i % 3);
    }
}

TEST(many_make_the_index_grow_and_stay_what_they_are)
{
    static uint32_t numbers[100000];
    for (uint32_t i = 0; i < 100000; i++) {
        numbers[i] = intern(PIM_PLACE, 3 * i, PIM_PLACE_WORDS);
    }
    for (uint32_t i = 0; i < 100000; i++) {
        EXPECT_EQ(intern(PIM_PLACE, 3 * i, PIM_PLACE_WORDS), numbers[i]);
        expect_words(numbers[i], 3 * i, PIM_PLACE_WORDS);
    }
    EXPECT_GT(pim_intern_bytes(), 100000 * 5 * sizeof(uint32_t));
    pim_intern_forget();
    EXPECT_EQ(pim_intern_bytes(), 0);
    EXPECT_EQ(intern(PIM_PLACE, 0, PIM_PLACE_WORDS), 1); // anew
}

// Each call of the system in turn.
TEST(without_memory_there_is_no_number_and_later_there_is)
{
    unsigned refused = 0;
    for (unsigned nth = 1; nth < 4; nth++) {
        fake_os_fail(FAKE_MAP, nth, true);
        for (uint32_t i = 0; i < 30000; i++) {
            refused += intern(PIM_PLACE, i, PIM_PLACE_WORDS) == 0;
        }
        fake_os_heal();
        for (uint32_t i = 0; i < 30000; i++) {
            uint32_t number = intern(PIM_PLACE, i, PIM_PLACE_WORDS);
            EXPECT_NE(number, 0);
            expect_words(number, i, PIM_PLACE_WORDS);
        }
        pim_intern_forget();
    }
    EXPECT_GT(refused, 0);
}

#define TOGETHER 4000
static uint32_t found[4][TOGETHER];

static void
intern_all(team_member *self)
{
    for (uint32_t i = 0; i < TOGETHER; i++) {
        uint32_t which = self->number % 2 == 0 ? i : TOGETHER - 1 - i;
        uint32_t number = intern(PIM_STACK, which, 1 + which % 30);
        expect_words(number, which, 1 + which % 30); // INTERN-1
        found[self->number][which] = number;
    }
}

TEST(threads_agree)
{
    for (unsigned round = 0; round < TEAM_ROUNDS(20); round++) {
        team t = {.count = 0};
        for (unsigned i = 0; i < 4; i++) {
            team_add(&t, intern_all);
        }
        team_join(&t);
        for (unsigned i = 1; i < 4; i++) {
            EXPECT_EQ(memcmp(found[i], found[0], sizeof(found[0])), 0);
        }
        pim_intern_forget();
    }
}

SUITE(.set_up = core_set_up, .end = end)

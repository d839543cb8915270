// test_outside.c -- the table of records that lie beside no page, against an array
// that knows the truth.

#include "hooks/outside.h"

#include <string.h>

#include "pimalloc/hooks.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/random.h"

#define BLOCKS 20000

static uint32_t truth[BLOCKS]; // 0: not there
static char memory[BLOCKS * 16];

static int
begin(void **state)
{
    (void)state;
    memset(truth, 0, sizeof(truth));
    return 0;
}

static int
end(void **state)
{
    (void)state;
    fake_os_heal();
    pim_outside_forget(PIMALLOC_EACH);
    EXPECT_EQ(pim_outside_bytes(), 0);
    return 0;
}

static const void *
address_of(unsigned i)
{
    return memory + 16 * (size_t)i;
}

static int64_t
interp_of(unsigned i)
{
    return i % 3;
}

static bool
put(unsigned i, uint32_t stack)
{
    pim_traced_block b = {.address = address_of(i),
                          .interp = interp_of(i),
                          .domain = i % 3,
                          .record = {.stack = stack, .bytes = i}};
    pim_record stale;
    bool done = pim_outside_put(&b, &stale);
    EXPECT_EQ(stale.stack, done ? truth[i] : 0);
    truth[i] = done ? stack : truth[i];
    return done;
}

static void
take(unsigned i)
{
    pim_record was = {.stack = 0};
    EXPECT_EQ(pim_outside_take(address_of(i), &was), truth[i] != 0);
    EXPECT_EQ(was.stack, truth[i]);
    truth[i] = 0;
}

static int
count(void *arg, const pim_traced_block *b)
{
    size_t i = (size_t)((const char *)b->address - memory) / 16;
    EXPECT_EQ(b->record.stack, truth[i]);
    EXPECT_EQ(b->record.bytes, i);
    ++*(unsigned *)arg;
    return 0;
}

static void
expect_truth(void)
{
    unsigned there = 0;
    unsigned seen = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        pim_traced_block b;
        there += truth[i] != 0;
        EXPECT_EQ(pim_outside_find(address_of(i), &b), truth[i] != 0);
        EXPECT(truth[i] == 0 || b.record.stack == truth[i]);
    }
    EXPECT_EQ(pim_outside_each(PIMALLOC_EACH, count, &seen), 0);
    EXPECT_EQ(seen, there);
}

TEST(random_puts_and_takes)
{
    random_state random = random_from(1);
    for (unsigned i = 0; i < 200000; i++) {
        // More and more, then fewer and fewer.
        unsigned which = (unsigned)random_below(&random, BLOCKS);
        if (random_below(&random, 200000) > i) {
            EXPECT(put(which, 1 + i));
        } else {
            take(which);
        }
    }
    expect_truth();
}

TEST(the_table_grows_and_shrinks)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        EXPECT(put(i, 1));
    }
    uint64_t most = pim_outside_bytes();
    EXPECT_GE(most, 2 * BLOCKS * sizeof(pim_traced_block));
    for (unsigned i = 0; i < BLOCKS; i++) {
        take(i);
    }
    EXPECT_LE(pim_outside_bytes(), most / 16);
}

TEST(without_memory_it_fills_up_and_then_refuses)
{
    EXPECT(put(0, 1));
    fake_os_fail(FAKE_MAP, 1, true);
    unsigned n = 1;
    while (n < BLOCKS && put(n, 1)) {
        n++;
    }
    EXPECT_GT(n, 900);
    EXPECT_LT(n, 1024); // one place stays free, or look-ups would not end
    expect_truth();
    EXPECT(!put(n, 1));
    fake_os_heal();
    EXPECT(put(n, 1));
    expect_truth();
}

TEST(an_interpreter_s_go_and_the_others_stay)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        EXPECT(put(i, 1 + i));
    }
    pim_outside_forget(1);
    for (unsigned i = 1; i < BLOCKS; i += 3) {
        truth[i] = 0;
    }
    expect_truth();
    pim_outside_ended(2, false);
    for (unsigned i = 2; i < BLOCKS; i += 3) {
        truth[i] = 0;
    }
    expect_truth();
    pim_outside_ended(0, true);
    unsigned seen = 0;
    EXPECT_EQ(pim_outside_each(PIMALLOC_PROCESS, count, &seen), 0);
    EXPECT_EQ(seen, (BLOCKS + 2) / 3);
    seen = 0;
    EXPECT_EQ(pim_outside_each(0, count, &seen), 0);
    EXPECT_EQ(seen, 0);
}

static int
stop_at(void *arg, const pim_traced_block *b)
{
    (void)b;
    return ++*(int *)arg == 3 ? 77 : 0;
}

TEST(a_visit_may_stop_and_marks_are_no_traces)
{
    int seen = 0;
    for (unsigned i = 0; i < 10; i++) {
        EXPECT(put(i, 1));
    }
    EXPECT_EQ(pim_outside_each(PIMALLOC_EACH, stop_at, &seen), 77);
    EXPECT_EQ(seen, 3);
    pim_traced_block mark = {.address = address_of(20),
                             .record = {.is_code = true}};
    pim_record was;
    EXPECT(pim_outside_put(&mark, &was));
    unsigned others = 0;
    EXPECT_EQ(pim_outside_each(PIMALLOC_EACH, count, &others), 0);
    EXPECT_EQ(others, 10);
    EXPECT(pim_outside_mark_code(address_of(3)));
    EXPECT(!pim_outside_mark_code(address_of(30)));
    EXPECT(pim_outside_take(address_of(3), &was) && was.is_code);
    EXPECT(pim_outside_take(address_of(20), &was) && was.is_code);
}

SUITE(.set_up = core_set_up, .begin = begin, .end = end)

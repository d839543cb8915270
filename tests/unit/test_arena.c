// test_arena.c -- units of one arena, and the region that arenas come from.

#include <string.h>

#include "arena/arena.h"
#include "arena/arena_set.h"
#include "support/core.h"
#include "support/fake_os.h"

#define REGION ((size_t)64 << 20)

static pim_arena *arena;

static int
begin(void **state)
{
    (void)state;
    fake_os_start();
    EXPECT_EQ(pim_region_init(REGION), 0);
    arena = pim_region_take("pimalloc:test");
    EXPECT_NOT_NULL(arena);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    pim_region_fini();
    EXPECT_EQ(pim_load_relaxed(&fake.placed_bytes), 0);
    pim_store_relaxed(&fake.taken_to, 0);
    return 0;
}

static unsigned
unit_of(const pim_page *page)
{
    return (unsigned)(page - pim_arena_pages(arena));
}

// --- spans --------------------------------------------------------------------------

// A span whose units are all written to.
static pim_page *
take_span(unsigned units)
{
    pim_page *page = pim_arena_take_span(arena, units, false);
    if (page != NULL) {
        pim_arena_touch(page, 0, units * PIM_UNIT_SIZE);
    }
    return page;
}

TEST(new_arena_is_empty_and_clean)
{
    EXPECT(pim_arena_is_empty(arena));
    EXPECT_EQ(pim_arena_fit(arena), PIM_FIT_16);
    EXPECT_EQ(pim_unit_set_count(&arena->dirty), 0);
    EXPECT_EQ((uintptr_t)pim_arena_start(arena) % PIM_ARENA_SIZE, 0);
    memset(pim_arena_start(arena), 1, PIM_ARENA_SIZE);
}

TEST(spans_are_aligned_to_their_length)
{
    const unsigned lengths[] = {1, 4, 16, 1, 1, 4, 16, 4, 1, 16};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(lengths); i++) {
        pim_page *page = take_span(lengths[i]);
        EXPECT_NOT_NULL(page);
        EXPECT_EQ(unit_of(page) % lengths[i], 0);
        for (unsigned j = 0; j < lengths[i]; j++) {
            EXPECT_EQ(page[j].offset_units, j);
            EXPECT_PTR_EQ(
                pim_page_of(pim_page_start(page) + j * PIM_UNIT_SIZE + 100),
                page);
        }
    }
}

TEST(arena_serves_all_its_units)
{
    const unsigned lengths[] = {1, 4, 16};
    for (unsigned i = 0; i < 3; i++) {
        unsigned spans = PIM_ARENA_UNITS / lengths[i];
        pim_page *pages[PIM_ARENA_UNITS];
        for (unsigned j = 0; j < spans; j++) {
            pages[j] = take_span(lengths[i]);
            EXPECT_NOT_NULL(pages[j]);
        }
        EXPECT_NULL(take_span(1));
        EXPECT_EQ(pim_arena_fit(arena), PIM_FIT_NONE);
        for (unsigned j = 0; j < spans; j++) {
            pim_arena_free_span(arena, pages[j], lengths[i]);
        }
        EXPECT(pim_arena_is_empty(arena));
    }
}

TEST(fit_is_the_longest_span_left)
{
    pim_page *pages[PIM_ARENA_UNITS];
    for (unsigned i = 0; i < PIM_ARENA_UNITS; i++) {
        pages[i] = take_span(1);
    }
    pim_arena_free_span(arena, pages[5], 1);
    EXPECT_EQ(pim_arena_fit(arena), PIM_FIT_1);
    pim_arena_free_span(arena, pages[6], 1);
    pim_arena_free_span(arena, pages[7], 1);
    pim_arena_free_span(arena, pages[8], 1);
    EXPECT_EQ(pim_arena_fit(arena), PIM_FIT_1); // four, but not aligned
    pim_arena_free_span(arena, pages[4], 1);
    EXPECT_EQ(pim_arena_fit(arena), PIM_FIT_4);
    EXPECT_NULL(take_span(16));
    EXPECT_PTR_EQ(take_span(4), pages[4]);
    for (unsigned i = 64; i < 80; i++) {
        pim_arena_free_span(arena, pages[i], 1);
    }
    EXPECT_EQ(pim_arena_fit(arena), PIM_FIT_16);
    EXPECT_PTR_EQ(take_span(16), pages[64]);
}

TEST(spans_of_any_length_begin_at_multiples_of_a_power_of_two)
{
    for (unsigned units = 1; units <= PIM_SPAN_UNITS; units++) {
        unsigned step = 1;
        while (step < units && step < 16) {
            step *= 2;
        }
        pim_page *a = take_span(units);
        pim_page *b = take_span(units);
        EXPECT_EQ(unit_of(a) % step, 0);
        EXPECT_EQ(unit_of(b) % step, 0);
        EXPECT(unit_of(b) >= unit_of(a) + units ||
               unit_of(a) >= unit_of(b) + units);
        EXPECT_EQ(pim_unit_set_count(&arena->free),
                  PIM_ARENA_UNITS - 2 * units);
        EXPECT_EQ(a[units - 1].offset_units, units - 1);
        pim_arena_free_span(arena, a, units);
        pim_arena_free_span(arena, b, units);
        EXPECT(pim_arena_is_empty(arena));
    }
}

TEST(span_is_extended_by_exactly_the_free_units_behind_it)
{
    pim_page *a = take_span(60); // over the word's end
    pim_page *b = take_span(16);
    EXPECT_EQ(unit_of(a), 0);
    EXPECT_EQ(unit_of(b), 64);
    EXPECT(!pim_arena_extend_span(arena, a, 60, 5)); // b's first
    EXPECT_EQ(a[60].offset_units, 0);
    EXPECT(pim_arena_extend_span(arena, a, 60, 4));
    for (unsigned i = 60; i < 64; i++) {
        EXPECT_EQ(a[i].offset_units, i);
    }
    EXPECT(pim_arena_extend_span(arena, b, 16, 48));
    EXPECT(!pim_arena_extend_span(arena, b, 64, 1)); // the arena ends
    EXPECT_EQ(pim_unit_set_count(&arena->free), 0);
    pim_arena_free_span(arena, a + 10, 54); // the end alone
    EXPECT_EQ(pim_unit_set_count(&arena->free), 54);
    EXPECT_EQ(a[10].offset_units, 0);
    EXPECT_EQ(a[9].offset_units, 9);
}

TEST(dense_arena_serves_single_units)
{
    arena->dense = true;
    EXPECT_EQ(pim_arena_fit(arena), PIM_FIT_1);
    while (take_span(1) != NULL) {
    }
    EXPECT_EQ(pim_arena_fit(arena), PIM_FIT_NONE);
}

TEST(dirty_units_are_taken_first)
{
    pim_page *first[20];
    for (unsigned i = 0; i < 20; i++) {
        first[i] = take_span(1);
    }
    pim_arena_free_span(arena, first[17], 1);
    EXPECT_PTR_EQ(take_span(1), first[17]);
    pim_arena_free_span(arena, first[3], 1);
    pim_arena_purge(arena, true); // cold now
    pim_arena_free_span(arena, first[10], 1);
    EXPECT_PTR_EQ(take_span(1), first[10]);
}

// --- giving memory back -----------------------------------------------------------------

TEST(purge_returns_units_idle_for_a_whole_tick)
{
    pim_page *a = take_span(4);
    pim_page *b = take_span(1);
    memset(pim_page_start(a), 5, PIM_UNIT_SIZE);
    pim_arena_free_span(arena, a, 4);
    EXPECT_EQ(pim_arena_purge(arena, false), 0); // seen idle once
    pim_arena_free_span(arena, b, 1);
    EXPECT_EQ(pim_arena_purge(arena, false), 4 * PIM_UNIT_SIZE);
    EXPECT_EQ(*pim_page_start(a), 0);
    EXPECT_EQ(pim_arena_purge(arena, false), PIM_UNIT_SIZE);
    EXPECT_EQ(pim_arena_purge(arena, false), 0);
    EXPECT_EQ(pim_unit_set_count(&arena->dirty), 0);
}

TEST(unit_used_again_is_young_again)
{
    pim_page *a = take_span(1);
    pim_arena_free_span(arena, a, 1);
    pim_arena_purge(arena, false);
    EXPECT_PTR_EQ(take_span(1), a);
    EXPECT_EQ(pim_arena_purge(arena, false), 0);
    pim_arena_free_span(arena, a, 1);
    EXPECT_EQ(pim_arena_purge(arena, false), 0);
    EXPECT_EQ(pim_arena_purge(arena, false), PIM_UNIT_SIZE);
}

TEST(purging_all_takes_one_call_a_stretch)
{
    pim_page *pages[PIM_ARENA_UNITS];
    for (unsigned i = 0; i < PIM_ARENA_UNITS; i++) {
        pages[i] = take_span(1);
    }
    for (unsigned i = 0; i < 64; i++) { // a whole word
        pim_arena_free_span(arena, pages[i], 1);
    }
    pim_arena_free_span(arena, pages[70], 1);
    pim_arena_free_span(arena, pages[71], 1);
    pim_arena_free_span(arena, pages[127], 1);
    uint64_t calls = fake_os_calls(FAKE_RESET);
    EXPECT_EQ(pim_arena_purge(arena, true), 67 * PIM_UNIT_SIZE);
    EXPECT_EQ(fake_os_calls(FAKE_RESET), calls + 3);
}

TEST(units_returned_by_others_are_taken_in_clean)
{
    pim_page *a = take_span(16);
    *pim_page_start(a) = 1;
    pim_arena_return_span(arena, a, 16);
    EXPECT_EQ(pim_unit_set_count(&arena->free), PIM_ARENA_UNITS - 16);
    pim_arena_take_returned(arena);
    EXPECT(pim_arena_is_empty(arena));
    EXPECT_EQ(pim_unit_set_count(&arena->dirty), 0);
    EXPECT_EQ(*pim_page_start(a), 0);
    EXPECT_EQ(a[3].offset_units, 0);
}

// --- region ------------------------------------------------------------------------------

static pim_arena *
take_arena(void)
{
    return pim_region_take("x");
}

static bool
is_elsewhere(const pim_arena *a)
{
    return !pim_region_main_contains(pim_arena_start(a));
}

// Somebody else's map, which begins so many arenas behind an address.
static void
take_place(const char *from, size_t arenas_behind, size_t arenas)
{
    uintptr_t at = (uintptr_t)from + arenas_behind * PIM_ARENA_SIZE;
    pim_store_relaxed(&fake.taken_from, at);
    pim_store_relaxed(&fake.taken_to, at + arenas * PIM_ARENA_SIZE);
}

TEST(region_contains_exactly_its_addresses)
{
    EXPECT(pim_region_contains(pim_region.base));
    EXPECT(pim_region_contains(pim_region.base + PIM_ARENA_SIZE - 1));
    EXPECT(!pim_region_contains(pim_region.base - 1));
    EXPECT(!pim_region_contains(pim_region.base + PIM_ARENA_SIZE));
    EXPECT(!pim_region_contains(NULL));
    EXPECT(!pim_region_contains(&arena));
    EXPECT(!pim_region_contains((void *)UINTPTR_MAX));
    take_arena();
    EXPECT(pim_region_contains(pim_region.base + PIM_ARENA_SIZE));
}

// What address space is taken is what arenas and their descriptors take.
TEST(nothing_is_reserved_ahead)
{
    pim_region_give(take_arena()); // the next chunk of tables may begin with it
    size_t before = pim_region_bytes();
    EXPECT_EQ(pim_load_relaxed(&fake.placed_bytes), before);
    EXPECT_LT(before, 4 * PIM_ARENA_SIZE);
    pim_arena *second = take_arena();
    EXPECT_EQ(pim_region_bytes(), before + PIM_ARENA_SIZE);
    pim_region_give(second);
    EXPECT_EQ(pim_region_bytes(), before);
    EXPECT_EQ(pim_load_relaxed(&fake.placed_bytes), before);
}

TEST(arena_given_back_is_handed_out_again)
{
    char *start = pim_arena_start(arena);
    pim_arena *second = pim_region_take("x");
    EXPECT_PTR_NE(second, arena);
    pim_region_give(arena);
    EXPECT_PTR_EQ(pim_region_take("x"), arena);
    EXPECT_PTR_EQ(pim_arena_start(arena), start);
    EXPECT(pim_arena_is_empty(arena));
}

TEST(dirty_arena_is_retained_until_trimmed)
{
    pim_page *page = take_span(1);
    *pim_page_start(page) = 1;
    pim_arena_free_span(arena, page, 1);
    uint64_t placed = pim_load_relaxed(&fake.placed_bytes);
    pim_region_give(arena);
    EXPECT_EQ(pim_load_relaxed(&fake.placed_bytes), placed);
    EXPECT_NE(pim_load_relaxed(&pim_region_retained_until), 0);
    pim_region_trim();
    EXPECT_EQ(pim_load_relaxed(&fake.placed_bytes), placed - PIM_ARENA_SIZE);
    EXPECT_EQ(pim_load_relaxed(&pim_region_retained_until), 0);
    EXPECT_PTR_EQ(take_arena(), arena);
    EXPECT_EQ(*pim_page_start(page), 0);
    EXPECT_EQ(pim_unit_set_count(&arena->dirty), 0);
}

// Who comes next may be too small for huge pages, which the advice would give it.
TEST(dense_arena_is_not_retained)
{
    pim_page *page = take_span(1);
    pim_arena_free_span(arena, page, 1);
    arena->dense = true;
    uint64_t unmaps = fake_os_calls(FAKE_UNMAP);
    pim_region_give(arena);
    EXPECT_EQ(fake_os_calls(FAKE_UNMAP), unmaps + 1);
    EXPECT_PTR_EQ(pim_region_take("x"), arena);
    EXPECT(!arena->dense);
    EXPECT_EQ(pim_unit_set_count(&arena->dirty), 0);
}

// --- places -------------------------------------------------------------------------

TEST(beyond_the_main_stretch_arenas_lie_elsewhere)
{
    unsigned n = 1;
    pim_arena *a;
    while (!is_elsewhere(a = take_arena())) {
        n++;
    }
    EXPECT_EQ(n, REGION / PIM_ARENA_SIZE);
    char *start = pim_arena_start(a);
    EXPECT_EQ((uintptr_t)start % PIM_ARENA_SIZE, 0);
    EXPECT(pim_region_contains(start));
    EXPECT(pim_region_contains(start + PIM_ARENA_SIZE - 1));
    EXPECT(!pim_region_contains(start + PIM_ARENA_SIZE));
    EXPECT(!pim_region_contains(start - 1));
    pim_page *page = pim_arena_take_span(a, 4, false);
    memset(pim_page_start(page), 1, 4 * PIM_UNIT_SIZE);
    EXPECT_PTR_EQ(pim_page_of(start + 3 * PIM_UNIT_SIZE), page);
    EXPECT_PTR_EQ(pim_arena_of(page), a);
    EXPECT_PTR_EQ(pim_arena_holding(start + PIM_ARENA_SIZE - 1), a);
    pim_arena_free_span(a, page, 4);

    // What is given back there is nobody's, and the main stretch comes first.
    pim_region_give(a);
    EXPECT(!pim_region_contains(start));
    pim_region_give(arena);
    EXPECT_PTR_EQ(take_arena(), arena);
}

TEST(arenas_elsewhere_lie_together)
{
    while (!is_elsewhere(take_arena())) {
    }
    size_t before = pim_region_bytes();
    for (unsigned i = 0; i < 8; i++) {
        EXPECT(is_elsewhere(take_arena()));
    }
    // One more chunk's descriptors at most.
    EXPECT_LE(pim_region_bytes(), before + 9 * PIM_ARENA_SIZE);
}

TEST(all_arenas_are_found)
{
    pim_arena_set set = {.used_units = 0};
    unsigned n = 1;
    pim_arena_set_gain(&set, arena, false);
    while (n < REGION / PIM_ARENA_SIZE + 3) {
        pim_arena *another = take_arena();
        EXPECT_NOT_NULL(another);
        pim_arena_set_gain(&set, another, false);
        n++;
    }
    for (pim_arena *a = NULL; (a = pim_region_after(a)) != NULL;) {
        n -= pim_load_relaxed(&a->set) == &set;
    }
    EXPECT_EQ(n, 0);
}

TEST(place_that_is_taken_is_left_out)
{
    take_place(pim_region.base, 1, 2);
    pim_arena *a = take_arena();
    EXPECT_PTR_EQ(pim_arena_start(a), pim_region.base + 3 * PIM_ARENA_SIZE);
    EXPECT(pim_region_contains(pim_arena_start(a)));
    EXPECT(!is_elsewhere(a));
    // Its descriptors say that nobody has it.
    const char *taken = pim_region.base + 2 * PIM_ARENA_SIZE;
    EXPECT_EQ(pim_page_of(taken)->state, PIM_PAGE_UNUSED);
    EXPECT_EQ(pim_load_relaxed(&pim_page_of(taken)->owner), 0);
}

TEST(stretch_ends_where_others_have_much)
{
    take_place(pim_region.base, 1, REGION / PIM_ARENA_SIZE + 100);
    EXPECT(is_elsewhere(take_arena()));
    pim_store_relaxed(&fake.taken_to, 0);
    EXPECT(is_elsewhere(take_arena()));
}

TEST(place_that_others_took_meanwhile_is_lost)
{
    pim_region_give(arena);
    take_place(pim_region.base, 0, 1);
    pim_arena *a = take_arena();
    EXPECT_PTR_EQ(pim_arena_start(a), pim_region.base + PIM_ARENA_SIZE);
}

TEST(far_place_that_is_taken_is_not_the_last)
{
    pim_region_fini();
    pim_store_relaxed(&fake.taken_from, 4096);
    pim_store_relaxed(&fake.taken_to, (uintptr_t)112 << 40);
    EXPECT_EQ(pim_region_init(REGION), 0);
    EXPECT_GE((uintptr_t)pim_region.base, (uintptr_t)112 << 40);
    arena = take_arena();
    memset(pim_arena_start(arena), 1, PIM_ARENA_SIZE);
    EXPECT_PTR_EQ(pim_arena_start(take_arena()),
                  pim_region.base + PIM_ARENA_SIZE);
}

// --- refusals -----------------------------------------------------------------------

TEST(refused_map_loses_no_arena)
{
    for (unsigned nth = 1; nth <= 4; nth++) {
        fake_os_fail(FAKE_PLACE, nth, true);
        while (take_arena() != NULL) {
        }
        fake_os_heal();
    }
    size_t size = pim_load_relaxed(&pim_region.size);
    EXPECT_EQ(pim_load_relaxed(&fake.placed_bytes), pim_region_bytes());
    EXPECT_PTR_EQ(pim_arena_start(take_arena()), pim_region.base + size);
    pim_region_give(arena);
    fake_os_fail(FAKE_PLACE, 1, true);
    EXPECT_NULL(take_arena());
    fake_os_heal();
    EXPECT_PTR_EQ(take_arena(), arena);
}

TEST(refused_unmap_still_returns_the_memory)
{
    *pim_arena_start(arena) = 1;
    fake_os_fail(FAKE_UNMAP, 1, false);
    pim_region_give(arena); // clean, as far as it knows: not retained
    fake_os_heal();
    uint64_t places = fake_os_calls(FAKE_PLACE);
    EXPECT_PTR_EQ(take_arena(), arena);
    EXPECT_EQ(fake_os_calls(FAKE_PLACE), places); // it is mapped
    EXPECT_EQ(*pim_arena_start(arena), 0);
}

TEST(second_init_keeps_the_region)
{
    char *base = pim_region.base;
    EXPECT_EQ(pim_region_init(2 * REGION), 0);
    EXPECT_PTR_EQ(pim_region.base, base);
}

TEST_WITH(size_is_rounded_down_to_whole_arenas, NULL, NULL)
{
    fake_os_start();
    EXPECT_EQ(pim_region_init(2 * PIM_ARENA_SIZE + 5), 0);
    EXPECT(!is_elsewhere(take_arena()));
    EXPECT(!is_elsewhere(take_arena()));
    EXPECT(is_elsewhere(take_arena()));
    pim_region_fini();
    EXPECT_EQ(pim_region_init(1), 0);
    EXPECT(!is_elsewhere(take_arena()));
    EXPECT(is_elsewhere(take_arena()));
    pim_region_fini();
}

TEST_WITH(no_address_space_at_all_is_an_error, NULL, NULL)
{
    fake_os_start();
    for (unsigned nth = 1; nth <= 4; nth++) {
        fake_os_fail(FAKE_PLACE, nth, true);
        EXPECT_LT(pim_region_init((size_t)1 << 38), 0);
        fake_os_heal();
        EXPECT_NULL(pim_region.base);
        EXPECT_EQ(pim_load_relaxed(&fake.placed_bytes), 0);
        EXPECT(!pim_region_contains(&arena));
    }
}

SUITE(.begin = begin, .end = end)

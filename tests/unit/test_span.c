// test_span.c -- spans: blocks of whole units, between the small and the large.

#include <string.h>

#include "arena/arena_set.h"
#include "arena/region.h"
#include "domain/domain.h"
#include "extent/extent.h"
#include "heap/alloc.h"
#include "heap/audit.h"
#include "heap/idle.h"
#include "heap/purge.h"
#include "heap/remote.h"
#include "interp/figures.h"
#include "interp/find_owner.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/interp_case.h"
#include "support/random.h"

#define UNITS(n) ((size_t)(n)*PIM_UNIT_SIZE)
#define SHORTEST 3 // units: above PIM_SMALL_MAX

static int
begin(void **state)
{
    IN_GATE(pim_extent_trim(true)); // growing blocks would take what is kept
    return interp_case_begin(state);
}

static int
end(void **state)
{
    (void)state;
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        EXPECT_EQ(fake_figures(id).by_domain[d].live_bytes, 0);
        EXPECT_EQ(fake_figures(id).by_domain[d].live_blocks, 0);
    }
    end_interp();
    fake_expect_process(&process);
    pim_heap_audit(&pim_process_heap);
    return 0;
}

static uint64_t
live_bytes(void)
{
    return fake_figures(id).by_domain[MEM].live_bytes;
}

static void
purge(void)
{
    IN_GATE(pim_heap_purge(heap, true));
}

static void
write_to(char *p, size_t from, size_t to)
{
    for (size_t at = from; at < to; at += 61) {
        p[at] = (char)(at % 127 + 1);
    }
}

static void
expect_filled(const char *p, size_t from, size_t to)
{
    for (size_t at = from; at < to; at += 61) {
        EXPECT_EQ(p[at], (char)(at % 127 + 1));
    }
}

TEST(run_is_whole_units_of_an_arena)
{
    char *p = pim_mem_malloc(NULL, UNITS(5) - 100);
    pim_page *page = pim_page_of(p);
    EXPECT(pim_region_contains(p));
    EXPECT_PTR_EQ(pim_page_start(page), p);
    EXPECT_EQ(pim_page_units(page), 5);
    EXPECT_EQ(live_bytes(), UNITS(5));
    EXPECT_EQ(fake_figures(id).by_domain[MEM].live_blocks, 1);
    EXPECT_EQ(fake_figures(id).pages, 1);
    EXPECT_EQ(fake_figures(id).committed_bytes, UNITS(5));
    memset(p, 1, UNITS(5));
    for (unsigned i = 0; i < 5; i++) {
        int64_t owner = PIM_PROCESS_ID;
        EXPECT_PTR_EQ(pim_page_of(p + UNITS(i) + 77), page);
        EXPECT(pim_heap_find_owner(p + UNITS(i) + 77, &owner));
        EXPECT_EQ(owner, id);
    }
    pim_mem_free(NULL, p);
}

TEST(runs_lie_between_small_and_large_blocks)
{
    char *small = pim_mem_malloc(NULL, PIM_SMALL_MAX);
    char *shortest = pim_mem_malloc(NULL, PIM_SMALL_MAX + 1);
    char *longest = pim_mem_malloc(NULL, PIM_SPAN_MAX);
    char *large = pim_mem_malloc(NULL, PIM_SPAN_MAX + 1);
    EXPECT_NE(pim_page_of(small)->size_class, PIM_CLASS_SPAN);
    EXPECT_EQ(pim_page_of(shortest)->size_class, PIM_CLASS_SPAN);
    EXPECT_EQ(pim_page_units(pim_page_of(shortest)), SHORTEST);
    EXPECT_EQ(pim_page_of(longest)->size_class, PIM_CLASS_SPAN);
    EXPECT_EQ(pim_page_units(pim_page_of(longest)), PIM_SPAN_UNITS);
    EXPECT(!pim_region_contains(large));
    write_to(longest, 0, PIM_SPAN_MAX);
    pim_heap_audit(heap);
    expect_filled(longest, 0, PIM_SPAN_MAX);
    pim_mem_free(NULL, small);
    pim_mem_free(NULL, shortest);
    pim_mem_free(NULL, longest);
    pim_mem_free(NULL, large);
}

TEST(runs_of_every_length_do_not_overlap)
{
    char *p[PIM_SPAN_UNITS + 1];
    for (unsigned units = SHORTEST; units <= PIM_SPAN_UNITS; units++) {
        p[units] = pim_mem_malloc(NULL, UNITS(units));
        memset(p[units], (int)units, UNITS(units));
    }
    for (unsigned units = SHORTEST; units <= PIM_SPAN_UNITS; units++) {
        for (size_t at = 0; at < UNITS(units); at += 1000) {
            EXPECT_EQ(p[units][at], units);
        }
        EXPECT_EQ(p[units][UNITS(units) - 1], units);
        pim_mem_free(NULL, p[units]);
        pim_heap_audit(heap);
    }
}

// --- freed spans --------------------------------------------------------------------

TEST(freed_span_is_kept_for_the_next_of_its_length)
{
    char *p = pim_mem_malloc(NULL, UNITS(4));
    pim_mem_free(NULL, p);
    int64_t owner;
    EXPECT_EQ(pim_page_of(p)->state, PIM_PAGE_IDLE);
    EXPECT(!pim_heap_find_owner(p, &owner));
    EXPECT_EQ(live_bytes(), 0);
    EXPECT_EQ(fake_figures(id).committed_bytes, UNITS(4));
    pim_heap_audit(heap);
    char *longer = pim_mem_malloc(NULL, UNITS(5));
    EXPECT_PTR_NE(longer, p);
    // In another domain this time.
    EXPECT_PTR_EQ(pim_obj_malloc(NULL, UNITS(3) + 1), p);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_bytes, UNITS(4));
    EXPECT_EQ(live_bytes(), UNITS(5));
    pim_heap_audit(heap);
    pim_obj_free(NULL, p);
    pim_mem_free(NULL, longer);
}

TEST(one_span_of_a_length_is_kept_and_few_units_in_all)
{
    char *p[PIM_IDLE_SPAN_UNITS];
    for (unsigned i = 0; i < 3; i++) {
        p[i] = pim_mem_malloc(NULL, UNITS(4));
    }
    for (unsigned i = 0; i < 3; i++) {
        pim_mem_free(NULL, p[i]);
    }
    EXPECT_EQ(heap->idle.span_units, 4);
    EXPECT_EQ(fake_figures(id).pages, 1);
    unsigned sum = 0;
    unsigned n = 0;
    for (; sum <= PIM_IDLE_SPAN_UNITS; n++) {
        p[n] = pim_mem_malloc(NULL, UNITS(SHORTEST + n));
        sum += SHORTEST + n;
    }
    for (unsigned i = 0; i < n; i++) {
        pim_mem_free(NULL, p[i]);
        EXPECT_LE(heap->idle.span_units, PIM_IDLE_SPAN_UNITS);
        pim_heap_audit(heap);
    }
    EXPECT_GE(heap->idle.span_units, PIM_IDLE_SPAN_UNITS / 2);
    EXPECT_LT(fake_figures(id).pages, n);
}

TEST(run_beyond_what_may_be_kept_is_released)
{
    char *p = pim_mem_malloc(NULL, UNITS(PIM_IDLE_SPAN_UNITS));
    pim_mem_free(NULL, pim_mem_malloc(NULL, UNITS(4)));
    pim_mem_free(NULL, p);
    EXPECT_EQ(heap->idle.span_units, 4);
    EXPECT_EQ(pim_page_of(p)->state, PIM_PAGE_UNUSED);
    EXPECT_EQ(fake_figures(id).pages, 1);
}

TEST(kept_spans_go_with_a_purge)
{
    pim_mem_free(NULL, pim_mem_malloc(NULL, UNITS(4)));
    pim_mem_free(NULL, pim_mem_malloc(NULL, UNITS(7)));
    EXPECT_EQ(fake_figures(id).pages, 2);
    purge();
    EXPECT_EQ(heap->idle.span_units, 0);
    EXPECT_EQ(fake_figures(id).pages, 0);
    EXPECT_EQ(fake_figures(id).committed_bytes, 0);
    EXPECT_EQ(fake_figures(id).arenas, 0);
}

TEST(kept_spans_end_with_their_interpreter)
{
    pim_mem_free(NULL, pim_mem_malloc(NULL, UNITS(4)));
    pim_mem_free(NULL, pim_mem_malloc(NULL, UNITS(7)));
    EXPECT_EQ(heap->idle.span_units, 11);
    end_interp();
    EXPECT_EQ(fake_figures(id).pages, 0);
    EXPECT_EQ(fake_figures(id).arenas, 0);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).arenas, process.arenas);
    begin_interp();
    EXPECT_EQ(heap->idle.span_units, 0);
}

TEST(process_heap_keeps_no_span)
{
    fake_interp_swap(NULL);
    char *p = pim_mem_malloc(NULL, UNITS(4));
    EXPECT(pim_region_contains(p));
    write_to(p, 0, UNITS(4));
    p = pim_mem_realloc(NULL, p, UNITS(6));
    expect_filled(p, 0, UNITS(4));
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).by_domain[MEM].live_bytes,
              process.by_domain[MEM].live_bytes + UNITS(6));
    pim_mem_free(NULL, p);
    EXPECT_EQ(pim_process_heap.idle.span_units, 0);
    fake_interp_swap(&interp);
}

// --- zeroed spans --------------------------------------------------------------------

static void
expect_zero(const char *p, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        EXPECT_EQ(p[at], 0);
    }
}

TEST(zeroed_span_is_zero_whatever_lay_there)
{
    char *p = pim_mem_calloc(NULL, 1, UNITS(8)); // never used
    expect_zero(p, UNITS(8));
    memset(p, 0xff, UNITS(8));
    pim_mem_free(NULL, p);
    char *again = pim_mem_calloc(NULL, 1, UNITS(8)); // kept
    EXPECT_PTR_EQ(again, p);
    expect_zero(p, UNITS(8));
    memset(p, 0xff, UNITS(8));
    p = pim_mem_realloc(NULL, p, UNITS(3));
    pim_mem_free(NULL, p);
    IN_GATE(pim_heap_release_idle(heap));   // not returned
    p = pim_mem_calloc(NULL, 1, UNITS(16)); // half of it dirty
    EXPECT_PTR_EQ(p, again);
    expect_zero(p, UNITS(16));
    memset(p, 0xff, UNITS(16));
    pim_mem_free(NULL, p);
    purge();
    p = pim_mem_calloc(NULL, 1, UNITS(16)); // returned, and clean again
    expect_zero(p, UNITS(16));
    pim_mem_free(NULL, p);
}

// As it does where memory is locked.
TEST(zeroed_span_is_zero_though_the_system_took_no_memory_back)
{
    char *hold = pim_mem_malloc(NULL, UNITS(16));
    char *p = pim_mem_malloc(NULL, UNITS(16));
    memset(p, 0xff, UNITS(16));
    pim_mem_free(NULL, p);
    fake_os_fail(FAKE_RESET | FAKE_DECOMMIT, 1, true);
    purge();
    fake_os_heal();
    EXPECT_EQ(fake_figures(id).committed_bytes, UNITS(16));
    char *again = pim_mem_calloc(NULL, 1, UNITS(16));
    EXPECT_PTR_EQ(again, p);
    expect_zero(again, UNITS(16));
    pim_mem_free(NULL, again);
    pim_mem_free(NULL, hold);
}

// --- resizing in place -----------------------------------------------------------------

TEST(run_shrinks_in_place_and_its_end_is_free)
{
    char *p = pim_mem_malloc(NULL, UNITS(40));
    pim_page *page = pim_page_of(p);
    write_to(p, 0, UNITS(40));
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, UNITS(30) - 5), p);
    EXPECT_EQ(pim_page_units(page), 30);
    EXPECT_EQ(live_bytes(), UNITS(30));
    EXPECT_EQ(heap->arenas.used_units, 30);
    EXPECT_EQ(heap->arenas.idle_units, 10);
    EXPECT_EQ(page[30].state, PIM_PAGE_UNUSED);
    EXPECT_EQ(page[30].offset_units, 0);
    pim_heap_audit(heap);
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, PIM_SMALL_MAX + 1), p);
    EXPECT_EQ(live_bytes(), UNITS(SHORTEST));
    expect_filled(p, 0, UNITS(SHORTEST));
    pim_heap_audit(heap);
    char *small = pim_mem_realloc(NULL, p, 1000);
    EXPECT_NE(pim_page_of(small)->size_class, PIM_CLASS_SPAN);
    expect_filled(small, 0, 1000);
    pim_mem_free(NULL, small);
}

TEST(run_that_would_shrink_little_stays_as_it_is)
{
    char *p = pim_mem_malloc(NULL, UNITS(40));
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, UNITS(36)), p);
    EXPECT_EQ(live_bytes(), UNITS(40));
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, UNITS(35)), p);
    EXPECT_EQ(live_bytes(), UNITS(35));
    pim_mem_free(NULL, p);
}

TEST(run_grows_in_place_into_free_units)
{
    char *p = pim_mem_malloc(NULL, UNITS(SHORTEST));
    pim_page *page = pim_page_of(p);
    write_to(p, 0, UNITS(SHORTEST));
    for (unsigned units = SHORTEST + 1; units <= PIM_SPAN_UNITS; units++) {
        EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, UNITS(units) - 16), p);
        EXPECT_EQ(page[units - 1].offset_units, units - 1);
        EXPECT_PTR_EQ(pim_page_of(p + UNITS(units) - 1), page);
        EXPECT_EQ(live_bytes(), UNITS(units));
        EXPECT_EQ(fake_figures(id).committed_bytes, UNITS(units));
        write_to(p, UNITS(units - 1), UNITS(units));
    }
    pim_heap_audit(heap);
    for (unsigned units = 1; units <= PIM_SPAN_UNITS; units++) {
        expect_filled(p, units == 1 ? 0 : UNITS(units < 4 ? 3 : units - 1),
                      UNITS(units < 4 ? 3 : units));
    }
    EXPECT_EQ(fake_figures(id).by_domain[MEM].peak_bytes,
              UNITS(PIM_SPAN_UNITS));
    char *large = pim_mem_realloc(NULL, p, PIM_SPAN_MAX + 1);
    EXPECT(!pim_region_contains(large));
    expect_filled(large, 0, UNITS(SHORTEST));
    pim_mem_free(NULL, large);
}

TEST(run_with_a_neighbour_moves_to_grow)
{
    char *p = pim_mem_malloc(NULL, UNITS(16));
    char *neighbour = pim_mem_malloc(NULL, UNITS(15));
    EXPECT_PTR_EQ(neighbour, p + UNITS(16));
    write_to(p, 0, UNITS(16));
    write_to(neighbour, 0, UNITS(15));
    char *moved = pim_mem_realloc(NULL, p, UNITS(17));
    EXPECT_PTR_NE(moved, p);
    expect_filled(moved, 0, UNITS(16));
    expect_filled(neighbour, 0, UNITS(15));
    EXPECT_EQ(live_bytes(), UNITS(32));
    // A neighbour that is kept though it is free is in the way, too.
    pim_mem_free(NULL, neighbour);
    EXPECT_EQ(pim_page_of(neighbour)->state, PIM_PAGE_IDLE);
    EXPECT_PTR_EQ(pim_mem_malloc(NULL, UNITS(16)), p);
    EXPECT_PTR_NE(neighbour = pim_mem_realloc(NULL, p, UNITS(18)), p);
    pim_heap_audit(heap);
    pim_mem_free(NULL, neighbour);
    pim_mem_free(NULL, moved);
}

TEST(run_at_the_end_of_an_arena_does_not_grow_beyond_it)
{
    char *a = pim_mem_malloc(NULL, UNITS(64));
    char *b = pim_mem_malloc(NULL, UNITS(64));
    EXPECT_PTR_EQ(pim_arena_of(pim_page_of(a)), pim_arena_of(pim_page_of(b)));
    char *last = b > a ? b : a;
    char *first = b > a ? a : b;
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, last, UNITS(40)), last);
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, last, UNITS(63)), last);
    pim_gate_enter();
    EXPECT(!pim_arena_set_extend_span(&heap->arenas, pim_page_of(last), 63, 2));
    pim_gate_exit();
    pim_mem_free(NULL, first);
    pim_mem_free(NULL, last);
}

TEST(grown_block_becomes_a_span_with_room_behind_it)
{
    char *p = pim_mem_malloc(NULL, PIM_SPAN_GROWN);
    EXPECT_NE(pim_page_of(p)->size_class, PIM_CLASS_SPAN);
    write_to(p, 0, PIM_SPAN_GROWN);
    p = pim_mem_realloc(NULL, p, PIM_SPAN_GROWN + 100);
    EXPECT_EQ(pim_page_of(p)->size_class, PIM_CLASS_SPAN);
    EXPECT_EQ(live_bytes(), UNITS(1));
    EXPECT_EQ(heap->arenas.used_units, // the room is free
              1u + pim_classes[pim_size_class(PIM_SPAN_GROWN)].units);
    char *neighbour = pim_mem_malloc(NULL, UNITS(4)); // may take the room
    char *q = p;
    for (unsigned units = 2; units < PIM_SPAN_UNITS; units++) {
        q = pim_mem_realloc(NULL, q, UNITS(units));
        EXPECT_EQ(live_bytes(), UNITS(units + 4));
    }
    expect_filled(q, 0, PIM_SPAN_GROWN);
    pim_heap_audit(heap);
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, q, PIM_UNIT_SIZE - 500), q);
    EXPECT_EQ(live_bytes(), UNITS(5));
    q = pim_mem_realloc(NULL, q, PIM_SPAN_GROWN);
    EXPECT_NE(pim_page_of(q)->size_class, PIM_CLASS_SPAN);
    expect_filled(q, 0, PIM_SPAN_GROWN);
    pim_mem_free(NULL, q);
    pim_mem_free(NULL, neighbour);
}

TEST(longest_span_is_grown_into_without_room)
{
    char *p = pim_mem_malloc(NULL, UNITS(PIM_SPAN_UNITS - 1));
    char *wall = pim_mem_malloc(NULL, UNITS(PIM_SPAN_UNITS));
    EXPECT_PTR_EQ(pim_arena_of(pim_page_of(p)),
                  pim_arena_of(pim_page_of(wall)));
    char *full = pim_mem_malloc(NULL, UNITS(PIM_SPAN_UNITS));
    char *half = pim_mem_malloc(NULL, UNITS(PIM_SPAN_UNITS / 2));
    half = pim_mem_realloc(NULL, half, UNITS(PIM_SPAN_UNITS - 1));
    EXPECT_EQ(fake_figures(id).arenas, 2); // the last half suffices
    pim_heap_audit(heap);
    pim_mem_free(NULL, half);
    pim_mem_free(NULL, full);
    pim_mem_free(NULL, wall);
    pim_mem_free(NULL, p);
}

TEST(others_resize_a_span_by_a_copy)
{
    fake_interp other;
    const size_t sizes[] = {UNITS(8), UNITS(3)};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        for (unsigned stateless = 0; stateless < 2; stateless++) {
            char *p = pim_mem_malloc(NULL, UNITS(5));
            write_to(p, 0, UNITS(5));
            fake_interp_detach(&interp);
            fake_interp_begin(&other, core_next_id());
            if (!stateless) {
                fake_interp_attach(&other);
            }
            char *q = pim_mem_realloc(NULL, p, sizes[i]);
            EXPECT_PTR_NE(q, p);
            expect_filled(q, 0, UNITS(i == 0 ? 5 : 3));
            EXPECT_EQ(live_bytes(), 0);
            pim_mem_free(NULL, q);
            if (!stateless) {
                fake_interp_detach(&other);
            }
            fake_interp_end(&other);
            fake_interp_attach(&interp);
            IN_GATE(pim_heap_drain(heap));
            pim_heap_audit(heap);
        }
    }
    EXPECT_EQ(fake_figures(id).remote_frees, 4);
    EXPECT_EQ(fake_figures(id).pages, 0);
}

TEST(random_resizes_keep_the_content_and_the_counters)
{
    enum { N = 40 };
    static char *p[N];
    static size_t sizes[N];
    random_state r = random_from(random_seed());
    for (unsigned i = 0; i < 4000; i++) {
        unsigned at = (unsigned)random_below(&r, N);
        size_t size = PIM_SMALL_MAX + 1 +
                      (size_t)random_below(&r, PIM_SPAN_MAX - PIM_SMALL_MAX);
        size = random_below(&r, 4) == 0 ? size / 20 + 1 : size;
        if (random_below(&r, 3) == 0) {
            pim_mem_free(NULL, p[at]);
            p[at] = NULL;
            sizes[at] = 0;
            continue;
        }
        p[at] = pim_mem_realloc(NULL, p[at], size);
        expect_filled(p[at], 0, sizes[at] < size ? sizes[at] : size);
        write_to(p[at], 0, size);
        sizes[at] = size;
        if (i % 16 == 0) {
            pim_heap_audit(heap);
        }
    }
    for (unsigned i = 0; i < N; i++) {
        expect_filled(p[i], 0, sizes[i]);
        pim_mem_free(NULL, p[i]);
    }
}

SUITE(.set_up = core_set_up, .begin = begin, .end = end)

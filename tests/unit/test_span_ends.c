// test_span_ends.c -- spans that others free, that outlive their interpreter, that
// there is no memory for, or that are freed twice.

#include <string.h>

#include "arena/region.h"
#include "domain/domain.h"
#include "heap/audit.h"
#include "heap/purge.h"
#include "heap/remote.h"
#include "interp/figures.h"
#include "interp/find_owner.h"
#include "support/core.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"
#include "support/interp_case.h"

#define UNITS(n) ((size_t)(n)*PIM_UNIT_SIZE)

static int
begin(void **state)
{
    IN_GATE(pim_region_trim()); // a new arena has to be committed
    return interp_case_begin(state);
}

static int
end(void **state)
{
    (void)state;
    end_interp();
    fake_expect_process(&process);
    return 0;
}

static uint64_t
process_bytes(void)
{
    return fake_figures(PIM_PROCESS_ID).by_domain[MEM].live_bytes -
           process.by_domain[MEM].live_bytes;
}

static void
free_remotely(void *block)
{
    fake_interp_swap(NULL);
    pim_mem_free(NULL, block);
    fake_interp_swap(&interp);
}

static void
drain(void)
{
    IN_GATE(pim_heap_drain(heap));
}

// --- others -------------------------------------------------------------------------

TEST(run_freed_by_others_is_released_by_its_owner)
{
    char *p = pim_mem_malloc(NULL, UNITS(6));
    pim_page *page = pim_page_of(p);
    free_remotely(p);
    EXPECT_EQ(fake_figures(id).by_domain[MEM].live_bytes, 0);
    EXPECT_EQ(fake_figures(id).by_domain[MEM].live_blocks, 0);
    EXPECT_EQ(fake_figures(id).remote_frees, 1);
    EXPECT_EQ(page->state, PIM_PAGE_FULL);
    pim_heap_audit(heap);
    drain();
    EXPECT_EQ(page->state, PIM_PAGE_UNUSED);
    EXPECT_EQ(fake_figures(id).pages, 0);
    EXPECT_EQ(heap->arenas.used_units, 0);
    EXPECT_EQ(heap->arenas.idle_units, 6);
    pim_heap_audit(heap);
}

TEST(grown_and_shrunk_spans_may_be_freed_by_others)
{
    char *p = pim_mem_malloc(NULL, UNITS(6));
    char *q = pim_mem_malloc(NULL, UNITS(20));
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, UNITS(9)), p);
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, q, UNITS(4)), q);
    free_remotely(p);
    free_remotely(q);
    EXPECT_EQ(fake_figures(id).by_domain[MEM].live_bytes, 0);
    drain();
    EXPECT_EQ(heap->arenas.used_units, 0);
    pim_heap_audit(heap);
}

// --- ends ---------------------------------------------------------------------------

TEST(leaked_span_outlives_its_interpreter)
{
    char *p = pim_mem_malloc(NULL, UNITS(6));
    memset(p, 'x', UNITS(6));
    // What is left of earlier lives of these units.
    memset(pim_page_orphans(pim_page_of(p)), 0xff,
           6 * PIM_SET_WORDS * sizeof(pim_block_set));
    end_interp();
    int64_t owner = 0;
    EXPECT_EQ(process_bytes(), UNITS(6));
    EXPECT(pim_heap_find_owner(p + UNITS(5), &owner));
    EXPECT_EQ(owner, PIM_PROCESS_ID);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).pages, process.pages + 1);

    begin_interp(); // reclaims the arena, not the span
    char *mine = pim_mem_malloc(NULL, UNITS(6));
    EXPECT_PTR_EQ(pim_arena_of(pim_page_of(mine)),
                  pim_arena_of(pim_page_of(p)));
    EXPECT_EQ(pim_page_of(p)->state, PIM_PAGE_ABANDONED);
    memset(mine, 'y', UNITS(6));
    for (size_t at = 0; at < UNITS(6); at++) {
        EXPECT_EQ(p[at], 'x');
    }
    pim_heap_audit(heap);
    pim_mem_free(NULL, p);
    EXPECT_EQ(process_bytes(), 0);
    EXPECT(pim_load_relaxed(&heap->arenas.returned));
    pim_heap_audit(heap);
    IN_GATE(pim_heap_purge(heap, true));
    EXPECT_EQ(heap->arenas.used_units, 6);
    EXPECT_EQ(fake_figures(id).committed_bytes, UNITS(6));
    pim_heap_audit(heap);
    pim_mem_free(NULL, mine);
}

TEST(leaked_span_is_freed_before_its_arena_is_reclaimed)
{
    char *p = pim_mem_malloc(NULL, UNITS(6));
    end_interp();
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).arenas, process.arenas + 1);
    pim_mem_free(NULL, p);
    EXPECT_EQ(process_bytes(), 0);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).arenas, process.arenas);
    begin_interp();
}

TEST(
    leaked_span_is_resized_by_a_copy_and_does_not_grow_into_the_reclaimers_units)
{
    char *p = pim_mem_malloc(NULL, UNITS(6));
    memset(p, 'x', UNITS(6));
    end_interp();
    begin_interp();
    void *other = pim_mem_malloc(NULL, 100);
    EXPECT_PTR_EQ(pim_arena_of(pim_page_of(other)),
                  pim_arena_of(pim_page_of(p)));
    char *q = pim_mem_realloc(NULL, p, UNITS(7));
    EXPECT_PTR_NE(q, p);
    EXPECT_EQ(q[UNITS(6) - 1], 'x');
    EXPECT_EQ(process_bytes(), 0);
    EXPECT_EQ(fake_figures(id).by_domain[MEM].live_blocks, 2);
    pim_mem_free(NULL, q);
    pim_mem_free(NULL, other);
}

TEST(run_of_the_reclaimer_grows_up_to_a_leaked_one)
{
    char *mine = pim_mem_malloc(NULL, UNITS(4));
    char *leaked = pim_mem_malloc(NULL, UNITS(16));
    EXPECT_PTR_EQ(leaked, mine + UNITS(16));
    pim_mem_free(NULL, mine);
    memset(leaked, 'x', UNITS(16));
    end_interp();
    begin_interp();
    char *p = pim_mem_malloc(NULL, UNITS(4));
    EXPECT_PTR_EQ(p, mine);
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, UNITS(16)), p);
    memset(p, 'y', UNITS(16));
    char *grown = pim_mem_realloc(NULL, p, UNITS(17));
    EXPECT_PTR_NE(grown, p);
    EXPECT_EQ(leaked[0], 'x');
    pim_heap_audit(heap);
    pim_mem_free(NULL, leaked);
    end_interp(); // leaks what it grew
    EXPECT_EQ(process_bytes(), UNITS(17));
    begin_interp();
    drain();
    pim_mem_free(NULL, grown);
}

// --- no memory -------------------------------------------------------------------------

TEST(without_an_arena_spans_are_maps_and_small_blocks_refused)
{
    fake_os_fail(FAKE_PLACE, 1, true);
    char *p = pim_mem_calloc(NULL, 1, UNITS(6));
    EXPECT_NULL(pim_mem_malloc(NULL, PIM_SMALL_MAX));
    fake_os_heal();
    EXPECT_NOT_NULL(p);
    EXPECT(!pim_region_contains(p));
    EXPECT_EQ(p[UNITS(6) - 1], 0);
    EXPECT_EQ(fake_figures(id).arenas, 0);
    EXPECT_EQ(fake_figures(id).pages, 0);
    EXPECT_EQ(fake_figures(id).by_domain[MEM].live_blocks, 1);
    pim_heap_audit(heap);
    p = pim_mem_realloc(NULL, p, UNITS(12)); // it grows where it is
    EXPECT(!pim_region_contains(p));
    pim_mem_free(NULL, p);
}

TEST(request_that_nobody_can_serve_changes_nothing)
{
    char *p = pim_mem_malloc(NULL, UNITS(60));
    char *rest = pim_mem_malloc(NULL, UNITS(64));
    memset(p, 'x', UNITS(60));
    pim_figures before = fake_figures(id);
    fake_os_fail(FAKE_PLACE | FAKE_MAP, 1, true);
    fake_mi_fail(1, true);
    EXPECT_NULL(pim_mem_malloc(NULL, UNITS(20)));
    EXPECT_NULL(pim_mem_calloc(NULL, 1, UNITS(20)));
    EXPECT_NULL(pim_mem_realloc(NULL, rest, PIM_SPAN_MAX + 1));
    fake_os_heal();
    fake_mi_heal();
    pim_figures now = fake_figures(id);
    EXPECT_EQ(now.by_domain[MEM].live_bytes, before.by_domain[MEM].live_bytes);
    EXPECT_EQ(now.by_domain[MEM].live_blocks,
              before.by_domain[MEM].live_blocks);
    EXPECT_EQ(now.pages, before.pages);
    EXPECT_EQ(now.arenas, before.arenas);
    pim_heap_audit(heap);
    EXPECT_EQ(p[UNITS(60) - 1], 'x');
    pim_mem_free(NULL, p);
    pim_mem_free(NULL, rest);
}

// --- errors of the program ------------------------------------------------------------

static void
free_twice(void *arg)
{
    char *p = pim_mem_malloc(NULL, UNITS(6));
    pim_mem_free(NULL, p);
    if (arg != NULL) {
        fake_interp_swap(NULL);
    }
    pim_mem_free(NULL, p);
}

TEST(second_free_of_a_span_is_fatal)
{
    static char by_others;
    core_expect_fatal(free_twice, NULL, "not a live block");
    core_expect_fatal(free_twice, &by_others, "not a live block");
}

static void
free_second_unit(void *arg)
{
    (void)arg;
    char *p = pim_mem_malloc(NULL, UNITS(6));
    fake_interp_swap(NULL);
    pim_mem_free(NULL, p + UNITS(1));
}

TEST_OF(free_inside_a_span_is_fatal,
        core_expect_fatal(free_second_unit, NULL, "inside a block"))

static void
free_the_end_that_was_cut_off(void *arg)
{
    (void)arg;
    char *p = pim_mem_malloc(NULL, UNITS(12));
    EXPECT_PTR_EQ(pim_mem_realloc(NULL, p, UNITS(4)), p);
    pim_mem_free(NULL, p + UNITS(6));
}

TEST_OF(free_behind_a_shrunk_span_is_fatal,
        core_expect_fatal(free_the_end_that_was_cut_off, NULL,
                          "not a live block"))

SUITE(.set_up = core_set_up, .begin = begin, .end = end)

// test_retire.c -- what is left of an interpreter after its last event.

#include <string.h>

#include "abandoned/retained.h"
#include "arena/region.h"
#include "domain/domain.h"
#include "extent/extent.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"
#include "support/interp_case.h"

#define LARGE (3u << 20)
#define SPAN_BYTES (5 * PIM_UNIT_SIZE)
#define HUGE (40u << 20)

static uint64_t committed;
static uint64_t mapped;

// Gives back what is kept for others.
static void
trim(void)
{
    pim_gate_enter();
    pim_lock_acquire(&pim_process_lock);
    pim_retained_trim(true);
    pim_lock_release(&pim_process_lock);
    pim_region_trim();
    pim_extent_trim(true);
    pim_gate_exit();
}

// The arenas' memory, without what is retained; the descriptor tables grow once
// and stay.
static uint64_t
arenas_committed(void)
{
    trim();
    return (fake_os_committed() - committed) / PIM_ARENA_SIZE;
}

static int
begin(void **state)
{
    // The region's first arena was mapped ahead of need.
    pim_region_give(pim_region_take("x"));
    trim();
    committed = fake_os_committed();
    interp_case_begin_used(state); // its records are mapped now
    mapped = pim_load_relaxed(&fake.mapped_bytes);
    return 0;
}

static void
begin_other(fake_interp *other)
{
    fake_interp_start(other);
}

// Nothing of the test is left with the process.
static void
expect_process_as_before(void)
{
    trim();
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.arenas, process.arenas);
    EXPECT_EQ(now.pages, process.pages);
    EXPECT_EQ(now.committed_bytes, process.committed_bytes);
    fake_expect_accounts(&process);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
    pim_heap_audit(&pim_process_heap);
}

// A large block of mimalloc's, which serves where there is no map.
static void *
malloc_without_map(size_t size)
{
    fake_os_fail(FAKE_MAP, 1, true);
    void *block = pim_mem_malloc(NULL, size);
    fake_os_heal();
    EXPECT(fake_mi_live_blocks() != 0);
    return block;
}

static void
use_and_free_much(void)
{
    enum { N = 20000 };
    static void *blocks[N];
    for (unsigned i = 0; i < N; i++) {
        blocks[i] = pim_obj_malloc(NULL, 16 + i % 3000);
    }
    void *large = malloc_without_map(LARGE);
    void *span = pim_mem_malloc(NULL, SPAN_BYTES);
    void *huge = pim_mem_malloc(NULL, HUGE);
    core_free_all(PIM_OBJ, blocks, N);
    pim_mem_free(NULL, large);
    pim_mem_free(NULL, span);
    pim_mem_free(NULL, huge);
}

TEST(empty_heap_gives_everything_back)
{
    use_and_free_much();
    EXPECT_GT(pim_load_relaxed(&fake_current_heap()->idle_bytes), HUGE / 2);
    EXPECT_GT(fake_figures(id).arenas, 5);
    end_interp();
    EXPECT_EQ(arenas_committed(), 0);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
    pim_figures left = fake_figures(id);
    EXPECT(left.ended);
    EXPECT_EQ(left.arenas, 0);
    EXPECT_EQ(left.pages, 0);
    EXPECT_EQ(left.committed_bytes, 0);
    EXPECT_EQ(left.by_domain[OBJ].live_blocks, 0);
    EXPECT_GT(left.by_domain[OBJ].peak_bytes, 20000 * 1000);
    expect_process_as_before();
}

TEST(leaked_small_block_keeps_one_page_and_survives)
{
    char *leaked = pim_obj_malloc(NULL, 100);
    memset(leaked, 'x', 100);
    use_and_free_much();
    end_interp();

    pim_figures left = fake_figures(id);
    EXPECT_EQ(left.by_domain[OBJ].live_blocks, 1);
    EXPECT_EQ(left.by_domain[OBJ].live_bytes, 112);
    trim();
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.arenas, process.arenas + 1);
    EXPECT_EQ(now.pages, process.pages + 1);
    EXPECT_EQ(now.by_domain[OBJ].live_blocks,
              process.by_domain[OBJ].live_blocks + 1);
    EXPECT_EQ(now.by_domain[OBJ].live_bytes,
              process.by_domain[OBJ].live_bytes + 112);
    EXPECT_LE(now.committed_bytes, process.committed_bytes + PIM_UNIT_SIZE);
    EXPECT_EQ(arenas_committed(), 1);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_EQ(leaked[i], 'x');
    }
    pim_heap_audit(&pim_process_heap);

    pim_obj_free(NULL, leaked);
    EXPECT_EQ(arenas_committed(), 0);
    expect_process_as_before();
}

TEST(many_leaked_blocks_survive_in_every_class)
{
    enum { N = 4000 };
    static unsigned char *leaked[N];
    for (unsigned i = 0; i < N; i++) {
        size_t size = 1 + i * 13 % 9000;
        leaked[i] = pim_obj_malloc(NULL, size);
        memset(leaked[i], (int)i, size);
        if (i % 3 != 0) { // holes
            pim_obj_free(NULL, leaked[i]);
            leaked[i] = NULL;
        }
    }
    use_and_free_much();
    end_interp();
    for (unsigned i = 0; i < N; i++) {
        size_t size = 1 + i * 13 % 9000;
        for (size_t at = 0; leaked[i] != NULL && at < size; at++) {
            EXPECT_EQ(leaked[i][at], i & 255);
        }
    }
    for (unsigned i = 0; i < N; i++) {
        pim_obj_free(NULL, leaked[i]);
    }
    expect_process_as_before();
}

TEST(leaked_blocks_can_be_reallocated)
{
    char *small = pim_obj_malloc(NULL, 100);
    char *large = pim_mem_malloc(NULL, LARGE);
    char *span = pim_mem_malloc(NULL, SPAN_BYTES);
    memset(span, 'r', SPAN_BYTES);
    memset(small, 's', 100);
    memset(large, 'l', LARGE);
    end_interp();
    fake_interp other;
    fake_interp_start(&other);
    small = pim_obj_realloc(NULL, small, 1000);
    large = pim_mem_realloc(NULL, large, 3 * LARGE);
    span = pim_mem_realloc(NULL, span, 2 * SPAN_BYTES);
    EXPECT_EQ(small[99], 's');
    EXPECT_EQ(span[SPAN_BYTES - 1], 'r');
    pim_mem_free(NULL, span);
    EXPECT_EQ(large[LARGE - 1], 'l');
    pim_obj_free(NULL, small);
    pim_mem_free(NULL, large);
    fake_interp_stop(&other);
    expect_process_as_before();
}

TEST(leaked_large_block_outlives_its_heap)
{
    char *leaked = pim_mem_malloc(NULL, LARGE);
    void *freed = pim_mem_malloc(NULL, LARGE);
    memset(leaked, 'x', LARGE);
    pim_mem_free(NULL, freed);
    end_interp();
    EXPECT_EQ(fake_figures(id).by_domain[0].live_blocks, 1);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).by_domain[0].live_blocks,
              process.by_domain[0].live_blocks + 1);
    EXPECT_EQ(leaked[0], 'x');
    EXPECT_EQ(leaked[LARGE - 1], 'x');
    pim_mem_free(NULL, leaked);
    expect_process_as_before();
}

TEST(leaked_map_can_be_freed_late)
{
    char *leaked = pim_mem_malloc(NULL, HUGE);
    leaked[HUGE - 1] = 'x';
    end_interp();
    EXPECT_EQ(leaked[HUGE - 1], 'x');
    EXPECT_GE(fake_figures(PIM_PROCESS_ID).committed_bytes,
              process.committed_bytes + HUGE);
    pim_mem_free(NULL, leaked);
    expect_process_as_before();
}

TEST(remote_frees_before_the_end_are_taken_over)
{
    enum { N = 5000 };
    static void *blocks[N];
    for (unsigned i = 0; i < N; i++) {
        blocks[i] = pim_obj_malloc(NULL, 1 + i * 31 % 2000);
    }
    void *large = pim_mem_malloc(NULL, LARGE);
    fake_interp_detach(&interp);
    core_free_all(PIM_OBJ, blocks, N);
    pim_mem_free(NULL, large);
    fake_interp_end(&interp);
    EXPECT_EQ(fake_figures(id).remote_frees, N + 1);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 0);
    EXPECT_EQ(fake_figures(id).by_domain[0].live_blocks, 0);
    EXPECT_EQ(arenas_committed(), 0);
    expect_process_as_before();
}

// In a child of fork(), a heap of another interpreter may have stopped anywhere
// outside the gate: in the middle of a list.
TEST(half_changed_lists_do_not_hinder_the_end)
{
    enum { N = 1500 };
    static void *blocks[N];
    core_fill(PIM_OBJ, blocks, N, 48);
    pim_page *page = pim_page_of(blocks[0]);
    pim_page *other = pim_page_of(blocks[N / 2]);
    EXPECT_EQ(page->state, PIM_PAGE_FULL);
    fake_interp_detach(&interp);
    core_free_all(PIM_OBJ, blocks, N);
    page->state = PIM_PAGE_PARTIAL; // and is not in the list yet
    page->prev = other;
    page->next = NULL;
    heap->partial[OBJ][pim_size_class(48)] = other;
    other->next = page;
    other->prev = page;
    void *next = other->next;
    fake_interp_end(&interp);
    EXPECT_PTR_EQ(other->next, next); // nobody wrote there
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 0);
    EXPECT_EQ(arenas_committed(), 0);
    expect_process_as_before();
}

// --- arenas that leaks keep -----------------------------------------------------

TEST(arena_with_a_leak_goes_on_to_the_next_interpreter)
{
    char *leaked = pim_obj_malloc(NULL, 100);
    memset(leaked, 'x', 100);
    end_interp();
    EXPECT_EQ(arenas_committed(), 1);

    fake_interp next;
    fake_interp_start(&next);
    char *p = pim_obj_malloc(NULL, 100);
    EXPECT_PTR_EQ(pim_arena_of(pim_page_of(p)),
                  pim_arena_of(pim_page_of(leaked)));
    EXPECT_EQ(arenas_committed(), 1);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).arenas, process.arenas);

    // The late free gives the unit to the arena's new owner.
    EXPECT_EQ(leaked[99], 'x');
    pim_obj_free(NULL, leaked);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).by_domain[OBJ].live_blocks,
              process.by_domain[OBJ].live_blocks);
    pim_obj_free(NULL, p);
    pim_heap_audit(fake_current_heap());
    fake_interp_stop(&next);
    EXPECT_EQ(arenas_committed(), 0);
    expect_process_as_before();
}

// A page of so few blocks that an eighth of them is none.
TEST(page_without_a_free_block_is_not_reclaimed)
{
    enum { N = 4 };
    char *leaked[N];
    EXPECT_EQ(pim_classes[pim_size_class(PIM_SMALL_MAX)].capacity, N);
    for (unsigned i = 0; i < N; i++) {
        leaked[i] = pim_obj_malloc(NULL, PIM_SMALL_MAX);
        memset(leaked[i], 'x', PIM_SMALL_MAX);
    }
    end_interp();
    fake_interp next;
    begin_other(&next);
    char *p = pim_obj_malloc(NULL, PIM_SMALL_MAX);
    EXPECT(pim_region_contains(p));
    EXPECT_EQ(pim_page_of(leaked[0])->state, PIM_PAGE_ABANDONED);
    pim_obj_free(NULL, p);
    pim_heap_audit(fake_current_heap());
    fake_interp_stop(&next);
    EXPECT_EQ(leaked[N - 1][PIM_SMALL_MAX - 1], 'x');
    pim_obj_free(NULL, leaked[0]); // now it is
    begin_other(&next);
    p = pim_obj_malloc(NULL, PIM_SMALL_MAX);
    EXPECT_PTR_EQ(p, leaked[0]);
    pim_obj_free(NULL, p);
    for (unsigned i = 1; i < N; i++) {
        pim_obj_free(NULL, leaked[i]);
    }
    fake_interp_stop(&next);
    expect_process_as_before();
}

TEST(leaks_of_many_generations_share_arenas)
{
    enum { GENERATIONS = 40 };
    void *leaked[GENERATIONS];
    leaked[0] = pim_obj_malloc(NULL, 100);
    end_interp();
    for (unsigned i = 1; i < GENERATIONS; i++) {
        fake_interp next;
        fake_interp_start(&next);
        leaked[i] = pim_obj_malloc(NULL, 100 + 50 * i);
        memset(leaked[i], 1, 100);
        fake_interp_stop(&next);
        EXPECT_LE(arenas_committed(), 1 + i / 4);
    }
    core_free_all(PIM_OBJ, leaked, GENERATIONS);
    EXPECT_EQ(arenas_committed(), 0);
    expect_process_as_before();
}

// The next interpreter's arena comes back to the process with a page of the
// first in it, freed only then.
TEST(leak_in_an_arena_that_was_passed_on_twice_is_freed)
{
    void *leaked[3];
    leaked[0] = pim_obj_malloc(NULL, 5000);
    end_interp();
    for (unsigned i = 1; i < 3; i++) {
        fake_interp next;
        fake_interp_start(&next);
        leaked[i] = pim_obj_malloc(NULL, 300);
        use_and_free_much();
        pim_heap_audit(fake_current_heap());
        fake_interp_stop(&next);
        pim_heap_audit(&pim_process_heap);
    }
    pim_obj_free(NULL, leaked[1]);
    pim_heap_audit(&pim_process_heap);
    pim_obj_free(NULL, leaked[0]);
    pim_obj_free(NULL, leaked[2]);
    EXPECT_EQ(arenas_committed(), 0);
    expect_process_as_before();
}

// --- ends of other kinds -----------------------------------------------------------

TEST(interpreter_without_a_request_ends_unnoticed)
{
    fake_interp quiet;
    fake_interp_begin(&quiet, core_next_id());
    fake_interp_end(&quiet);
    end_interp();
    expect_process_as_before();
}

TEST(retired_heap_is_empty_for_a_stale_cache)
{
    pim_obj_free(NULL, pim_obj_malloc(NULL, 8));
    end_interp();
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            EXPECT_PTR_EQ(heap->current[d][c], &pim_empty_page);
        }
    }
    EXPECT_EQ(pim_load_relaxed(&heap->serial), 0);
}

TEST(end_within_another_interpreters_attachment_works)
{
    fake_interp other;
    void *leaked = pim_obj_malloc(NULL, 64);
    fake_interp_detach(&interp);
    fake_interp_start(&other);
    void *mine = pim_obj_malloc(NULL, 64);
    fake_interp_end(&interp); // as Py_EndInterpreter() does, near its end
    pim_obj_free(NULL, leaked);
    pim_obj_free(NULL, mine);
    pim_heap_audit(fake_current_heap());
    fake_interp_stop(&other);
    expect_process_as_before();
}

SUITE(.set_up = core_set_up, .begin = begin)

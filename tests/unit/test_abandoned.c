// test_abandoned.c -- pages with orphans, from one interpreter to the next.

#include <string.h>

#include "abandoned/retained.h"
#include "arena/region.h"
#include "domain/domain.h"
#include "heap/audit.h"
#include "heap/purge.h"
#include "heap/remote.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/interp_case.h"

#define BLOCK 48
#define LEFT 20

static unsigned char *left[LEFT]; // by the first interpreter, every other block

static void
end_reclaimer(void)
{
    end_interp();
    pim_heap_audit(&pim_process_heap);
}

// One page with holes, left behind by an interpreter that ended.
static void
leave(void)
{
    void *holes[LEFT];
    begin_interp();
    for (unsigned i = 0; i < LEFT; i++) {
        left[i] = pim_obj_malloc(NULL, BLOCK);
        holes[i] = pim_obj_malloc(NULL, BLOCK);
        memset(left[i], (int)i, BLOCK);
    }
    core_free_all(PIM_OBJ, holes, LEFT);
    end_reclaimer();
}

static int
begin(void **state)
{
    (void)state;
    process = fake_figures(PIM_PROCESS_ID);
    leave();
    begin_interp();
    return 0;
}

static int
end(void **state)
{
    (void)state;
    end_reclaimer();
    fake_expect_process(&process);
    return 0;
}

static uint64_t
process_blocks(void)
{
    return fake_figures(PIM_PROCESS_ID).by_domain[OBJ].live_blocks -
           process.by_domain[OBJ].live_blocks;
}

static void
expect_left_intact(void)
{
    for (unsigned i = 0; i < LEFT; i++) {
        for (unsigned at = 0; left[i] != NULL && at < BLOCK; at++) {
            EXPECT_EQ(left[i][at], i);
        }
    }
}

static void
free_left(void)
{
    expect_left_intact();
    for (unsigned i = 0; i < LEFT; i++) {
        pim_obj_free(NULL, left[i]);
        left[i] = NULL;
    }
}

static pim_page *
page_of_left(void)
{
    return pim_page_of(left[0]);
}

// Allocates as many as fit between the orphans.
static unsigned
fill_holes(void **blocks)
{
    unsigned n = page_of_left()->capacity - LEFT;
    for (unsigned i = 0; i < n; i++) {
        blocks[i] = pim_obj_malloc(NULL, BLOCK);
        EXPECT_PTR_EQ(pim_page_of(blocks[i]), page_of_left());
        memset(blocks[i], 0xee, BLOCK);
    }
    return n;
}

TEST(holes_between_orphans_are_used_and_orphans_are_not)
{
    void *mine[1024];
    unsigned n = fill_holes(mine);
    expect_left_intact();
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, n);
    EXPECT_EQ(process_blocks(), LEFT);
    EXPECT_EQ(fake_figures(id).pages, 1);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).pages, process.pages);
    pim_heap_audit(heap);
    void *next = pim_obj_malloc(NULL, BLOCK);
    EXPECT_PTR_NE(pim_page_of(next), page_of_left());
    pim_obj_free(NULL, next);
    core_free_all(PIM_OBJ, mine, n);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 0);
    pim_heap_audit(heap);
    free_left();
}

TEST(reclaimer_frees_orphans_from_the_process_account)
{
    void *mine = pim_obj_malloc(NULL, BLOCK);
    EXPECT_PTR_EQ(pim_page_of(mine), page_of_left());
    free_left();
    EXPECT_EQ(process_blocks(), 0);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 1);
    EXPECT_EQ(fake_figures(id).remote_frees, 0);
    pim_heap_audit(heap);
    pim_obj_free(NULL, mine);
}

TEST(freed_orphans_drive_the_purge)
{
    pim_obj_free(NULL, pim_obj_malloc(NULL, BLOCK)); // reclaims the page
    pim_store_relaxed(&heap->trim_wanted, true);
    free_left();
    EXPECT(!pim_load_relaxed(&heap->trim_wanted));
}

TEST(others_free_orphans_of_a_reclaimed_page)
{
    void *mine[1024];
    unsigned n = fill_holes(mine);
    fake_interp_swap(NULL);
    free_left();
    EXPECT_EQ(process_blocks(), 0);
    pim_obj_free(NULL, mine[0]);
    fake_interp_swap(&interp);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, n - 1);
    EXPECT_EQ(fake_figures(id).remote_frees, 1);
    IN_GATE(pim_heap_drain(heap));
    pim_heap_audit(heap);
    for (unsigned i = 1; i < n; i++) {
        pim_obj_free(NULL, mine[i]);
    }
}

TEST(orphans_may_be_reallocated_by_the_reclaimer)
{
    pim_obj_free(NULL, pim_obj_malloc(NULL, BLOCK));
    unsigned char *p = pim_obj_realloc(NULL, left[7], 1000);
    left[7] = NULL;
    EXPECT_EQ(p[BLOCK - 1], 7);
    EXPECT_EQ(process_blocks(), LEFT - 1);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 1);
    pim_obj_free(NULL, p);
    free_left();
}

TEST(freed_orphan_is_used_again_by_the_reclaimer)
{
    void *mine[1024];
    unsigned n = fill_holes(mine);
    pim_obj_free(NULL, left[3]);
    unsigned char *again = pim_obj_malloc(NULL, BLOCK);
    EXPECT_PTR_EQ(again, left[3]);
    left[3] = NULL;
    EXPECT_EQ(process_blocks(), LEFT - 1);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, n + 1);
    pim_obj_free(NULL, again); // now the reclaimer's own
    EXPECT_EQ(process_blocks(), LEFT - 1);
    core_free_all(PIM_OBJ, mine, n);
    free_left();
}

TEST(reclaimer_leaves_its_own_among_the_orphans)
{
    void *mine[1024];
    unsigned n = fill_holes(mine);
    for (unsigned i = 0; i < n; i++) {
        if (i % 3 != 0) {
            pim_obj_free(NULL, mine[i]);
            mine[i] = NULL;
        }
    }
    unsigned kept = (n + 2) / 3;
    end_reclaimer();
    EXPECT_EQ(process_blocks(), LEFT + kept);
    expect_left_intact();

    begin_interp(); // the third owner
    void *third = pim_obj_malloc(NULL, BLOCK);
    EXPECT_PTR_EQ(pim_page_of(third), page_of_left());
    pim_heap_audit(heap);
    core_free_all(PIM_OBJ, mine, n);
    EXPECT_EQ(process_blocks(), LEFT);
    free_left();
    EXPECT_EQ(process_blocks(), 0);
    pim_obj_free(NULL, third);
}

TEST(page_without_a_request_of_its_class_is_reclaimed_too)
{
    void *other = pim_obj_malloc(NULL, 2000);
    EXPECT_PTR_EQ(pim_arena_of(pim_page_of(other)),
                  pim_arena_of(page_of_left()));
    pim_heap_audit(heap);
    end_reclaimer();
    begin_interp();
    pim_obj_free(NULL, other);
    free_left();
}

TEST(emptied_reclaimed_page_goes_back_to_the_arena)
{
    void *other = pim_obj_malloc(NULL, 2000); // so the page is not current
    pim_page *page = page_of_left();
    EXPECT_EQ(page->state, PIM_PAGE_PARTIAL);
    free_left();
    EXPECT_EQ(page->state, PIM_PAGE_UNUSED);
    pim_heap_audit(heap);
    pim_obj_free(NULL, other);
}

// --- a page too full to be reclaimed ---------------------------------------------

TEST(full_page_stays_with_the_process_in_a_reclaimed_arena)
{
    enum { N = 2000 };
    static void *full[N];
    core_fill(PIM_OBJ, full, N, 100);
    end_reclaimer();

    begin_interp();
    void *mine = pim_obj_malloc(NULL, 200);
    EXPECT_PTR_EQ(pim_arena_of(pim_page_of(mine)),
                  pim_arena_of(pim_page_of(full[0])));
    EXPECT_EQ(pim_page_of(full[0])->state, PIM_PAGE_ABANDONED);
    pim_heap_audit(heap);
    core_free_all(PIM_OBJ, full, N);
    EXPECT_EQ(pim_page_of(mine)->state, PIM_PAGE_CURRENT);
    pim_heap_audit(heap);
    pim_heap_audit(&pim_process_heap);
    // Their units were returned to the reclaimer.
    EXPECT(pim_load_relaxed(&heap->arenas.returned));
    IN_GATE(pim_heap_purge(heap, true));
    EXPECT_EQ(process_blocks(), LEFT);
    pim_heap_audit(heap);
    pim_obj_free(NULL, mine);
    free_left();
}

// Late frees make room in an abandoned arena that nobody has reclaimed yet.
TEST(room_made_by_late_frees_is_reclaimed)
{
    enum { N = 20000 };
    static void *full[N];
    core_fill(PIM_OBJ, full, N, 100);
    end_reclaimer();
    pim_heap_audit(&pim_process_heap);
    for (unsigned i = 0; i < N; i += 2) {
        pim_obj_free(NULL, full[i]);
    }
    pim_heap_audit(&pim_process_heap);
    uint64_t arenas = fake_figures(PIM_PROCESS_ID).arenas;
    begin_interp();
    void *mine = pim_obj_malloc(NULL, 100);
    EXPECT_LT(fake_figures(PIM_PROCESS_ID).arenas, arenas);
    EXPECT_EQ(fake_figures(id).arenas, 1);
    for (unsigned i = 1; i < N; i += 2) {
        pim_obj_free(NULL, full[i]);
    }
    pim_obj_free(NULL, mine);
    free_left();
}

// --- retained memory -------------------------------------------------------------

static uint64_t
reset_bytes(void)
{
    return pim_load_relaxed(&fake.reset_bytes);
}

// An interpreter that uses much and leaves a block on each of a few pages.
static void
leave_scattered(void **kept, unsigned pages)
{
    static void *all[20000];
    unsigned n = 0;
    for (unsigned i = 0; i < pages * 40; i++) {
        all[n++] = pim_obj_malloc(NULL, 400);
    }
    for (unsigned i = 0; i < n; i++) {
        if (i % 40 == 0) {
            kept[i / 40] = all[i];
        } else {
            pim_obj_free(NULL, all[i]);
        }
    }
}

static void
free_scattered(void **kept, unsigned pages)
{
    core_free_all(PIM_OBJ, kept, pages);
    free_left();
}

TEST(holes_stay_for_a_reclaimer_that_comes_in_time)
{
    enum { PAGES = 30 };
    void *kept[PAGES];
    fake_os_stop_clock();
    leave_scattered(kept, PAGES);
    uint64_t before = reset_bytes();
    end_reclaimer();
    EXPECT_EQ(reset_bytes(), before);
    begin_interp();
    void *mine = pim_obj_malloc(NULL, 400);
    EXPECT_PTR_EQ(pim_arena_of(pim_page_of(mine)),
                  pim_arena_of(pim_page_of(kept[0])));
    EXPECT_EQ(reset_bytes(), before);
    pim_obj_free(NULL, mine);
    free_scattered(kept, PAGES);
    pim_store_relaxed(&fake.clock_stands, false);
}

TEST(holes_go_when_no_reclaimer_comes_in_time)
{
    enum { PAGES = 30 };
    void *kept[PAGES];
    fake_os_stop_clock();
    leave_scattered(kept, PAGES);
    uint64_t before = reset_bytes();
    end_reclaimer();
    fake_os_advance(PIM_PURGE_DELAY_MS - 1);
    pim_gate_enter();
    pim_lock_acquire(&pim_process_lock);
    EXPECT_EQ(pim_retained_trim(false), 0);
    EXPECT_NE(pim_load_relaxed(&pim_retained_until), 0);
    EXPECT_EQ(reset_bytes(), before);
    fake_os_advance(1);
    EXPECT_GE(pim_retained_trim(false), PAGES * PIM_UNIT_SIZE / 2);
    EXPECT_EQ(pim_load_relaxed(&pim_retained_until), 0);
    EXPECT_GE(reset_bytes(), before + PAGES * PIM_UNIT_SIZE / 2);
    pim_lock_release(&pim_process_lock);
    pim_gate_exit();
    pim_heap_audit(&pim_process_heap);
    begin_interp();
    free_scattered(kept, PAGES);
    pim_store_relaxed(&fake.clock_stands, false);
}

static size_t
trim(bool all)
{
    pim_gate_enter();
    pim_lock_acquire(&pim_process_lock);
    size_t bytes = pim_retained_trim(all) + pim_region_trim();
    pim_lock_release(&pim_process_lock);
    pim_gate_exit();
    return bytes;
}

// Whether nothing is kept: all of the budget is to be had.
static bool
budget_is_free(void)
{
    pim_gate_enter();
    bool all = pim_region_charge(PIM_RETAINED_BYTES);
    if (all) {
        pim_region_uncharge(PIM_RETAINED_BYTES);
    }
    pim_gate_exit();
    return all;
}

TEST(what_was_kept_and_trimmed_leaves_the_budget_free)
{
    enum { PAGES = 30 };
    void *kept[PAGES];
    leave_scattered(kept, PAGES);
    end_reclaimer();
    EXPECT(!budget_is_free());
    EXPECT_GT(trim(true), 0);
    EXPECT(budget_is_free());
    begin_interp();
    free_scattered(kept, PAGES);
}

TEST(what_was_kept_and_reclaimed_leaves_the_budget_free)
{
    enum { PAGES = 30 };
    void *kept[PAGES];
    leave_scattered(kept, PAGES);
    end_reclaimer();
    trim(false);
    begin_interp();
    void *mine = pim_obj_malloc(NULL, 400);
    EXPECT_PTR_EQ(pim_arena_of(pim_page_of(mine)),
                  pim_arena_of(pim_page_of(kept[0])));
    trim(true); // arenas that nobody reclaimed
    EXPECT(budget_is_free());
    pim_obj_free(NULL, mine);
    free_scattered(kept, PAGES);
}

SUITE(.set_up = core_set_up, .begin = begin, .end = end)

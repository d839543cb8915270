// test_reclaim.c -- a page that is reclaimed while its first owner still ends.
//
// The order of events is forced, not hoped for: a thread that is inside the gate
// holds the end up between its two steps, as a slow remote free does.

#include <sched.h>

#include "domain/domain.h"
#include "heap/audit.h"
#include "heap/remote.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/team.h"

#define BLOCK 48
#define BLOCKS 100 // less than a page

static fake_interp first;
static pim_heap *heap;       // of the first
static void *blocks[BLOCKS]; // what it leaves
static _Atomic bool inside;
static _Atomic bool known; // the reclaimer's thread, to the gate
static _Atomic bool pushed;

// Does what pim_heap_free_remote() does in a thread that found the page's first
// owner and then was not scheduled for a while.
static void
push_slowly(team_member *self)
{
    (void)self;
    pim_page *page = pim_page_of(blocks[0]);
    bool tagged;
    pim_gate_enter();
    pim_store_release(&inside, true);
    while (pim_page_owner(page, &tagged) == heap) {
        sched_yield();
    }
    pim_pending_add(&heap->remote.pending[OBJ], page->size_class,
                    page->block_size);
    pim_add_relaxed(&heap->remote.frees, 1);
    EXPECT(pim_page_push_remote(page, blocks[0]));
    page->remote_next = pim_load_relaxed(&heap->remote.pages);
    pim_store_release(&heap->remote.pages, page);
    wait_for(&pushed);
    pim_gate_exit();
}

static void
reclaim(fake_interp *reclaimer)
{
    fake_interp_start(reclaimer);
    void *p = pim_obj_malloc(NULL, BLOCK);
    EXPECT_PTR_EQ(pim_page_of(p), pim_page_of(blocks[0]));
    pim_obj_free(NULL, p);
}

static void
reclaimer_works(team_member *self)
{
    fake_interp reclaimer;
    void *mine[BLOCKS];
    bool tagged;
    (void)self;
    pim_gate_enter(); // a first entry waits while an end does
    pim_gate_exit();
    pim_store_release(&known, true);
    pim_page *page = pim_page_of(blocks[0]);
    while (pim_page_owner(page, &tagged) != &pim_defunct_heap ||
           pim_load_relaxed(&pim_abandoned_arenas.arenas) == 0) {
        sched_yield(); // pages are handed over before their arena is
    }
    reclaim(&reclaimer);
    unsigned used = pim_page_used(page);
    pim_store_release(&pushed, true);
    for (unsigned round = 0; round < 2000; round++) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            mine[i] = pim_obj_malloc(NULL, BLOCK);
        }
        for (unsigned i = 0; i < BLOCKS; i++) {
            pim_obj_free(NULL, mine[i]);
        }
    }
    // Nobody else may have touched the page; now its new owner does.
    EXPECT_LE(pim_page_used(page), used);
    IN_GATE(pim_heap_drain(fake_current_heap()));
    for (unsigned i = 1; i < BLOCKS; i++) {
        pim_obj_free(NULL, blocks[i]);
    }
    pim_heap_audit(fake_current_heap());
    fake_interp_stop(&reclaimer);
}

static void
leave_blocks(void)
{
    fake_interp_start(&first);
    heap = fake_current_heap();
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = pim_obj_malloc(NULL, BLOCK);
    }
    fake_interp_detach(&first);
    pim_store_relaxed(&inside, false);
    pim_store_relaxed(&known, false);
    pim_store_relaxed(&pushed, false);
}

TEST(late_push_on_a_reclaimed_page_is_seen_by_the_reclaimer)
{
    for (unsigned round = 0; round < TEAM_ROUNDS(100); round++) {
        team t = {.count = 0};
        pim_figures before = fake_figures(PIM_PROCESS_ID);
        leave_blocks();
        team_add(&t, push_slowly);
        wait_for(&inside);
        team_add(&t, reclaimer_works);
        wait_for(&known);
        fake_interp_end(&first);
        team_join(&t);
        fake_expect_process(&before);
        pim_heap_audit(&pim_process_heap);
    }
}

SUITE(.set_up = core_set_up_with_clock)

// test_idle.c -- what a heap keeps though nothing lives in it, and when it goes.

#include <string.h>

#include "arena/region.h"
#include "domain/domain.h"
#include "heap/alloc.h"
#include "heap/audit.h"
#include "heap/purge.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"
#include "support/interp_case.h"

#define BLOCK 48

static int
end(void **state)
{
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_bytes, 0);
    return interp_case_end(state);
}

static unsigned
capacity_of(size_t size)
{
    return pim_classes[pim_size_class(size)].capacity;
}

static size_t
purge(void)
{
    pim_gate_enter();
    size_t bytes = pim_heap_purge(heap, true);
    pim_gate_exit();
    return bytes;
}

static uint64_t
committed_units(void)
{
    return fake_figures(id).committed_bytes / PIM_UNIT_SIZE;
}

// --- in time ------------------------------------------------------

// Opens and empties `pages` pages besides the current one; advances no clock.
static void
swing(unsigned pages)
{
    enum { MAX = 64 * 1024 };
    static void *blocks[MAX];
    unsigned n = (pages + 1) * capacity_of(BLOCK);
    EXPECT_LE(n, MAX);
    core_fill(PIM_OBJ, blocks, n, BLOCK);
    core_free_all(PIM_OBJ, blocks, n);
}

// Slow paths, so many that the heap looks at the clock; it ends as it was.
static void
slow_paths(void)
{
    void *blocks[1024];
    unsigned n = capacity_of(512) + 1;
    for (unsigned i = 0; i < 200; i++) {
        core_fill(PIM_OBJ, blocks, n, 512);
        core_free_all(PIM_OBJ, blocks, n);
    }
}

// Lifts the peak, below which idle memory stays, and has none idle.
static void
reach(unsigned pages)
{
    swing(pages);
    purge();
    EXPECT_EQ(heap->arenas.idle_units, 0);
    EXPECT_EQ(heap->idle.empty_units, 0);
}

TEST(empty_pages_keep_their_memory_until_the_delay)
{
    reach(40);
    swing(20);
    slow_paths();
    uint64_t committed = fake_figures(id).committed_bytes;
    EXPECT_GE(committed, 20 * PIM_UNIT_SIZE);
    fake_os_advance(PIM_PURGE_DELAY_MS - 1);
    uint64_t before = fake_os_calls(FAKE_RESET);
    slow_paths();
    EXPECT_EQ(fake_os_calls(FAKE_RESET), before);
    EXPECT_EQ(fake_figures(id).committed_bytes, committed);
    fake_os_advance(1);
    slow_paths();
    EXPECT_LE(heap->idle.empty_units, 1); // of those slow paths
}

TEST(empty_pages_give_their_memory_back_after_two_ticks)
{
    reach(40);
    swing(20);
    slow_paths();
    uint64_t committed = fake_figures(id).committed_bytes;
    for (unsigned tick = 0; tick < 2; tick++) {
        fake_os_advance(PIM_PURGE_DELAY_MS);
        slow_paths();
    }
    EXPECT_LE(fake_figures(id).committed_bytes, committed - 19 * PIM_UNIT_SIZE);
    EXPECT_LE(fake_figures(id).committed_bytes, 4 * PIM_UNIT_SIZE);
    pim_heap_audit(heap);
}

// What is handed out tells the time, too: here always the same block, so that
// no request comes to a slow path.
TEST(program_that_does_little_gives_memory_back)
{
    reach(40);
    swing(20);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 512)); // has a current page
    uint64_t pages = fake_figures(id).pages;
    for (unsigned tick = 0; tick < 3; tick++) {
        for (uint64_t n = 0; n <= PIM_CREDIT_MAX; n += 512) {
            pim_obj_free(NULL, pim_obj_malloc(NULL, 512));
        }
        fake_os_advance(PIM_PURGE_DELAY_MS);
    }
    EXPECT_LE(fake_figures(id).pages, pages);
    for (uint64_t n = 0; n <= PIM_CREDIT_MAX; n += 512) {
        pim_obj_free(NULL, pim_obj_malloc(NULL, 512));
    }
    EXPECT_LE(fake_figures(id).committed_bytes, 4 * PIM_UNIT_SIZE);
}

static unsigned looked_again;

static void
count_look(const pim_heap *of)
{
    looked_again += of == heap;
}

// A steady program with something idle, which takes from pages that have room:
// the clock of what is handed out is not that of slow paths.
TEST(steady_program_looks_at_its_owner_and_trims_when_told)
{
    static void *blocks[300 * PIM_UNIT_SIZE / 64]; // the largest credit
    unsigned n = 300 * capacity_of(64);
    void (*look)(const pim_heap *of) = pim_heap_look_again;
    core_fill(PIM_OBJ, blocks, n, 64);
    swing(4);
    pim_heap_look_again = count_look;
    looked_again = 0;
    pim_store_relaxed(&heap->trim_wanted, true);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = round % 7; i < n; i += 7) {
            pim_obj_free(NULL, blocks[i]);
        }
        for (unsigned i = round % 7; i < n; i += 7) {
            blocks[i] = pim_obj_malloc(NULL, 64);
        }
    }
    pim_heap_look_again = look;
    EXPECT_GE(looked_again, 1);
    EXPECT(!pim_load_relaxed(&heap->trim_wanted));
    core_free_all(PIM_OBJ, blocks, n);
}

TEST(pages_in_use_are_never_purged)
{
    void *blocks[10 * 1024];
    unsigned n = 10 * capacity_of(BLOCK);
    core_fill(PIM_OBJ, blocks, n, BLOCK);
    for (unsigned i = 0; i < n; i++) {
        memset(blocks[i], 0x5a, BLOCK);
    }
    for (unsigned tick = 0; tick < 4; tick++) {
        swing(3);
        slow_paths();
        fake_os_advance(PIM_PURGE_DELAY_MS);
        slow_paths();
    }
    for (unsigned i = 0; i < n; i++) {
        EXPECT_EQ(((unsigned char *)blocks[i])[BLOCK - 1], 0x5a);
    }
    core_free_all(PIM_OBJ, blocks, n);
}

TEST(empty_arena_goes_back_to_the_region_when_purged)
{
    enum { MANY = 200 };
    void *blocks[MANY * 8];
    unsigned n = MANY * 8 / 2;
    uint64_t committed = fake_os_committed();
    core_fill(PIM_OBJ, blocks, n, PIM_SMALL_MAX); // several arenas
    EXPECT_GT(fake_figures(id).arenas, 2);
    core_free_all(PIM_OBJ, blocks, n);
    slow_paths();
    for (unsigned tick = 0; tick < 3; tick++) {
        fake_os_advance(PIM_PURGE_DELAY_MS);
        slow_paths();
    }
    // The two classes' current pages may lie in different ones.
    EXPECT_LE(fake_figures(id).arenas, 2);
    IN_GATE(pim_region_trim());
    EXPECT_LE(fake_os_committed(), committed + 3 * PIM_ARENA_SIZE);
    pim_heap_audit(heap);
}

TEST(purging_all_leaves_only_used_units_committed)
{
    void *p = pim_obj_malloc(NULL, BLOCK);
    swing(30);
    EXPECT_GE(purge(), 29 * PIM_UNIT_SIZE);
    pim_figures f = fake_figures(id);
    EXPECT_EQ(f.committed_bytes, f.pages * PIM_UNIT_SIZE);
    EXPECT_EQ(f.arenas, 1);
    pim_obj_free(NULL, p);
}

// --- empty pages -----------------------------------------------------------------

TEST(empty_pages_stay_with_their_class)
{
    reach(40);
    swing(20);
    uint64_t pages = fake_figures(id).pages;
    EXPECT_EQ(pages, 21);
    EXPECT_EQ(heap->idle.empty_units, 20);
    EXPECT_EQ(heap->arenas.idle_units, 0);
    uint64_t committed = committed_units();
    swing(20);
    EXPECT_EQ(fake_figures(id).pages, pages);
    EXPECT_EQ(committed_units(), committed);
}

TEST(empty_pages_are_released_when_they_are_too_many)
{
    unsigned many = PIM_EMPTY_UNITS + PIM_EMPTY_UNITS / 4;
    reach(2 * many);
    swing(many);
    EXPECT_LE(heap->idle.empty_units,
              PIM_EMPTY_UNITS + heap->arenas.used_units / PIM_EMPTY_SHARE);
    EXPECT_LE(fake_figures(id).pages, many / 2);
    EXPECT_GE(heap->arenas.idle_units, many / 2); // released, not yet returned
}

TEST(empty_pages_are_released_before_a_new_arena_is_taken)
{
    reach(PIM_ARENA_UNITS);
    swing(PIM_EMPTY_UNITS - 4);
    EXPECT_EQ(fake_figures(id).arenas, 1);
    EXPECT_EQ(heap->idle.empty_units, PIM_EMPTY_UNITS - 4);
    void *span = pim_obj_malloc(NULL, (PIM_ARENA_UNITS / 2) * PIM_UNIT_SIZE);
    EXPECT_EQ(fake_figures(id).arenas, 1);
    pim_obj_free(NULL, span);
}

// Of each larger class one page, empty and current.
TEST(few_larger_current_pages_stay_though_they_are_empty)
{
    void *p[PIM_EMPTY_CURRENT + 2];
    reach(60);
    for (unsigned i = 0; i < PIM_ARRAY_LEN(p); i++) {
        size_t size = pim_classes[PIM_CLASSES - 1 - i].block_size;
        p[i] = pim_obj_malloc(NULL, size);
    }
    EXPECT_EQ(fake_figures(id).pages, PIM_ARRAY_LEN(p));
    core_free_all(PIM_OBJ, p, PIM_ARRAY_LEN(p));
    EXPECT_EQ(fake_figures(id).pages, PIM_EMPTY_CURRENT);
    for (unsigned i = 0; i < 100; i++) { // one that stays is not released
        void *q = pim_obj_malloc(NULL, PIM_SMALL_MAX - 5000);
        pim_obj_free(NULL, q);
    }
    EXPECT_EQ(fake_figures(id).pages, PIM_EMPTY_CURRENT);
    pim_heap_audit(heap);
}

TEST(larger_current_page_in_use_again_is_not_released)
{
    void *p[PIM_EMPTY_CURRENT];
    void *kept = pim_obj_malloc(NULL, PIM_SMALL_MAX);
    pim_obj_free(NULL, kept);
    kept = pim_obj_malloc(NULL, PIM_SMALL_MAX); // noted as empty, and is not
    memset(kept, 'k', PIM_SMALL_MAX);
    for (unsigned i = 0; i < PIM_ARRAY_LEN(p); i++) {
        p[i] =
            pim_obj_malloc(NULL, pim_classes[PIM_CLASSES - 2 - i].block_size);
        pim_obj_free(NULL, p[i]);
    }
    EXPECT_EQ(pim_page_of(kept)->state, PIM_PAGE_CURRENT);
    EXPECT_EQ(pim_page_used(pim_page_of(kept)), 1);
    EXPECT_EQ(((char *)kept)[PIM_SMALL_MAX - 1], 'k');
    pim_obj_free(NULL, kept);
}

// --- peaks -----------------------------------------------------------------------

TEST(no_new_peak_is_made_while_much_lies_idle)
{
    enum { PAGES = 300, SPANS = 20, UNITS = 20 };
    static void *blocks[PAGES * 32];
    void *spans[SPANS];
    EXPECT_EQ(capacity_of(512), 32);
    core_fill(PIM_OBJ, blocks, PAGES * 32, 512);
    for (unsigned i = 0; i < PAGES; i += 2) { // idle, and useless for spans
        core_free_all(PIM_OBJ, blocks + 32 * i, 32);
    }
    uint64_t peak = committed_units();
    EXPECT_GE(heap->idle.empty_units + heap->arenas.idle_units, PAGES / 2 - 1);
    for (unsigned i = 0; i < SPANS; i++) {
        spans[i] = pim_obj_malloc(NULL, UNITS * PIM_UNIT_SIZE);
        uint64_t now = committed_units();
        EXPECT(now <= peak + pim_heap_peak_step(peak) ||
               heap->arenas.idle_units + heap->idle.empty_units <=
                   pim_heap_peak_step(now) + UNITS);
        peak = now > peak ? now : peak;
        pim_heap_audit(heap);
    }
    EXPECT_LE(peak, PAGES / 2 + SPANS * UNITS + pim_heap_peak_step(PAGES));
    core_free_all(PIM_OBJ, spans, SPANS);
    for (unsigned i = 1; i < PAGES; i += 2) {
        core_free_all(PIM_OBJ, blocks + 32 * i, 32);
    }
}

// --- grants ----------------------------------------------------------------------

#define UNIT_BLOCK 512 // 32 to a unit

// Blocks of `units` units, freed again from the first on.
typedef struct bulk {
    void **blocks;
    unsigned n;
} bulk;

static bulk
bulk_of(size_t units)
{
    bulk b = {.n = (unsigned)units * 32};
    b.blocks = test_malloc(b.n * sizeof(void *));
    core_fill(PIM_OBJ, b.blocks, b.n, UNIT_BLOCK);
    return b;
}

static void
bulk_free(bulk *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        pim_obj_free(NULL, b->blocks[i]);
        EXPECT_EQ(heap->purge.credit % PIM_IDLE_CREDIT, 0);
        EXPECT_LE(heap->purge.credit, PIM_IDLE_CREDITS);
        EXPECT_LE(heap->arenas.idle_units, heap->arenas.used_units +
                                               PIM_IDLE_UNITS +
                                               heap->purge.credit);
    }
    test_free(b->blocks);
}

// All that may be granted is not enough: pages are released and memory is purged
// in the same breath.
TEST(heap_that_shrinks_keeps_no_more_than_it_may)
{
    bulk b = bulk_of(PIM_IDLE_CREDITS + 2 * PIM_IDLE_UNITS);
    bulk_free(&b);
    pim_heap_audit(heap);
    EXPECT_LE(committed_units(),
              heap->arenas.used_units + PIM_IDLE_UNITS + heap->purge.credit);
    EXPECT_EQ(purge() != 0, heap->arenas.idle_units == 0);
    EXPECT_EQ(heap->purge.credit, 0);
}

TEST(grants_are_shared_and_go_back_at_a_purge_and_at_the_end)
{
    fake_interp other;
    bulk b = bulk_of(4 * PIM_IDLE_UNITS);
    bulk_free(&b);
    size_t first = heap->purge.credit;
    EXPECT_GT(first, 0);
    for (unsigned i = 0; i < 2; i++) {
        fake_interp_detach(&interp);
        fake_interp_start(&other);
        pim_heap *mine = heap;
        heap = fake_current_heap();
        b = bulk_of(PIM_IDLE_CREDITS + PIM_IDLE_UNITS);
        size_t most = 0;
        for (unsigned j = 0; j < b.n; j++) {
            pim_obj_free(NULL, b.blocks[j]);
            most = heap->purge.credit > most ? heap->purge.credit : most;
        }
        EXPECT_EQ(most, PIM_IDLE_CREDITS - mine->purge.credit);
        test_free(b.blocks);
        heap = mine;
        fake_interp_stop(&other);
        fake_interp_attach(&interp);
        purge(); // the second time all are to be had
        EXPECT_EQ(heap->purge.credit, 0);
    }
}

// --- huge pages ------------------------------------------------------------------

TEST(arenas_of_large_heaps_are_dense_and_serve_single_units_only)
{
    size_t units = (PIM_HUGE_FROM_ARENAS + 2) * PIM_ARENA_UNITS;
    bulk b = bulk_of(units);
    EXPECT_EQ(fake_figures(id).arenas, PIM_HUGE_FROM_ARENAS + 2);
    EXPECT_EQ(heap->arenas.dense, 2);
    for (unsigned i = 0; i < 60; i++) {
        pim_obj_free(NULL, pim_obj_malloc(NULL, 600 * i + 1));
    }
    void *span = pim_obj_malloc(NULL, 3 * PIM_UNIT_SIZE);
    EXPECT(!pim_arena_of(pim_page_of(span))->dense);
    for (unsigned i = 0; i < b.n; i++) {
        EXPECT_EQ(pim_page_units(pim_page_of(b.blocks[i])), 1);
    }
    pim_heap_audit(heap);
    pim_obj_free(NULL, span);
    bulk_free(&b);
}

// Of raw blocks of this size mimalloc keeps the memory.
static void
use_mimalloc(void)
{
    void *p = pim_raw_malloc(NULL, 3 * PIM_SMALL_MAX);
    EXPECT(pim_mi.contains(p));
    pim_raw_free(NULL, p);
}

TEST(mimalloc_is_purged_at_the_tick_after_a_free)
{
    use_mimalloc();
    uint64_t purges = pim_load_relaxed(&fake_mi.purges);
    slow_paths();
    EXPECT_EQ(pim_load_relaxed(&fake_mi.purges), purges);
    fake_os_advance(PIM_PURGE_DELAY_MS);
    slow_paths();
    EXPECT_EQ(pim_load_relaxed(&fake_mi.purges), purges + 1);
    fake_os_advance(PIM_PURGE_DELAY_MS);
    slow_paths();
    EXPECT_EQ(pim_load_relaxed(&fake_mi.purges),
              purges + 1); // nothing was freed
}

TEST(mimalloc_is_purged_at_the_end_of_an_interpreter)
{
    fake_interp other;
    fake_interp_detach(&interp);
    fake_interp_start(&other);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1)); // it is known from here on
    use_mimalloc();
    fake_interp_detach(&other);
    uint64_t purges = pim_load_relaxed(&fake_mi.purges);
    fake_interp_end(&other);
    EXPECT_EQ(pim_load_relaxed(&fake_mi.purges), purges + 1);
    fake_interp_attach(&interp);
}

SUITE(.set_up = core_set_up, .begin = interp_case_begin, .end = end)

// test_heap.c -- small blocks of one heap: pages between their states, memory
// given back in time, accounts exact.

#include <string.h>

#include "domain/domain.h"
#include "heap/heap_inline.h"
#include "support/core.h"
#include "support/expect.h"
#include "support/fake_interp.h"
#include "support/fake_os.h"

#define BLOCK 48

static fake_interp interp;
static int64_t id;
static pim_heap *heap;

static int
begin(void **state)
{
    (void)state;
    id = core_next_id();
    fake_interp_begin(&interp, id);
    fake_interp_attach(&interp);
    heap = fake_current_heap();
    return 0;
}

static int
end(void **state)
{
    (void)state;
    pim_heap_audit(heap);
    fake_interp_detach(&interp);
    fake_interp_end(&interp);
    return 0;
}

static unsigned
capacity_of(size_t size)
{
    return pim_classes[pim_size_class(size)].capacity;
}

static pim_page *
current_page(size_t size)
{
    return heap->current[PIM_SLOT(PIM_OBJ)][pim_size_class(size)];
}

static void
fill(void **blocks, unsigned n, size_t size)
{
    for (unsigned i = 0; i < n; i++) {
        blocks[i] = pim_obj_malloc(NULL, size);
        EXPECT_NOT_NULL(blocks[i]);
    }
}

static void
free_all(void **blocks, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        pim_obj_free(NULL, blocks[i]);
    }
}

TEST(new_heap_owns_nothing)
{
    pim_figures f = fake_figures(id);
    EXPECT_EQ(f.arenas, 0);
    EXPECT_EQ(f.pages, 0);
    EXPECT_EQ(f.committed_bytes, 0);
    EXPECT_PTR_EQ(current_page(BLOCK), &pim_empty_page);
}

TEST(blocks_of_a_page_are_distinct_and_inside_it)
{
    void *blocks[1024];
    unsigned n = capacity_of(BLOCK);
    fill(blocks, n, BLOCK);
    pim_page *page = pim_page_of(blocks[0]);
    for (unsigned i = 0; i < n; i++) {
        EXPECT_PTR_EQ(pim_page_of(blocks[i]), page);
        memset(blocks[i], (int)i, BLOCK);
    }
    for (unsigned i = 0; i < n; i++) {
        EXPECT_EQ(*(unsigned char *)blocks[i], i & 255);
        EXPECT_EQ(((unsigned char *)blocks[i])[BLOCK - 1], i & 255);
    }
    free_all(blocks, n);
}

TEST(last_freed_block_is_the_next_one)
{
    void *a = pim_obj_malloc(NULL, BLOCK);
    void *b = pim_obj_malloc(NULL, BLOCK);
    pim_obj_free(NULL, a);
    EXPECT_PTR_EQ(pim_obj_malloc(NULL, BLOCK), a);
    pim_obj_free(NULL, b);
    pim_obj_free(NULL, a);
}

TEST(exhausted_page_is_full_and_comes_back_with_its_first_free)
{
    void *blocks[1024];
    unsigned n = capacity_of(BLOCK);
    fill(blocks, n, BLOCK);
    pim_page *page = pim_page_of(blocks[0]);
    EXPECT_EQ(page->state, PIM_PAGE_CURRENT);
    void *next = pim_obj_malloc(NULL, BLOCK);
    EXPECT_EQ(page->state, PIM_PAGE_FULL);
    EXPECT_PTR_NE(pim_page_of(next), page);
    pim_heap_audit(heap);

    pim_obj_free(NULL, blocks[0]);
    EXPECT_EQ(page->state, PIM_PAGE_PARTIAL);
    pim_heap_audit(heap);
    free_all(blocks + 1, n - 1);
    EXPECT_EQ(page->state, PIM_PAGE_UNUSED);
    EXPECT_EQ(fake_figures(id).pages, 1);
    pim_obj_free(NULL, next);
}

TEST(partial_page_serves_before_a_new_one_is_opened)
{
    void *blocks[3 * 1024];
    unsigned n = 3 * capacity_of(BLOCK);
    fill(blocks, n, BLOCK);
    EXPECT_EQ(fake_figures(id).pages, 3);
    pim_obj_free(NULL, blocks[5]);
    // The current page is used up, so the next block is the one just freed.
    EXPECT_PTR_EQ(pim_obj_malloc(NULL, BLOCK), blocks[5]);
    EXPECT_EQ(fake_figures(id).pages, 3);
    EXPECT_EQ(pim_page_of(blocks[5])->state, PIM_PAGE_CURRENT);
    free_all(blocks, n);
}

TEST(empty_current_page_is_kept)
{
    void *p = pim_obj_malloc(NULL, BLOCK);
    pim_page *page = pim_page_of(p);
    pim_obj_free(NULL, p);
    EXPECT_EQ(pim_page_used(page), 0);
    EXPECT_EQ(page->state, PIM_PAGE_CURRENT);
    EXPECT_PTR_EQ(pim_obj_malloc(NULL, BLOCK), p);
    pim_obj_free(NULL, p);
}

TEST(domains_do_not_share_pages)
{
    void *mem = pim_mem_malloc(NULL, BLOCK);
    void *obj = pim_obj_malloc(NULL, BLOCK);
    EXPECT_PTR_NE(pim_page_of(mem), pim_page_of(obj));
    EXPECT_EQ(pim_page_of(mem)->domain, PIM_MEM);
    EXPECT_EQ(pim_page_of(obj)->domain, PIM_OBJ);
    pim_mem_free(NULL, mem);
    pim_obj_free(NULL, obj);
}

TEST(live_and_peak_are_exact)
{
    void *a = pim_mem_malloc(NULL, 100);
    void *b = pim_mem_malloc(NULL, 600);
    void *c = pim_obj_malloc(NULL, 1);
    pim_figures f = fake_figures(id);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_MEM)].live_bytes,
              112 + core_block_bytes(600));
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_MEM)].live_blocks, 2);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_OBJ)].live_bytes, 16);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_OBJ)].live_blocks, 1);
    pim_mem_free(NULL, a);
    pim_mem_free(NULL, b);
    pim_obj_free(NULL, c);
    f = fake_figures(id);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_MEM)].live_bytes, 0);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_MEM)].live_blocks, 0);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_MEM)].peak_bytes,
              112 + core_block_bytes(600));
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_MEM)].peak_blocks, 2);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_OBJ)].peak_bytes, 16);
    EXPECT_EQ(f.remote_frees, 0);
}

TEST(every_class_fills_pages_of_its_own)
{
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        size_t size = pim_classes[c].block_size;
        void *blocks[1025];
        unsigned n = pim_classes[c].capacity + 1u;
        fill(blocks, n, size);
        for (unsigned i = 0; i < n; i++) {
            memset(blocks[i], 0xab, size);
        }
        EXPECT_EQ(pim_page_of(blocks[0])->size_class, c);
        EXPECT_EQ(pim_page_of((char *)blocks[n - 2] + size - 1)->size_class, c);
        pim_heap_audit(heap);
        free_all(blocks, n);
    }
    EXPECT_EQ(fake_figures(id).pages, PIM_CLASSES);
}

// --- giving memory back ------------------------------------------------------

// Opens and empties `pages` pages besides the current one; advances no clock.
static void
swing(unsigned pages)
{
    enum { MAX = 64 * 1024 };
    static void *blocks[MAX];
    unsigned n = (pages + 1) * capacity_of(BLOCK);
    EXPECT_LE(n, MAX);
    fill(blocks, n, BLOCK);
    free_all(blocks, n);
}

// Makes the heap take its slow path and end as it was.
static void
slow_path(void)
{
    void *blocks[1024];
    unsigned n = capacity_of(512) + 1;
    fill(blocks, n, 512);
    free_all(blocks, n);
}

TEST(empty_pages_keep_their_memory_until_the_delay)
{
    slow_path();
    swing(20);
    uint64_t committed = fake_figures(id).committed_bytes;
    EXPECT_GE(committed, 20 * PIM_UNIT_SIZE);
    fake_os_advance(PIM_PURGE_DELAY_MS - 1);
    uint64_t before = fake_os_calls(FAKE_RESET);
    slow_path();
    EXPECT_EQ(fake_os_calls(FAKE_RESET), before);
    EXPECT_EQ(fake_figures(id).committed_bytes, committed);
}

TEST(empty_pages_give_their_memory_back_after_two_ticks)
{
    slow_path();
    swing(20);
    uint64_t committed = fake_figures(id).committed_bytes;
    for (unsigned tick = 0; tick < 2; tick++) {
        fake_os_advance(PIM_PURGE_DELAY_MS);
        slow_path();
    }
    EXPECT_LE(fake_figures(id).committed_bytes, committed - 19 * PIM_UNIT_SIZE);
    EXPECT_LE(fake_figures(id).committed_bytes, 4 * PIM_UNIT_SIZE);
    pim_heap_audit(heap);
}

TEST(pages_in_use_are_never_purged)
{
    void *blocks[10 * 1024];
    unsigned n = 10 * capacity_of(BLOCK);
    fill(blocks, n, BLOCK);
    for (unsigned i = 0; i < n; i++) {
        memset(blocks[i], 0x5a, BLOCK);
    }
    for (unsigned tick = 0; tick < 4; tick++) {
        swing(3);
        fake_os_advance(PIM_PURGE_DELAY_MS);
        slow_path();
    }
    for (unsigned i = 0; i < n; i++) {
        EXPECT_EQ(((unsigned char *)blocks[i])[BLOCK - 1], 0x5a);
    }
    free_all(blocks, n);
}

TEST(empty_arena_goes_back_to_the_region_when_purged)
{
    enum { MANY = 200 };
    void *blocks[MANY * 8];
    unsigned n = MANY * 8 / 2;
    uint64_t committed = pim_load_relaxed(&fake.committed_bytes);
    fill(blocks, n, 32768); // eight to sixteen units each: several arenas
    EXPECT_GT(fake_figures(id).arenas, 2);
    free_all(blocks, n);
    for (unsigned tick = 0; tick < 3; tick++) {
        fake_os_advance(PIM_PURGE_DELAY_MS);
        slow_path();
    }
    // The two classes' current pages may lie in different ones.
    EXPECT_LE(fake_figures(id).arenas, 2);
    pim_gate_enter();
    pim_region_trim();
    pim_gate_exit();
    EXPECT_LE(pim_load_relaxed(&fake.committed_bytes),
              committed + 3 * PIM_ARENA_SIZE);
    pim_heap_audit(heap);
}

TEST(purging_all_leaves_only_used_units_committed)
{
    void *p = pim_obj_malloc(NULL, BLOCK);
    swing(30);
    pim_gate_enter();
    EXPECT_GE(pim_heap_purge(heap, true), 29 * PIM_UNIT_SIZE);
    pim_gate_exit();
    pim_figures f = fake_figures(id);
    EXPECT_EQ(f.committed_bytes, f.pages * PIM_UNIT_SIZE);
    EXPECT_EQ(f.arenas, 1);
    pim_obj_free(NULL, p);
}

// --- remote frees, seen from one thread ------------------------------------------

// Frees as a thread without a thread state does.
static void
free_remotely(void *block)
{
    fake_interp_swap(NULL);
    pim_obj_free(NULL, block);
    fake_interp_swap(&interp);
}

TEST(remote_free_is_seen_after_drain)
{
    void *p = pim_obj_malloc(NULL, BLOCK);
    pim_page *page = pim_page_of(p);
    unsigned used = pim_page_used(page);
    free_remotely(p);
    EXPECT_EQ(pim_page_used(page), used);
    pim_figures f = fake_figures(id);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_OBJ)].live_blocks, 0);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_OBJ)].live_bytes, 0);
    EXPECT_EQ(f.remote_frees, 1);
    pim_heap_audit(heap);

    pim_gate_enter();
    pim_heap_drain(heap);
    pim_gate_exit();
    EXPECT_EQ(pim_page_used(page), used - 1);
    EXPECT_PTR_EQ(pim_obj_malloc(NULL, BLOCK), p);
    f = fake_figures(id);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_OBJ)].live_blocks, 1);
    EXPECT_EQ(f.remote_frees, 1);
    pim_obj_free(NULL, p);
}

TEST(remotely_emptied_pages_are_released_by_the_owner)
{
    void *blocks[3 * 1024];
    unsigned n = 3 * capacity_of(BLOCK);
    fill(blocks, n, BLOCK);
    for (unsigned i = 0; i < n; i++) {
        free_remotely(blocks[i]);
    }
    EXPECT_EQ(fake_figures(id).pages, 3);
    void *p = pim_obj_malloc(NULL, BLOCK);
    EXPECT_EQ(fake_figures(id).pages, 1);
    EXPECT_EQ(fake_figures(id).slot[PIM_SLOT(PIM_OBJ)].live_blocks, 1);
    pim_obj_free(NULL, p);
}

TEST(peak_counts_remote_frees_until_the_owner_takes_over)
{
    void *a = pim_obj_malloc(NULL, BLOCK);
    free_remotely(a);
    void *b = pim_obj_malloc(NULL, BLOCK);
    pim_figures f = fake_figures(id);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_OBJ)].live_blocks, 1);
    EXPECT_EQ(f.slot[PIM_SLOT(PIM_OBJ)].peak_blocks, 2);
    pim_obj_free(NULL, b);
}

// --- corruption ------------------------------------------------------------------

static void
free_inside_a_block(void *arg)
{
    (void)arg;
    char *p = pim_obj_malloc(NULL, BLOCK);
    fake_interp_swap(NULL);
    pim_obj_free(NULL, p + 16);
}

TEST(remote_free_inside_a_block_is_fatal)
{
    core_expect_fatal(free_inside_a_block, NULL,
                      "free of an address inside a block");
}

static void
free_in_an_unused_page(void *arg)
{
    (void)arg;
    char *p = pim_obj_malloc(NULL, BLOCK);
    pim_obj_free(NULL, (char *)pim_arena_start(pim_arena_of(pim_page_of(p))) +
                           (PIM_ARENA_UNITS - 1) * PIM_UNIT_SIZE);
}

TEST(free_in_an_unused_page_is_fatal)
{
    core_expect_fatal(free_in_an_unused_page, NULL,
                      "free of an address that is not a live block");
}

static void
break_free_list(void *arg)
{
    (void)arg;
    pim_block *p = pim_obj_malloc(NULL, BLOCK);
    pim_obj_free(NULL, p);
    p->next = (pim_block *)(void *)((char *)p + 8);
    pim_heap_audit(heap);
}

TEST(audit_finds_a_free_list_written_into)
{
    core_expect_fatal(break_free_list, NULL, "PAGE-2");
}

static void
break_used(void *arg)
{
    (void)arg;
    pim_page_of(pim_obj_malloc(NULL, BLOCK))->countdown += 1;
    pim_heap_audit(heap);
}

TEST(audit_finds_a_wrong_count)
{
    core_expect_fatal(break_used, NULL, "PAGE-1");
}

static void
break_state(void *arg)
{
    (void)arg;
    pim_page_of(pim_obj_malloc(NULL, BLOCK))->state = PIM_PAGE_PARTIAL;
    pim_heap_audit(heap);
}

TEST(audit_finds_a_current_page_that_is_not)
{
    core_expect_fatal(break_state, NULL, "HEAP-2");
}

static int
set_up(void **state)
{
    core_set_up(state);
    fake_os_stop_clock();
    return 0;
}

#define HEAP_CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest cases[] = {
        HEAP_CASE(new_heap_owns_nothing),
        HEAP_CASE(blocks_of_a_page_are_distinct_and_inside_it),
        HEAP_CASE(last_freed_block_is_the_next_one),
        HEAP_CASE(exhausted_page_is_full_and_comes_back_with_its_first_free),
        HEAP_CASE(partial_page_serves_before_a_new_one_is_opened),
        HEAP_CASE(empty_current_page_is_kept),
        HEAP_CASE(domains_do_not_share_pages),
        HEAP_CASE(live_and_peak_are_exact),
        HEAP_CASE(every_class_fills_pages_of_its_own),
        HEAP_CASE(empty_pages_keep_their_memory_until_the_delay),
        HEAP_CASE(empty_pages_give_their_memory_back_after_two_ticks),
        HEAP_CASE(pages_in_use_are_never_purged),
        HEAP_CASE(empty_arena_goes_back_to_the_region_when_purged),
        HEAP_CASE(purging_all_leaves_only_used_units_committed),
        HEAP_CASE(remote_free_is_seen_after_drain),
        HEAP_CASE(remotely_emptied_pages_are_released_by_the_owner),
        HEAP_CASE(peak_counts_remote_frees_until_the_owner_takes_over),
        HEAP_CASE(remote_free_inside_a_block_is_fatal),
        HEAP_CASE(free_in_an_unused_page_is_fatal),
        HEAP_CASE(audit_finds_a_free_list_written_into),
        HEAP_CASE(audit_finds_a_wrong_count),
        HEAP_CASE(audit_finds_a_current_page_that_is_not),
    };
    return RUN(cases, set_up, NULL);
}

// test_heap.c -- small blocks of one heap: pages between their states, accounts
// exact.  What happens to memory that is idle is in test_idle.c.

#include <string.h>

#include "domain/domain.h"
#include "heap/alloc.h"
#include "heap/audit.h"
#include "heap/purge.h"
#include "heap/remote.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/interp_case.h"
#include "support/random.h"

#define BLOCK 48

static unsigned
capacity_of(size_t size)
{
    return pim_classes[pim_size_class(size)].capacity;
}

static pim_page *
current_page(size_t size)
{
    return heap->current[OBJ][pim_size_class(size)];
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
    core_fill(PIM_OBJ, blocks, n, BLOCK);
    pim_page *page = pim_page_of(blocks[0]);
    for (unsigned i = 0; i < n; i++) {
        EXPECT_PTR_EQ(pim_page_of(blocks[i]), page);
        memset(blocks[i], (int)i, BLOCK);
    }
    for (unsigned i = 0; i < n; i++) {
        EXPECT_EQ(*(unsigned char *)blocks[i], i & 255);
        EXPECT_EQ(((unsigned char *)blocks[i])[BLOCK - 1], i & 255);
    }
    core_free_all(PIM_OBJ, blocks, n);
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

// How many of a full page's blocks must be free for it to serve again.
static unsigned
frees_to_come_back(size_t size)
{
    return capacity_of(size) / 32 + 1;
}

TEST(exhausted_page_is_full_and_comes_back_after_a_few_frees)
{
    void *blocks[1024];
    unsigned n = capacity_of(BLOCK);
    unsigned few = frees_to_come_back(BLOCK);
    core_fill(PIM_OBJ, blocks, n, BLOCK);
    pim_page *page = pim_page_of(blocks[0]);
    EXPECT_EQ(page->state, PIM_PAGE_CURRENT);
    void *next = pim_obj_malloc(NULL, BLOCK);
    EXPECT_EQ(page->state, PIM_PAGE_FULL);
    EXPECT_PTR_NE(pim_page_of(next), page);
    pim_heap_audit(heap);

    core_free_all(PIM_OBJ, blocks, few - 1);
    EXPECT_EQ(page->state, PIM_PAGE_FULL);
    pim_heap_audit(heap);
    pim_obj_free(NULL, blocks[few - 1]);
    EXPECT_EQ(page->state, PIM_PAGE_PARTIAL);
    EXPECT_EQ(pim_page_used(page), n - few);
    pim_heap_audit(heap);
    core_free_all(PIM_OBJ, blocks + few, n - few);
    pim_obj_free(NULL, next);
}

TEST(page_of_few_blocks_comes_back_with_its_first_free)
{
    void *blocks[8];
    unsigned n = capacity_of(PIM_SMALL_MAX);
    EXPECT_LE(n, 7);
    core_fill(PIM_OBJ, blocks, n + 1, PIM_SMALL_MAX);
    pim_page *page = pim_page_of(blocks[0]);
    EXPECT_EQ(page->state, PIM_PAGE_FULL);
    pim_obj_free(NULL, blocks[2]);
    EXPECT_EQ(page->state, PIM_PAGE_PARTIAL);
    blocks[2] = blocks[n];
    core_free_all(PIM_OBJ, blocks, n);
}

TEST(full_page_counts_blocks_that_are_free_before_it_comes_back)
{
    void *blocks[1025];
    unsigned n = capacity_of(16); // the most that a page can hold
    core_fill(PIM_OBJ, blocks, n + 1, 16);
    pim_page *page = pim_page_of(blocks[0]);
    for (unsigned i = 0; i < n; i++) {
        EXPECT_EQ(pim_page_used(page), n - i);
        pim_obj_free(NULL, blocks[i]);
    }
    EXPECT_EQ(pim_page_used(page), 0);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 1);
    pim_obj_free(NULL, blocks[n]);
}

TEST(partial_page_serves_before_a_new_one_is_opened)
{
    void *blocks[3 * 1024];
    unsigned n = 3 * capacity_of(BLOCK);
    core_fill(PIM_OBJ, blocks, n, BLOCK);
    EXPECT_EQ(fake_figures(id).pages, 3);
    unsigned few = frees_to_come_back(BLOCK);
    core_free_all(PIM_OBJ, blocks + 5, few);
    // The current page is used up, so the next blocks are those just freed.  So
    // few are not put in order.
    EXPECT_LE(few, capacity_of(BLOCK) / PIM_ORDER_SHARE - 1);
    for (unsigned i = few; i-- > 0;) {
        EXPECT_PTR_EQ(pim_obj_malloc(NULL, BLOCK), blocks[5 + i]);
    }
    EXPECT_EQ(fake_figures(id).pages, 3);
    EXPECT_EQ(pim_page_of(blocks[5])->state, PIM_PAGE_CURRENT);
    core_free_all(PIM_OBJ, blocks, n);
}

// A page of each class, freed in any order but for its last block, serves from the
// lowest block up when its turn comes again; freed to the last, it does, too.
static void
expect_order_after_random_frees(unsigned size_class, unsigned kept)
{
    size_t size = pim_classes[size_class].block_size;
    unsigned n = pim_classes[size_class].capacity;
    void *blocks[1024];
    void *order[1024];
    random_state random = random_from(size_class);
    IN_GATE(pim_heap_purge(heap, true)); // no page was used before
    core_fill(PIM_OBJ, blocks, n, size);
    void *other = pim_obj_malloc(NULL, size); // of the next page
    pim_page *page = pim_page_of(blocks[0]);
    EXPECT_PTR_NE(pim_page_of(other), page);
    memcpy(order, blocks, sizeof(order));
    for (unsigned i = n - kept; i > 1; i--) {
        unsigned j = (unsigned)random_below(&random, i);
        void *swapped = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swapped;
    }
    core_free_all(PIM_OBJ, order, n - kept);
    bool is_for_any = kept == 0 && pim_page_units(page) == 1;
    EXPECT_EQ(page->state, is_for_any ? PIM_PAGE_IDLE : PIM_PAGE_PARTIAL);
    void *fillers[1024];
    unsigned filled = 0;
    void *next = pim_obj_malloc(NULL, size);
    for (; pim_page_of(next) != page; next = pim_obj_malloc(NULL, size)) {
        fillers[filled++] = next;
    }
    EXPECT_PTR_EQ(next, blocks[0]);
    for (unsigned i = 1; i < n - kept; i++) {
        EXPECT_PTR_EQ(pim_obj_malloc(NULL, size), blocks[i]);
    }
    pim_heap_audit(heap);
    core_free_all(PIM_OBJ, fillers, filled);
    core_free_all(PIM_OBJ, blocks, n);
    pim_obj_free(NULL, other);
}

TEST(pages_serve_from_the_lowest_block_up_whatever_was_freed_first)
{
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        expect_order_after_random_frees(c, 1);
        expect_order_after_random_frees(c, 0);
    }
}

// Of one unit, of whatever class and domain: no new memory is touched while
// there is one.
TEST(page_that_ran_empty_serves_another_class)
{
    void *blocks[2 * PIM_UNIT_SIZE / BLOCK];
    void *others[PIM_UNIT_SIZE / 512];
    core_fill(PIM_OBJ, blocks, 2 * capacity_of(BLOCK), BLOCK);
    pim_page *page = pim_page_of(blocks[0]);
    EXPECT_PTR_NE(pim_page_of(blocks[2 * capacity_of(BLOCK) - 1]), page);
    core_free_all(PIM_OBJ, blocks, capacity_of(BLOCK));
    EXPECT_EQ(page->state, PIM_PAGE_IDLE);
    EXPECT_EQ(pim_load_relaxed(&page->owner), 0);
    uint64_t dirty = pim_load_relaxed(&heap->arenas.dirty_units);
    uint64_t pages = fake_figures(id).pages;
    core_fill(PIM_MEM, others, capacity_of(512), 512);
    EXPECT_PTR_EQ(pim_page_of(others[0]), page);
    EXPECT_PTR_EQ(pim_page_of(others[capacity_of(512) - 1]), page);
    EXPECT_EQ(pim_load_relaxed(&heap->arenas.dirty_units), dirty);
    EXPECT_EQ(fake_figures(id).pages, pages);
    pim_heap_audit(heap);
    core_free_all(PIM_MEM, others, capacity_of(512));
    core_free_all(PIM_OBJ, blocks + capacity_of(BLOCK), capacity_of(BLOCK));
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

TEST(class_that_fills_pages_has_the_next_one_populated)
{
    enum { FILLED = 4 }; // FILLED_PAGES of alloc.c
    static void *blocks[(FILLED + 1) * PIM_UNIT_SIZE / BLOCK];
    unsigned capacity = capacity_of(BLOCK);
    unsigned full = FILLED * capacity;
    uint64_t before = pim_load_relaxed(&fake.populated_bytes);
    core_fill(PIM_OBJ, blocks, full, BLOCK);
    EXPECT_EQ(pim_load_relaxed(&fake.populated_bytes), before);
    core_fill(PIM_OBJ, blocks + full, capacity, BLOCK);
    EXPECT_EQ(pim_load_relaxed(&fake.populated_bytes), before + PIM_UNIT_SIZE);
    core_free_all(PIM_OBJ, blocks, full + capacity);
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
    EXPECT_EQ(f.by_domain[MEM].live_bytes, 112 + core_block_bytes(600));
    EXPECT_EQ(f.by_domain[MEM].live_blocks, 2);
    EXPECT_EQ(f.by_domain[OBJ].live_bytes, 16);
    EXPECT_EQ(f.by_domain[OBJ].live_blocks, 1);
    pim_mem_free(NULL, a);
    pim_mem_free(NULL, b);
    pim_obj_free(NULL, c);
    f = fake_figures(id);
    EXPECT_EQ(f.by_domain[MEM].live_bytes, 0);
    EXPECT_EQ(f.by_domain[MEM].live_blocks, 0);
    EXPECT_EQ(f.by_domain[MEM].peak_bytes, 112 + core_block_bytes(600));
    EXPECT_EQ(f.by_domain[MEM].peak_blocks, 2);
    EXPECT_EQ(f.by_domain[OBJ].peak_bytes, 16);
    EXPECT_EQ(f.remote_frees, 0);
}

TEST(every_class_fills_pages_of_its_own)
{
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        size_t size = pim_classes[c].block_size;
        void *blocks[1025];
        unsigned n = pim_classes[c].capacity + 1u;
        core_fill(PIM_OBJ, blocks, n, size);
        for (unsigned i = 0; i < n; i++) {
            memset(blocks[i], 0xab, size);
        }
        EXPECT_EQ(pim_page_of(blocks[0])->size_class, c);
        EXPECT_EQ(pim_page_of((char *)blocks[n - 2] + size - 1)->size_class, c);
        pim_heap_audit(heap);
        core_free_all(PIM_OBJ, blocks, n);
    }
    IN_GATE(pim_heap_purge(heap, true));
    pim_figures f = fake_figures(id);
    EXPECT_EQ(f.pages, 0);
    EXPECT_EQ(f.arenas, 0);
    EXPECT_EQ(f.committed_bytes, 0);
}

// --- the owner word --------------------------------------------------------------

TEST(owner_word_tells_heap_and_domain_and_only_in_the_first_unit)
{
    char *mem = pim_mem_malloc(NULL, BLOCK);
    char *obj = pim_obj_malloc(NULL, 16000);
    bool holds_orphans = true;
    EXPECT_EQ((uintptr_t)heap & PIM_OWNER_BITS, 0);
    pim_page *page = pim_page_of(mem);
    EXPECT_EQ(pim_load_relaxed(&page->owner), pim_owner_word(heap, PIM_MEM));
    page = pim_page_of(obj);
    EXPECT_EQ(pim_load_relaxed(&page->owner), pim_owner_word(heap, PIM_OBJ));
    EXPECT_PTR_EQ(pim_page_owner(page, &holds_orphans), heap);
    EXPECT(!holds_orphans);
    EXPECT_NE(pim_owner_word(heap, PIM_MEM), pim_owner_word(heap, PIM_OBJ));
    for (unsigned i = 1; i < pim_page_units(page); i++) {
        EXPECT_EQ(pim_load_relaxed(&page[i].owner), 0);
    }
    pim_mem_free(NULL, mem);
    pim_obj_free(NULL, obj);
}

// A block that the fast path does not take: of another unit, another domain's.
TEST(block_freed_in_the_other_domain_is_counted_in_its_own)
{
    void *blocks[8];
    core_fill(PIM_OBJ, blocks, 8, 8000);
    EXPECT_NE(pim_unit_of(blocks[3])->offset_units, 0);
    core_free_all(PIM_MEM, blocks, 8);
    pim_figures f = fake_figures(id);
    EXPECT_EQ(f.by_domain[OBJ].live_bytes, 0);
    EXPECT_EQ(f.by_domain[OBJ].live_blocks, 0);
    EXPECT_EQ(f.by_domain[MEM].peak_blocks, 0);
    EXPECT_EQ(f.remote_frees, 0);
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
    EXPECT_EQ(f.by_domain[OBJ].live_blocks, 0);
    EXPECT_EQ(f.by_domain[OBJ].live_bytes, 0);
    EXPECT_EQ(f.remote_frees, 1);
    pim_heap_audit(heap);

    IN_GATE(pim_heap_drain(heap));
    EXPECT_EQ(pim_page_used(page), used - 1);
    EXPECT_PTR_EQ(pim_obj_malloc(NULL, BLOCK), p);
    f = fake_figures(id);
    EXPECT_EQ(f.by_domain[OBJ].live_blocks, 1);
    EXPECT_EQ(f.remote_frees, 1);
    pim_obj_free(NULL, p);
}

TEST(remotely_emptied_pages_are_released_by_the_owner)
{
    void *blocks[3 * 1024];
    unsigned n = 3 * capacity_of(BLOCK);
    core_fill(PIM_OBJ, blocks, n, BLOCK);
    for (unsigned i = 0; i < n; i++) {
        free_remotely(blocks[i]);
    }
    EXPECT_EQ(fake_figures(id).pages, 3);
    void *p = pim_obj_malloc(NULL, BLOCK);
    EXPECT_EQ(fake_figures(id).pages, 1);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 1);
    pim_obj_free(NULL, p);
}

TEST(peak_counts_remote_frees_until_the_owner_takes_over)
{
    void *a = pim_obj_malloc(NULL, BLOCK);
    free_remotely(a);
    void *b = pim_obj_malloc(NULL, BLOCK);
    pim_figures f = fake_figures(id);
    EXPECT_EQ(f.by_domain[OBJ].live_blocks, 1);
    pim_heap_drain(fake_current_heap()); // takes over, and looks before
    f = fake_figures(id);
    EXPECT_EQ(f.by_domain[OBJ].live_blocks, 1);
    EXPECT_EQ(f.by_domain[OBJ].peak_blocks, 2);
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

TEST_OF(remote_free_inside_a_block_is_fatal,
        core_expect_fatal(free_inside_a_block, NULL,
                          "free of an address inside a block"))

static void
free_in_an_unused_page(void *arg)
{
    (void)arg;
    char *p = pim_obj_malloc(NULL, BLOCK);
    pim_obj_free(NULL, (char *)pim_arena_start(pim_arena_of(pim_page_of(p))) +
                           (PIM_ARENA_UNITS - 1) * PIM_UNIT_SIZE);
}

TEST_OF(free_in_an_unused_page_is_fatal,
        core_expect_fatal(free_in_an_unused_page, NULL,
                          "free of an address that is not a live block"))

static void
break_free_list(void *arg)
{
    (void)arg;
    pim_block *p = pim_obj_malloc(NULL, BLOCK);
    pim_obj_free(NULL, p);
    p->next = (pim_block *)(void *)((char *)p + 8);
    pim_heap_audit(heap);
}

TEST_OF(audit_finds_a_free_list_written_into,
        core_expect_fatal(break_free_list, NULL, "PAGE-2"))

static void
break_used(void *arg)
{
    (void)arg;
    pim_page_of(pim_obj_malloc(NULL, BLOCK))->countdown += 1;
    pim_heap_audit(heap);
}

TEST_OF(audit_finds_a_wrong_count,
        core_expect_fatal(break_used, NULL, "PAGE-1"))

static void
break_state(void *arg)
{
    (void)arg;
    pim_page_of(pim_obj_malloc(NULL, BLOCK))->state = PIM_PAGE_PARTIAL;
    pim_heap_audit(heap);
}

TEST_OF(audit_finds_a_current_page_that_is_not,
        core_expect_fatal(break_state, NULL, "HEAP-2"))

SUITE(.set_up = core_set_up, .begin = interp_case_begin, .end = interp_case_end)

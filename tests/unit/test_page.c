// test_page.c -- one page on plain memory.

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "base/config.h"
#include "page/page.h"
#include "support/core.h"

#define SIZE_CLASS 2 // 48 bytes

static pim_page page;
static char memory[PIM_UNIT_SIZE] __attribute__((aligned(PIM_UNIT_SIZE)));
static pim_block_set held[PIM_SET_WORDS];

static struct pim_heap *
some_heap(void)
{
    static char heap[64] __attribute__((aligned(64)));
    return (struct pim_heap *)(void *)heap;
}

static int
open_page(void **state)
{
    (void)state;
    memset(held, 0, sizeof(held));
    pim_page_open(&page, some_heap(), PIM_OBJ, SIZE_CLASS);
    return 0;
}

static pim_block *
pop(void)
{
    pim_block *block = page.free;
    if (block == NULL && pim_page_carve(&page, memory, NULL) != 0) {
        block = page.free;
    }
    if (block != NULL) {
        page.free = block->next;
        page.countdown++;
    }
    return block;
}

static void
hold(size_t index)
{
    pim_block_set_add(held, index * page.block_size / PIM_ALIGNMENT);
}

static bool
is_held(size_t index)
{
    return pim_block_set_has(held, index * page.block_size / PIM_ALIGNMENT);
}

TEST(open_page_is_empty)
{
    bool tagged = true;
    EXPECT_EQ(pim_page_used(&page), 0);
    EXPECT_EQ(page.carved, 0);
    EXPECT_NULL(page.free);
    EXPECT_PTR_EQ(pim_page_owner(&page, &tagged), some_heap());
    EXPECT(!tagged);
    EXPECT_EQ(page.capacity, PIM_UNIT_SIZE / page.block_size);
    pim_page_audit(&page, memory, NULL);
}

TEST(blocks_are_cut_from_the_left_until_none_is)
{
    unsigned n = 0;
    pim_block *block;
    while ((block = pop()) != NULL) {
        EXPECT_PTR_EQ(block, memory + n * page.block_size);
        n++;
        pim_page_audit(&page, memory, NULL);
    }
    EXPECT_EQ(n, page.capacity);
    EXPECT_EQ(page.carved, page.capacity);
    EXPECT_EQ(pim_page_carve(&page, memory, NULL), 0);
}

TEST(a_cut_touches_a_few_blocks_only)
{
    memset(memory, 0x77, sizeof(memory));
    unsigned n = pim_page_carve(&page, memory, NULL);
    EXPECT_EQ(n, pim_classes[SIZE_CLASS].carved);
    for (size_t at = n * page.block_size; at < sizeof(memory); at++) {
        EXPECT_EQ(memory[at], 0x77);
    }
}

// Frees the block of an index, as the owner.
static void
give(size_t index)
{
    pim_block *block = (void *)(memory + index * page.block_size);
    pim_page_give(&page, memory, NULL, block);
}

TEST(sorted_page_serves_from_the_lowest_block_up)
{
    const size_t freed[] = {17, 3, page.capacity - 1u, 0, 64, 63, 40, 65};
    const size_t sorted[] = {0, 3, 17, 40, 63, 64, 65, page.capacity - 1u};
    while (pop() != NULL) {
    }
    for (unsigned i = 0; i < PIM_ARRAY_LEN(freed); i++) {
        give(freed[i]);
    }
    for (unsigned twice = 0; twice < 2; twice++) {
        pim_page_sort(&page, memory);
        pim_page_audit(&page, memory, NULL);
        const pim_block *block = page.free;
        for (unsigned i = 0; i < PIM_ARRAY_LEN(sorted); i++) {
            EXPECT_PTR_EQ(block, memory + sorted[i] * page.block_size);
            block = block->next;
        }
        EXPECT_NULL(block);
    }
}

static volatile sig_atomic_t looks;
static volatile sig_atomic_t circles;

static void
look_for_a_circle(int sig)
{
    unsigned n = 0;
    (void)sig;
    looks++;
    for (const pim_block *b = page.free; b != NULL; b = b->next) {
        if (n++ > page.capacity) {
            circles++;
            return;
        }
    }
}

// A fork may come in the middle, and the child would go round for ever.
TEST(list_is_no_circle_while_it_is_sorted)
{
    const struct itimerval often = {{0, 50}, {0, 50}};
    const struct itimerval never = {{0, 0}, {0, 0}};
    const struct sigaction action = {.sa_handler = look_for_a_circle};
    while (pop() != NULL) {
    }
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (looks < 5000) {
        page.free = NULL;
        page.countdown = page.capacity;
        // From the highest down, but for the first: then all are linked anew.
        give(0);
        for (unsigned i = 1; i < page.capacity; i++) {
            give(i);
        }
        pim_page_sort(&page, memory);
        pim_page_sort(&page, memory);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    EXPECT_EQ(circles, 0);
}

static void
sort(void *arg)
{
    (void)arg;
    pim_page_sort(&page, memory);
}

TEST(sorting_finds_a_list_that_was_written_into)
{
    static pim_block elsewhere;
    pim_page_carve(&page, memory, NULL);
    pim_block *second = page.free->next;
    page.free->next = &elsewhere;
    core_expect_fatal(sort, NULL, "written into");
    page.free->next = page.free;
    core_expect_fatal(sort, NULL, "written into");
    page.free->next = second;
}

TEST(cut_leaves_out_what_is_held)
{
    hold(0);
    hold(5);
    hold(page.capacity - 1u);
    page.countdown = 3;
    unsigned n = 0;
    unsigned cut;
    while ((cut = pim_page_carve(&page, memory, held)) != 0) {
        pim_page_audit(&page, memory, held);
        for (const pim_block *b = page.free; b != NULL; b = b->next) {
            EXPECT(!pim_block_set_has(held, pim_block_granule(memory, b)));
            page.countdown++;
            n++;
        }
        page.free = NULL;
    }
    EXPECT_EQ(n, page.capacity - 3u);
    EXPECT_EQ(pim_page_used(&page), page.capacity);
    pim_page_audit(&page, memory, held);
}

TEST(first_remote_push_asks_for_a_word_to_the_owner)
{
    pim_block *a = pop();
    pim_block *b = pop();
    EXPECT(pim_page_push_remote(&page, a));
    EXPECT(!pim_page_push_remote(&page, b));
    pim_page_audit(&page, memory, NULL);
    EXPECT_EQ(pim_page_used(&page), 2);
    EXPECT_EQ(pim_page_collect(&page, memory, NULL), 2);
    EXPECT_EQ(pim_page_used(&page), 0);
    EXPECT_EQ(pim_page_collect(&page, memory, NULL), 0);
    pim_page_audit(&page, memory, NULL);
    EXPECT(pim_page_push_remote(&page, pop()));
    EXPECT_EQ(pim_page_collect(&page, memory, NULL), 1);
}

TEST(sealed_page_knows_exactly_its_live_blocks)
{
    pim_block *blocks[40];
    for (unsigned i = 0; i < 40; i++) {
        blocks[i] = pop();
    }
    for (unsigned i = 0; i < 40; i += 2) {
        pim_page_give(&page, memory, NULL, blocks[i]);
    }
    memset(held, 0xff, sizeof(held)); // of an earlier life
    pim_page_abandon(&page, memory, false, held);
    EXPECT_EQ(page.state, PIM_PAGE_ABANDONED);
    EXPECT_NULL(page.free);
    for (size_t i = 0; i < page.capacity; i++) {
        EXPECT_EQ(is_held(i), i < 40 && i % 2 == 1);
    }
    EXPECT_EQ(pim_page_used(&page), 20);
    pim_page_audit(&page, memory, held);
}

TEST(orphan_given_back_is_cut_again)
{
    pim_block *a = pop();
    pim_block *b = pop();
    pim_page_abandon(&page, memory, false, held);
    pim_page_give(&page, memory, held, a);
    EXPECT_EQ(pim_page_used(&page), 1);
    EXPECT_NULL(page.free); // not cut yet in this life
    EXPECT_NE(pim_page_carve(&page, memory, held), 0);
    EXPECT_PTR_EQ(page.free, a);
    pim_page_give(&page, memory, held, b); // below the cut: at once
    EXPECT_PTR_EQ(page.free, b);
    EXPECT_EQ(pim_page_used(&page), 0);
    pim_page_audit(&page, memory, held);
}

TEST(page_can_be_sealed_again_with_old_orphans)
{
    pim_block *blocks[10];
    for (unsigned i = 0; i < 10; i++) {
        blocks[i] = pop();
    }
    pim_page_abandon(&page, memory, false, held);
    pim_page_give(&page, memory, held, blocks[0]);
    pim_page_carve(&page, memory, held);
    pim_block *mine = page.free;
    page.free = mine->next;
    page.countdown++;
    pim_page_abandon(&page, memory, true, held);
    EXPECT_EQ(pim_page_used(&page), 10);
    for (size_t i = 0; i < page.capacity; i++) {
        EXPECT_EQ(is_held(i), i < 10);
    }
    pim_page_audit(&page, memory, held);
}

// --- corruption ----------------------------------------------------------------

static void
audit(void *arg)
{
    (void)arg;
    pim_page_audit(&page, memory, NULL);
}

TEST(audit_finds_a_block_off_the_grid)
{
    pim_page_carve(&page, memory, NULL);
    page.free = (pim_block *)(void *)((char *)page.free + 16);
    core_expect_fatal(audit, NULL, "PAGE-2");
}

TEST(audit_finds_a_free_block_that_was_not_cut)
{
    pim_page_carve(&page, memory, NULL);
    page.free = (pim_block *)(void *)(memory + page.carved * page.block_size);
    core_expect_fatal(audit, NULL, "PAGE-2");
}

TEST(audit_finds_a_circular_free_list)
{
    pim_page_carve(&page, memory, NULL);
    page.free->next = page.free;
    core_expect_fatal(audit, NULL, "PAGE-1");
}

TEST(audit_finds_a_lost_block)
{
    pim_page_carve(&page, memory, NULL);
    page.free = page.free->next;
    core_expect_fatal(audit, NULL, "PAGE-1");
}

TEST(audit_finds_a_second_remote_free)
{
    pim_block *a = pop();
    pim_page_push_remote(&page, a);
    pim_page_push_remote(&page, pop());
    pim_page_push_remote(&page, a); // a circle
    core_expect_fatal(audit, NULL, "PAGE-3");
}

static void
collect(void *arg)
{
    (void)arg;
    pim_page_collect(&page, memory, NULL);
}

TEST(block_freed_twice_by_others_is_fatal)
{
    pim_block *a = pop();
    pim_page_push_remote(&page, a);
    pim_page_push_remote(&page, pop());
    pim_page_push_remote(&page, a);
    core_expect_fatal(collect, NULL, "a block was freed twice");
}

static void
push_twice(void *arg)
{
    pim_page_push_remote(&page, arg);
    pim_page_push_remote(&page, arg);
}

TEST_OF(block_freed_twice_in_a_row_by_others_is_fatal_at_once,
        core_expect_fatal(push_twice, pop(), "a block was freed twice"))

SUITE(.begin = open_page)

// test_check_threads.c -- the checked mode beside others: blocks cross interpreters
// that run and end, and of two threads that free one block, one is told.

#include "misuse/calls.h"

#include "support/random.h"
#include "support/team.h"

#define SLOTS 256
#define WORKERS 4

static struct {
    _Atomic(char *) blocks[PIM_DOMAINS][SLOTS];
} shelf;

// Leaves a block for others, or NULL, and frees what was there.
static void
put(unsigned domain, unsigned slot, char *block)
{
    char *before = pim_exchange(&shelf.blocks[domain][slot], block);
    if (before != NULL) {
        EXPECT_EQ(before[0], domain);
        checked_free(domain, before);
    }
}

static void
exchange_blocks(team_member *self)
{
    random_state r = random_from(self->number);
    for (unsigned life = 0; life < TEAM_ROUNDS(20); life++) {
        fake_interp interp;
        fake_interp_start(&interp);
        for (unsigned i = 0; i < 2000; i++) {
            unsigned domain = (unsigned)random_below(&r, PIM_DOMAINS);
            size_t size = 1 + random_below(&r, i % 100 == 0 ? 2 << 20 : 300);
            char *block = checked_malloc(domain, size);
            EXPECT_NOT_NULL(block);
            block[0] = (char)domain;
            if (i % 3 == 0) {
                block = checked_realloc(domain, block, size * 2);
                EXPECT_NOT_NULL(block);
            }
            put(domain, (unsigned)random_below(&r, SLOTS), block);
        }
        fake_interp_stop(&interp);
    }
}

TEST(blocks_that_cross_interpreters_and_outlive_them_are_no_misuse)
{
    team t = {.count = 0};
    for (unsigned i = 0; i < WORKERS; i++) {
        team_add(&t, exchange_blocks);
    }
    team_join(&t);
    for (unsigned domain = 0; domain < PIM_DOMAINS; domain++) {
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            put(domain, slot, NULL);
        }
    }
}

static _Atomic(void *) contested;
static _Atomic unsigned ready;

static void
free_contested(team_member *self)
{
    (void)self;
    pim_add_relaxed(&ready, 1);
    while (pim_load_acquire(&ready) < 2) {
    }
    checked_free(PIM_OBJ, pim_load_acquire(&contested));
}

static void
free_by_two(void *arg)
{
    team t = {.count = 0};
    const size_t *size = arg;
    pim_store_release(&contested, checked_malloc(PIM_OBJ, *size));
    team_add(&t, free_contested);
    team_add(&t, free_contested);
    team_join(&t);
}

TEST(of_two_threads_that_free_one_block_one_is_told)
{
    static const size_t sizes[] = {48, 40000, 3 << 20};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        size_t size = sizes[i];
        core_expect_fatal(free_by_two, &size,
                          "double free: PyObject_Free() without an interpreter "
                          "of a block of ");
    }
}

SUITE(.set_up = core_set_up_checked)

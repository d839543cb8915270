// test_extent.c -- large blocks of two interpreters, freed and trimmed by anybody.

#include "extent/extent.h"
#include "heap/audit.h"
#include "heap/remote.h"
#include "interp/figures.h"
#include "support/core.h"
#include "support/exchange.h"
#include "support/fake_interp.h"
#include "support/fake_os.h"
#include "support/patience.h"
#include "support/team.h"

#define OWNERS 2
#define OWN 6 // blocks that an owner has for itself
#define ROUNDS TEAM_ROUNDS(12000)
#define MIB ((size_t)1 << 20)

static exchange x;
static fake_interp interps[OWNERS];

// Marked at both ends and in the middle, as far as exchange.h does not.
static uint32_t *
mark(uint32_t *block, size_t size)
{
    block[0] = (uint32_t)size;
    block[size / 8] = (uint32_t)size;
    ((unsigned char *)block)[size - 1] = (unsigned char)size;
    return block;
}

static void
check(const uint32_t *block, size_t size)
{
    EXPECT_EQ(block[0], (uint32_t)size);
    EXPECT_EQ(block[size / 8], (uint32_t)size);
    EXPECT_EQ(((const unsigned char *)block)[size - 1], size & 255);
}

// Grows or shrinks one of the owner's blocks, or begins one.
static void
resize(random_state *r, uint32_t **block, size_t *size)
{
    size_t to = *size + *size / (1 + random_below(r, 8)) + 5000;
    if (random_below(r, 5) == 0) {
        to = *size / 3 + 100;
    }
    if (to > 6 * MIB || random_below(r, 12) == 0) {
        pim_obj_free(NULL, *block);
        *block = NULL;
        to = 1 + random_below(r, 3 * MIB) + 100;
    }
    uint32_t *moved = pim_obj_realloc(NULL, *block, to);
    EXPECT_NOT_NULL(moved);
    *block = mark(moved, to);
    *size = to;
}

static void
own(team_member *self)
{
    random_state r = random_from(self->number);
    uint32_t *blocks[OWN] = {NULL};
    size_t sizes[OWN] = {0};
    fake_interp_attach(&interps[self->number % OWNERS]);
    budget time = budget_open();
    for (unsigned i = 0; i < ROUNDS && budget_is_left(&time); i++) {
        unsigned n = (unsigned)random_below(&r, OWN);
        if (blocks[n] != NULL) {
            check(blocks[n], sizes[n]);
        }
        resize(&r, &blocks[n], &sizes[n]);
        if (i % 3 == 0) {
            size_t size = PIM_SPAN_MAX + 1 + random_below(&r, MIB);
            exchange_put(&x, random_below(&r, EXCHANGE_SLOTS / 16),
                         exchange_alloc(size));
        }
    }
    for (unsigned n = 0; n < OWN; n++) {
        pim_obj_free(NULL, blocks[n]);
    }
    fake_interp_detach(&interps[self->number % OWNERS]);
}

// Has no interpreter.
static void
free_others(team_member *self)
{
    random_state r = random_from(self->number);
    while (!team_stops(self)) {
        exchange_put(&x, random_below(&r, EXCHANGE_SLOTS / 16), NULL);
    }
}

static void
give_back(team_member *self)
{
    random_state r = random_from(self->number);
    while (!team_stops(self)) {
        fake_os_advance(random_below(&r, PIM_PURGE_DELAY_MS));
        pim_gate_enter();
        if (random_below(&r, 20) == 0) {
            pim_extent_make_way(random_below(&r, 8) * MIB);
        } else {
            pim_extent_trim(random_below(&r, 20) == 0);
        }
        pim_gate_exit();
        pim_extent_audit(&pim_process_heap.idle_bytes);
        for (unsigned i = 0; i < OWNERS; i++) {
            pim_figures f = fake_figures(interps[i].state->id);
            EXPECT_LE(f.committed_bytes, (uint64_t)1 << 30);
        }
    }
}

TEST(large_blocks_stay_whole_whoever_frees_and_trims)
{
    team owners = {.count = 0};
    team others = {.count = 0};
    fake_os_stop_clock();
    for (unsigned i = 0; i < OWNERS; i++) {
        fake_interp_begin(&interps[i], core_next_id());
        fake_interp_attach(&interps[i]);
        pim_obj_free(NULL, pim_obj_malloc(NULL, 8));
        fake_interp_detach(&interps[i]);
    }
    team_add(&others, free_others);
    team_add(&others, give_back);
    for (unsigned i = 0; i < OWNERS; i++) {
        team_add(&owners, own);
    }
    team_join(&owners);
    team_join(&others);
    exchange_clear(&x);
    for (unsigned i = 0; i < OWNERS; i++) {
        int64_t id = interps[i].state->id;
        fake_interp_attach(&interps[i]);
        pim_heap *heap = fake_current_heap();
        IN_GATE(pim_heap_drain(heap));
        pim_heap_audit(heap);
        EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 0);
        EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_bytes, 0);
        EXPECT_EQ(pim_load_relaxed(&heap->large_bytes), 0);
        fake_interp_detach(&interps[i]);
        fake_interp_end(&interps[i]);
    }
    pim_extent_audit(&pim_process_heap.idle_bytes);
    EXPECT_EQ(pim_load_relaxed(&pim_process_heap.idle_bytes), 0);
}

SUITE(.set_up = core_set_up_with_clock)

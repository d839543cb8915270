// test_births.c -- thousands of interpreters in four threads, with pointers that
// are used again and ends that nobody tells.

#include "domain/raw_count.h"
#include "heap/audit.h"
#include "heap/large.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "support/core.h"
#include "support/exchange.h"
#include "support/fake_interp.h"
#include "support/patience.h"
#include "support/team.h"

#define THREADS 4
#define LIVES TEAM_ROUNDS(3000) // of each thread

static exchange x;
static budget time_for_lives;
static _Atomic unsigned living; // threads that begin and end interpreters

// Frees the interpreter's state past raw: the next block in the same place must be
// taken for the end.
static void
end_untold(fake_interp *interp)
{
    void *block = fake_interp_forget(interp);
    size_t bytes = pim_large_usable(block);
    pim_large_free(&pim_process_heap, block);
    pim_raw_count_free(bytes);
}

static void
live(random_state *r, unsigned blocks)
{
    fake_interp interp;
    fake_interp_start(&interp);
    for (unsigned i = 0; i < blocks; i++) {
        exchange_put(&x, random_below(r, EXCHANGE_SLOTS),
                     exchange_alloc(exchange_size(r, 5, 0)));
    }
    fake_interp_detach(&interp);
    if (random_below(r, 10) == 0) {
        end_untold(&interp);
    } else {
        fake_interp_end(&interp);
    }
}

static void
live_often(team_member *self)
{
    random_state r = random_from(self->number + 1);
    for (unsigned i = 0; i < LIVES && budget_is_left(&time_for_lives); i++) {
        live(&r, (unsigned)random_below(&r, 200));
    }
    pim_sub_relaxed(&living, 1);
}

static void
read_all_statistics(team_member *self)
{
    static int64_t ids[4096];
    while (!team_stops(self)) {
        size_t n = pim_registry_ids(ids, PIM_ARRAY_LEN(ids));
        EXPECT_LE(n, PIM_ARRAY_LEN(ids));
        for (size_t i = 0; i < n; i++) {
            pim_figures f;
            if (pim_registry_figures(ids[i], &f)) {
                EXPECT_EQ(f.id, ids[i]);
                EXPECT_LE(f.by_domain[OBJ].live_blocks, 100000);
                EXPECT_LE(f.by_domain[OBJ].live_bytes, (uint64_t)1 << 32);
                EXPECT_LE(f.pages, 100000);
                EXPECT_LE(f.arenas, 2048);
            }
        }
        pim_figures process;
        EXPECT(pim_registry_figures(PIM_PROCESS_ID, &process));
        EXPECT_LE(process.arenas, 2048);
    }
}

// Raw blocks of the watched sizes over all places that interpreters had.
static void
end_the_untold(void)
{
    enum { N = 200 };
    void *blocks[N];
    for (unsigned i = 0; i < N; i++) {
        blocks[i] = pim_raw_malloc(NULL, (size_t)200 << 10);
    }
    for (unsigned i = 0; i < N; i++) {
        pim_raw_free(NULL, blocks[i]);
    }
}

TEST(interpreters_come_and_go_in_four_threads)
{
    team t = {.count = 0};
    random_state r = random_from(random_seed());
    pim_figures before = fake_figures(PIM_PROCESS_ID);
    uint64_t subs = pim_load_relaxed(&pim_registry_subs);
    time_for_lives = budget_open();
    pim_store_relaxed(&living, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        team_add(&t, live_often);
    }
    team_add(&t, read_all_statistics);
    while (pim_load_relaxed(&living) != 0) {
        live(&r, 50);
    }
    team_join(&t);
    exchange_clear(&x);
    end_the_untold();
    pim_figures after = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(after.by_domain[OBJ].live_blocks,
              before.by_domain[OBJ].live_blocks);
    EXPECT_EQ(after.by_domain[OBJ].live_bytes,
              before.by_domain[OBJ].live_bytes);
    EXPECT_EQ(after.pages, before.pages);
    // Their ends are seen when their memory is used again, if it ever is.
    EXPECT_LE(pim_load_relaxed(&pim_registry_subs), subs + 40);
    pim_heap_audit(&pim_process_heap);
}

SUITE(.set_up = core_set_up_with_clock)

// test_random.c -- random programs against the reference.
//
// Several interpreters are begun, switched between and ended in one thread;
// blocks are freed by whoever is current, so remote frees, leaks and late frees
// come about by themselves.  PIM_TEST_SEED repeats a run; PIM_TEST_OPS makes it
// longer, and takes the limit of time away.

#include <stdlib.h>
#include <string.h>

#include "domain/domain.h"
#include "domain/raw_small.h"
#include "extent/extent.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "support/census.h"
#include "support/core.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"
#include "support/patience.h"
#include "support/reference.h"
#include "support/tsan.h"

#if PIM_TSAN || defined(__SANITIZE_ADDRESS__)
#    define OPS 400000
#else
#    define OPS 4000000
#endif

#define BLOCKS_MAX 60000
#define BYTES_MAX ((uint64_t)300 << 20)

typedef struct world {
    reference ref;
    fake_interp
        interps[REF_HEAPS]; // by place; those of process and main unused
    bool alive[REF_HEAPS];
    unsigned bias; // 0 to 100: how often an operation allocates
    bool may_fail;
    uint64_t begun;
    uint64_t ended;
} world;

static world w;

static uint64_t
below(uint64_t n)
{
    return random_below(&w.ref.random, n);
}

static size_t
random_size(void)
{
    uint64_t dice = below(1000);
    return dice < 10    ? 0
           : dice < 600 ? 1 + below(128)
           : dice < 850 ? 1 + below(512)
           : dice < 940 ? 1 + below(4096)
           : dice < 985 ? 1 + below(PIM_SMALL_MAX)
           : dice < 998 ? 1 + below(300000)
           : dice < 999 ? 1 + below(4 << 20)
                        : 1 + below(below(20) == 0 ? 40 << 20 : 1 << 20);
}

static unsigned
random_domain(void)
{
    uint64_t dice = below(10);
    return dice < 6 ? PIM_OBJ : dice < 9 ? PIM_MEM : PIM_RAW;
}

static size_t
random_block(void)
{
    // Often one of the youngest, as in real programs.
    size_t n = w.ref.count;
    return below(2) == 0 && n > 100 ? n - 1 - below(100) : below(n);
}

// --- interpreters --------------------------------------------------------------

static void
switch_to(unsigned place)
{
    w.ref.current = place;
    fake_interp_swap(place == REF_PROCESS ? NULL
                     : place == REF_MAIN  ? fake_main()
                                          : &w.interps[place]);
}

static void
begin_interp(unsigned place)
{
    fake_os_heal();
    fake_mi_heal();
    switch_to(REF_PROCESS); // who answers for the state's block
    fake_interp_begin(&w.interps[place], core_next_id());
    ref_begin(&w.ref, place, w.interps[place].state->id);
    w.alive[place] = true;
    w.begun++;
    switch_to(place);
    ref_malloc(&w.ref, PIM_OBJ, 10, false, w.may_fail);
}

// Frees all its blocks, most of them, or none.
static void
end_interp(unsigned place)
{
    uint64_t left_per_1000 = below(3) == 0 ? 0 : below(3) == 0 ? 1000 : 20;
    switch_to(place);
    for (size_t i = w.ref.count; i-- > 0;) {
        if (w.ref.blocks[i].heap == place && below(1000) >= left_per_1000) {
            ref_free(&w.ref, i);
        }
    }
    ref_compare(&w.ref);
    switch_to(REF_PROCESS);
    int64_t id = w.interps[place].state->id;
    ref_usage expected = w.ref.heaps[place].domain[PIM_OBJ];
    bool used = w.ref.heaps[place].used;
    fake_interp_end(&w.interps[place]);
    w.alive[place] = false;
    w.ended++;
    ref_end(&w.ref, place);
    if (used) {
        pim_figures left = fake_figures(id);
        EXPECT(left.ended);
        EXPECT_EQ(left.by_domain[OBJ].live_bytes, expected.live_bytes);
        EXPECT_EQ(left.by_domain[OBJ].live_blocks, expected.live_blocks);
        EXPECT_EQ(left.arenas, 0);
        EXPECT_EQ(left.pages, 0);
    }
    ref_compare(&w.ref);
}

static void
come_and_go(void)
{
    unsigned place = REF_MAIN + 1 + (unsigned)below(REF_HEAPS - REF_MAIN - 1);
    if (w.alive[place]) {
        end_interp(place);
    } else {
        begin_interp(place);
    }
}

static void
switch_somewhere(void)
{
    unsigned place = (unsigned)below(REF_HEAPS);
    switch_to(place <= REF_MAIN || w.alive[place] ? place : REF_MAIN);
}

// Finds by a walk what the figures say, and they say what the reference does.
static void
walk(void)
{
    unsigned before = w.ref.current;
    ref_compare(&w.ref);
    for (unsigned place = 0; place < REF_HEAPS; place++) {
        if (w.ref.heaps[place].used) {
            switch_to(place);
            census_expect_figures(fake_current_heap(), w.ref.heaps[place].id);
        }
    }
    switch_to(before);
}

static void
audit(void)
{
    unsigned before = w.ref.current;
    for (unsigned place = 0; place < REF_HEAPS; place++) {
        if (place == REF_PROCESS || (place > REF_MAIN && !w.alive[place])) {
            continue;
        }
        switch_to(place);
        pim_heap *heap = fake_current_heap();
        if (!pim_heap_is_process(heap)) {
            pim_heap_audit(heap);
        }
    }
    pim_heap_audit(&pim_process_heap);
    pim_raw_small_audit();
    switch_to(before);
}

// --- operations ----------------------------------------------------------------

// As a list or a bytearray that is appended to.
static void
grow_series(void)
{
    size_t index = random_block();
    unsigned steps = 1 + (unsigned)below(30);
    for (unsigned i = 0; i < steps; i++) {
        size_t size = w.ref.blocks[index].size;
        if (size > 8 << 20) {
            break;
        }
        ref_realloc(&w.ref, index, size + size / 8 + 6, w.may_fail);
    }
}

static void
request(void)
{
    uint64_t dice = below(100);
    bool full = w.ref.count >= BLOCKS_MAX - 1 || w.ref.live_bytes > BYTES_MAX;
    if (w.ref.count == 0 || (dice < w.bias && !full)) {
        ref_malloc(&w.ref, random_domain(), random_size(), below(5) == 0,
                   w.may_fail);
    } else if (dice < 97 || full) {
        ref_free(&w.ref, random_block());
    } else if (dice < 99) {
        ref_realloc(&w.ref, random_block(), random_size(), w.may_fail);
    } else if (below(20) == 0) {
        grow_series();
    }
}

static void
seldom(void)
{
    uint64_t dice = below(10000);
    if (dice < 2000) {
        switch_somewhere();
    } else if (dice < 2100) {
        come_and_go();
    } else if (dice < 2300) {
        ref_compare(&w.ref);
    } else if (dice < 2302) {
        audit();
    } else if (dice < 2305) {
        walk();
    } else if (dice < 4000) {
        fake_os_advance(below(30));
    } else if (dice < 4020) {
        w.bias = 35 + (unsigned)below(30);
    }
}

static void
finish(void)
{
    switch_to(REF_MAIN);
    while (w.ref.count != 0) {
        if (below(1000) == 0) {
            switch_somewhere();
        }
        ref_free(&w.ref, random_block());
    }
    for (unsigned place = REF_MAIN + 1; place < REF_HEAPS; place++) {
        if (w.alive[place]) {
            end_interp(place);
        }
    }
    walk();
    audit();
    switch_to(REF_PROCESS);
}

static bool
has_time(uint64_t op, const budget *time)
{
    return op % 4096 != 0 || getenv("PIM_TEST_OPS") != NULL ||
           budget_is_left(time);
}

// As many operations as are wanted, or a part of them.
static void
run(unsigned part, void (*extra)(void))
{
    const char *given = getenv("PIM_TEST_OPS");
    uint64_t ops = (given != NULL ? strtoull(given, NULL, 0) : OPS) / part;
    budget time = budget_open();
    memset(&w, 0, sizeof(w));
    w.may_fail = extra != NULL;
    ref_open(&w.ref, random_seed(), BLOCKS_MAX);
    w.bias = 55;
    switch_to(REF_MAIN);
    for (uint64_t i = 0; i < ops && has_time(i, &time); i++) {
        request();
        if (below(16) == 0) {
            seldom();
            if (extra != NULL) {
                extra();
            }
        }
    }
    fake_os_heal();
    fake_mi_heal();
    finish();
    printf("%llu interpreters begun, %llu ended, %llu requests refused\n",
           (unsigned long long)w.begun, (unsigned long long)w.ended,
           (unsigned long long)w.ref.refused);
    ref_close(&w.ref);
}

TEST(random_programs_agree_with_the_reference)
{
    uint64_t mapped = pim_load_relaxed(&fake.mapped_bytes);
    run(1, NULL);
    EXPECT_EQ(w.ref.refused, 0);
    // Records and bindings stay mapped (HEAP-3), large blocks only for a while.
    IN_GATE(pim_extent_trim(true));
    EXPECT_LE(pim_load_relaxed(&fake.mapped_bytes), mapped + (256 << 10));
}

TEST(random_programs_agree_when_the_word_is_unknown)
{
    fake_python_hide_word(true);
    run(8, NULL);
    fake_python_hide_word(false);
}

// --- with failures ---------------------------------------------------------------

#define FAILING (FAKE_PLACE | FAKE_DECOMMIT | FAKE_RESET | FAKE_REMAP)

static void
fail_sometimes(void)
{
    if (below(50) != 0) {
        return;
    }
    fake_os_heal();
    fake_mi_heal();
    if (below(2) == 0) {
        fake_os_fail(FAILING, 1 + below(3), below(2) == 0);
    }
    if (below(2) == 0) {
        fake_mi_fail(1 + below(20), false);
    }
}

TEST_OF(random_programs_survive_failures, run(4, fail_sometimes))

static int
set_up(void **state)
{
    core_set_up(state);
    fake_os_stop_clock();
    // Main's heap begins empty and known.
    fake_interp_swap(fake_main());
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
    fake_interp_swap(NULL);
    return 0;
}

SUITE(.set_up = set_up)

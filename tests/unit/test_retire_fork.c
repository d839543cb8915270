// test_retire_fork.c -- a fork between the steps of an interpreter's end.
//
//   step 1 ......... wait ......... step 3 ...(maps are poisoned) wait ... step 4
//        ^ fork: see look()             ^ fork: see decommit()
//
// The thread that ends the interpreter says that it is in the middle of a step, and
// leaves it when the forking thread has closed the gate: so the next step comes after
// the fork.

#define _GNU_SOURCE

#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abandoned/poison.h"
#include "domain/domain.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "interp/poison_text.h"
#include "interp/retire.h"
#include "support/census.h"
#include "support/child.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/fake_os.h"
#include "support/patience.h"
#include "support/team.h"

#define HUGE ((size_t)3 << 20)

static fake_interp interp;
static int64_t id;
static const pim_heap *heap; // its record
static pim_figures process;  // before the test
static uint64_t poisoned;
static uint64_t released;

// What it leaves: small blocks of two classes, a span, a map, and raw ones.
#define LEFT 6
static struct {
    unsigned domain;
    size_t size;
    char *block;
} left[LEFT] = {{.domain = PIM_OBJ, .size = 48},
                {.domain = PIM_MEM, .size = 9000},
                {.domain = PIM_MEM, .size = 5 * PIM_UNIT_SIZE},
                {.domain = PIM_OBJ, .size = HUGE},
                {.domain = PIM_RAW, .size = 100},
                {.domain = PIM_RAW, .size = 70000}};
#define NOT_RAW 4

// --- being in the middle of a step ---------------------------------------------------

static _Atomic bool is_in_step;

static void
be_in_step(void)
{
    pim_store_release(&is_in_step, true);
    while (pim_load_acquire(&pim_gate.closed) == PIM_GATE_OPEN) {
        sched_yield();
    }
}

static _Atomic unsigned told;

static void *
look(pim_heap *ending)
{
    (void)ending;
    be_in_step();
    return &process;
}

static void
tell(void *seen)
{
    EXPECT_PTR_EQ(seen, &process);
    pim_add_relaxed(&told, 1);
}

static const pim_end_watch watch = {look, tell};

static pim_os_ops os; // the fake one with another decommit()
static const pim_os_ops *fake_ops;

static int
decommit(void *start, size_t bytes)
{
    if (!pim_load_relaxed(&is_in_step)) {
        be_in_step();
    }
    return fake_ops->decommit(start, bytes);
}

// --- the end and the fork ------------------------------------------------------------

static void *
end_interp(void *arg)
{
    fake_interp_end(&interp);
    return arg;
}

static void
begin(int policy)
{
    pim_store_relaxed(&is_in_step, false);
    pim_store_relaxed(&told, 0);
    poisoned = pim_load_relaxed(&pim_poisoned.poisoned_blocks);
    released = pim_load_relaxed(&pim_poisoned.released_blocks);
    pim_store_relaxed(&pim_policy_of_new, policy);
    id = core_next_id();
    fake_interp_begin(&interp, id);
    fake_interp_attach(&interp);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
    heap = fake_current_heap();
    process = fake_figures(PIM_PROCESS_ID);
    for (unsigned i = 0; i < LEFT; i++) {
        left[i].block = core_domains[left[i].domain].malloc(NULL, left[i].size);
        EXPECT_NOT_NULL(left[i].block);
        memset(left[i].block, 'x', left[i].size);
    }
    char *freed_by_another = pim_mem_malloc(NULL, 9000);
    fake_interp_detach(&interp);
    pim_mem_free(NULL, freed_by_another);
    pim_store_relaxed(&pim_policy_of_new, PIM_KEEP);
}

// All of them may be freed late, but released ones.
static void
expect_settled(int policy)
{
    pim_figures f = fake_figures(id);
    EXPECT(f.ended);
    EXPECT_EQ(f.by_domain[OBJ].live_blocks, 2);
    EXPECT_EQ(f.by_domain[MEM].live_blocks, 2);
    EXPECT_EQ(f.arenas, 0);
    uint64_t kept = policy == PIM_KEEP ? 2 : 0;
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.by_domain[OBJ].live_blocks,
              process.by_domain[OBJ].live_blocks + kept);
    EXPECT_EQ(now.by_domain[MEM].live_blocks,
              process.by_domain[MEM].live_blocks + kept);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks) - poisoned,
              policy == PIM_POISON ? NOT_RAW : 0);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.released_blocks) - released,
              policy == PIM_RELEASE ? NOT_RAW : 0);
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    pim_heap_audit(&pim_process_heap);
    char text[300];
    EXPECT_EQ(pim_poison_describe(left[0].block, text, sizeof(text)) != 0,
              policy == PIM_POISON);
    EXPECT_EQ(pim_poison_describe(left[3].block, text, sizeof(text)) != 0,
              policy == PIM_POISON);
}

static void
expect_memory_is_gone(void)
{
    unsigned char resident;
    for (unsigned i = 0; i < NOT_RAW; i++) {
        char *page = left[i].block - (uintptr_t)left[i].block % 4096;
        EXPECT(mincore(page, 4096, &resident) != 0 || (resident & 1) == 0);
    }
}

static void
free_late(int policy)
{
    for (unsigned i = policy == PIM_RELEASE ? NOT_RAW : 0; i < LEFT; i++) {
        core_domains[left[i].domain].free(NULL, left[i].block);
    }
    fake_expect_accounts(&process);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), poisoned);
    pim_heap_audit(&pim_process_heap);
}

// The record is not lost.
static void
expect_record_is_used_again(void)
{
    fake_interp next;
    fake_interp_start(&next);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 48));
    EXPECT_PTR_EQ(fake_current_heap(), heap);
    pim_heap_audit(fake_current_heap());
    fake_interp_stop(&next);
}

static void
expect_all_is_well(int policy)
{
    expect_settled(policy);
    if (policy == PIM_POISON) {
        expect_memory_is_gone();
    }
    free_late(policy);
    pim_store_release(&pim_end_watcher, NULL);
    expect_record_is_used_again();
}

static void
fork_in_the_middle(int policy)
{
    pthread_t thread = team_start(end_interp, NULL);
    wait_for(&is_in_step);
    pid_t child = fork();
    if (child == 0) {
        alarm(patience());
        EXPECT(!pim_gate_is_adrift());
        EXPECT_EQ(pim_load_relaxed(&told), 0); // which is the parent's to do
        expect_all_is_well(policy);
        pid_t again = fork();
        if (again == 0) {
            expect_record_is_used_again();
            _exit(0);
        }
        _exit(child_outcome(again) == 0 ? 0 : 1);
    }
    EXPECT_EQ(child_outcome(child), 0);
    team_end(thread);
    expect_all_is_well(policy);
}

static void
fork_after_the_first_step(int policy)
{
    begin(policy);
    pim_store_release(&pim_end_watcher, &watch);
    fork_in_the_middle(policy);
    EXPECT_EQ(pim_load_relaxed(&told), 1);
}

TEST_OF(end_that_keeps_is_finished_in_the_child,
        fork_after_the_first_step(PIM_KEEP))
TEST_OF(end_that_poisons_is_finished_in_the_child,
        fork_after_the_first_step(PIM_POISON))
TEST_OF(end_that_releases_is_finished_in_the_child,
        fork_after_the_first_step(PIM_RELEASE))

TEST(maps_that_wait_to_be_poisoned_are_in_the_child)
{
    begin(PIM_POISON);
    fake_ops = pim_os;
    os = *pim_os;
    os.decommit = decommit;
    pim_os = &os;
    fork_in_the_middle(PIM_POISON);
    pim_os = fake_ops;
}

SUITE(.set_up = core_set_up)

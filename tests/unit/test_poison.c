// test_poison.c -- interpreters whose orphans are not kept: released or poisoned.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abandoned/poison_extent.h"
#include "abandoned/retained.h"
#include "arena/region.h"
#include "domain/domain.h"
#include "heap/audit.h"
#include "heap/large.h"
#include "heap/purge.h"
#include "interp/figures.h"
#include "interp/poison_text.h"
#include "interp/registry.h"
#include "platform/fault.h"
#include "support/census.h"
#include "support/core.h"
#include "support/expect.h"
#include "support/fake_interp.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"

#define SPAN_BYTES (5 * PIM_UNIT_SIZE)
#define HUGE ((size_t)3 << 20)

static fake_interp interp;
static int64_t id;
static pim_figures process; // before the test
static uint64_t committed;
static uint64_t mapped;

// What a test leaves: small blocks of two classes, a run and a map.
static struct {
    char *small;
    char *large_small; // several system pages
    char *run;
    char *map;
} leak;

static void
trim(void)
{
    pim_gate_enter();
    pim_lock_acquire(&pim_process_lock);
    pim_heap_purge(&pim_process_heap, true);
    pim_retained_trim(true);
    pim_lock_release(&pim_process_lock);
    pim_region_trim();
    pim_extent_trim(true);
    pim_gate_exit();
}

// Bytes of the arenas' memory; what the tables have is a part of it.
static uint64_t
committed_now(void)
{
    trim();
    return fake_os_committed();
}

static void
begin_interp(fake_interp *in, int policy)
{
    pim_store_relaxed(&pim_policy_of_new, policy);
    fake_interp_start(in);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
}

static int
begin_with(int policy)
{
    begin_interp(&interp, policy);
    id = interp.state->id;
    mapped = pim_load_relaxed(&fake.mapped_bytes);
    process = fake_figures(PIM_PROCESS_ID);
    return 0;
}

static int
begin_release(void **state)
{
    (void)state;
    return begin_with(PIM_RELEASE);
}

static int
begin_poison(void **state)
{
    (void)state;
    return begin_with(PIM_POISON);
}

static int
finish(void **state)
{
    (void)state;
    pim_store_relaxed(&pim_policy_of_new, PIM_KEEP);
    pim_heap_audit(&pim_process_heap);
    return 0;
}

static char *
left(void *block, size_t size)
{
    EXPECT_NOT_NULL(block);
    return memset(block, 'x', size);
}

static void
leave_blocks(void)
{
    leak.small = left(pim_obj_malloc(NULL, 48), 48);
    leak.large_small = left(pim_mem_malloc(NULL, 9000), 9000);
    leak.run = left(pim_mem_malloc(NULL, SPAN_BYTES), SPAN_BYTES);
    leak.map = left(pim_obj_malloc(NULL, HUGE), HUGE);
}

static void
end_interp(void)
{
    fake_interp_stop(&interp);
}

static void
expect_process_accounts_as_before(void)
{
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    for (unsigned slot = 0; slot < PIM_DOMAINS; slot++) {
        EXPECT_EQ(now.by_domain[slot].live_bytes,
                  process.by_domain[slot].live_bytes);
        EXPECT_EQ(now.by_domain[slot].live_blocks,
                  process.by_domain[slot].live_blocks);
    }
}

// --- raw -------------------------------------------------------------------

static char *raw_left[3]; // in a page, of mimalloc, in a map

static void
leave_raw_blocks(void)
{
    static const size_t sizes[] = {48, PIM_SMALL_MAX + 1, HUGE};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        raw_left[i] = left(pim_raw_malloc(NULL, sizes[i]), sizes[i]);
    }
}

static void
raw_is_kept(void)
{
    leave_blocks();
    leave_raw_blocks();
    uint64_t bytes = fake_figures(id).by_domain[RAW].live_bytes;
    end_interp();
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.by_domain[RAW].live_blocks,
              process.by_domain[RAW].live_blocks + 3);
    EXPECT_EQ(now.by_domain[RAW].live_bytes,
              process.by_domain[RAW].live_bytes + bytes);
    EXPECT_EQ(now.by_domain[OBJ].live_bytes, process.by_domain[OBJ].live_bytes);
    EXPECT_EQ(now.by_domain[MEM].live_blocks,
              process.by_domain[MEM].live_blocks);
    census_expect_figures(&pim_process_heap, PIM_PROCESS_ID);
    trim();
    for (unsigned i = 0; i < PIM_ARRAY_LEN(raw_left); i++) {
        EXPECT_EQ(raw_left[i][0], 'x');
        EXPECT_EQ(raw_left[i][47], 'x');
        pim_raw_free(NULL, raw_left[i]);
    }
    expect_process_accounts_as_before();
}

TEST_WITH(raw_blocks_of_a_released_interpreter_are_kept, begin_release, finish)
{
    raw_is_kept();
    trim();
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).arenas, process.arenas);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
}

TEST(raw_blocks_of_a_poisoned_interpreter_are_kept)
{
    raw_is_kept();
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 4);
    pim_obj_free(NULL, leak.small);
    pim_mem_free(NULL, leak.large_small);
    pim_mem_free(NULL, leak.run);
    pim_obj_free(NULL, leak.map);
}

// --- release ---------------------------------------------------------------

TEST_WITH(released_interpreter_leaves_no_memory, begin_release, finish)
{
    uint64_t released = pim_load_relaxed(&pim_poisoned.released_blocks);
    leave_blocks();
    end_interp();
    expect_process_accounts_as_before();
    trim();
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.arenas, process.arenas);
    EXPECT_EQ(now.pages, process.pages);
    EXPECT_EQ(now.committed_bytes, process.committed_bytes);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.released_blocks), released + 4);
}

TEST_WITH(figures_of_a_released_interpreter_say_what_it_left, begin_release,
          finish)
{
    leave_blocks();
    end_interp();
    pim_figures f = fake_figures(id);
    EXPECT(f.ended);
    EXPECT_EQ(f.by_domain[OBJ].live_blocks, 2);
    EXPECT_EQ(f.by_domain[MEM].live_blocks, 2);
    EXPECT_GE(f.by_domain[OBJ].live_bytes, HUGE + 48);
    EXPECT_EQ(f.arenas, 0);
}

TEST_WITH(large_blocks_of_mimalloc_are_released, begin_release, finish)
{
    uint64_t before = fake_mi_live_blocks();
    fake_os_fail(FAKE_MAP, 1, true);
    EXPECT_NOT_NULL(pim_mem_malloc(NULL, HUGE));
    fake_os_heal();
    EXPECT_EQ(fake_mi_live_blocks(), before + 1);
    end_interp();
    EXPECT_EQ(fake_mi_live_blocks(), before - 1); // its state is gone, too
    expect_process_accounts_as_before();
}

static void
free_it(void *block)
{
    pim_obj_free(NULL, block);
}

TEST_WITH(late_free_of_a_released_block_is_fatal, begin_release, finish)
{
    leave_blocks();
    end_interp();
    core_expect_fatal(free_it, leak.small, "not a live block");
}

// Blocks of others, which are to be kept, in a page that it reclaimed.
TEST_WITH(what_others_left_in_its_pages_stays, begin_release, finish)
{
    fake_interp kept;
    end_interp();
    pim_figures before = fake_figures(PIM_PROCESS_ID);
    begin_interp(&kept, PIM_KEEP);
    static char *blocks[200];
    for (unsigned i = 0; i < 200; i++) {
        blocks[i] = left(pim_obj_malloc(NULL, 48), 48);
    }
    for (unsigned i = 0; i < 200; i += 2) {
        pim_obj_free(NULL, blocks[i]);
    }
    fake_interp_stop(&kept);

    begin_release(NULL);
    leave_blocks();
    // Not to be kept, it takes over no such page ...
    EXPECT_EQ(pim_page_of(leak.small) == pim_page_of(blocks[1]), 0);
    end_interp();
    for (unsigned i = 1; i < 200; i += 2) {
        EXPECT_EQ(blocks[i][47], 'x');
    }
    // ... and one that learned of it later keeps such a page whole.
    begin_interp(&interp, PIM_KEEP);
    EXPECT_EQ(pim_registry_set_policy(interp.state->id, PIM_RELEASE), 0);
    end_interp();
    for (unsigned i = 1; i < 200; i += 2) {
        EXPECT_EQ(blocks[i][0], 'x');
        pim_obj_free(NULL, blocks[i]);
    }
    process = before;
    expect_process_accounts_as_before();
}

// A reclaimer that became one of those that are not kept: others' blocks and its own
// are in one page.
TEST_WITH(pages_reclaimed_before_the_policy_was_set_are_kept_whole,
          begin_release, finish)
{
    fake_interp first;
    end_interp();
    pim_figures before = fake_figures(PIM_PROCESS_ID);
    begin_interp(&first, PIM_KEEP);
    char *theirs = left(pim_obj_malloc(NULL, 48), 48);
    fake_interp_stop(&first);

    begin_interp(&interp, PIM_KEEP);
    char *own = left(pim_obj_malloc(NULL, 48), 48);
    EXPECT_PTR_EQ(pim_page_of(own), pim_page_of(theirs));
    char *elsewhere = left(pim_obj_malloc(NULL, 480), 480);
    EXPECT_EQ(pim_registry_set_policy(interp.state->id, PIM_RELEASE), 0);
    end_interp();
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.by_domain[OBJ].live_blocks,
              before.by_domain[OBJ].live_blocks + 2);
    EXPECT_EQ(theirs[47], 'x');
    EXPECT_EQ(own[47], 'x');
    pim_obj_free(NULL, theirs);
    pim_obj_free(NULL, own);
    core_expect_fatal(free_it, elsewhere, "not a live block");
    now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.by_domain[OBJ].live_blocks,
              before.by_domain[OBJ].live_blocks);
}

// --- poison ----------------------------------------------------------------

static void
touch(void *address)
{
    pim_fault_watch(pim_poison_describe);
    *(volatile char *)address = 1;
}

static void
expect_report(char *address, size_t block_bytes, const char *domain)
{
    char text[1024];
    char expected[200];
    EXPECT_EQ(core_in_child(touch, address, text, sizeof(text)), -SIGSEGV);
    snprintf(expected, sizeof(expected),
             "pimalloc: fatal: a thread without an interpreter touched memory "
             "of interpreter %lld, which has ended: address %p in a block of "
             "%zu bytes at ",
             (long long)id, (void *)address, block_bytes);
    if (strstr(text, expected) == NULL) {
        fprintf(stderr, "expected \"%s\" in: %s\n", expected, text);
    }
    EXPECT_NOT_NULL(strstr(text, expected));
    EXPECT_NOT_NULL(strstr(text, domain));
}

TEST(late_touch_of_a_poisoned_block_is_reported)
{
    leave_blocks();
    size_t map_bytes = pim_large_usable(leak.map);
    end_interp();
    expect_report(leak.small + 5, core_block_bytes(48),
                  "domain obj that it left allocated");
    expect_report(leak.large_small + 8999, core_block_bytes(9000),
                  "domain mem that it left allocated");
    expect_report(leak.run + SPAN_BYTES - 1, SPAN_BYTES,
                  "domain mem that it left allocated");
    expect_report(leak.map + HUGE - 1, map_bytes,
                  "domain obj that it left allocated");
    for (unsigned i = 0; i < 4; i++) {
        char *const all[] = {leak.small, leak.large_small, leak.run, leak.map};
        pim_obj_free(NULL, all[i]);
    }
}

TEST(late_touch_of_a_block_that_was_free_is_told_apart)
{
    char *freed = left(pim_obj_malloc(NULL, 48), 48);
    char *held = left(pim_obj_malloc(NULL, 48), 48);
    pim_obj_free(NULL, freed);
    end_interp();
    expect_report(freed, core_block_bytes(48), "that was free");
    pim_obj_free(NULL, held);
}

static fake_interp toucher;

static void
touch_attached(void *address)
{
    fake_interp_start(&toucher);
    touch(address);
}

static int64_t
id_of_toucher(void)
{
    return toucher.state != NULL ? toucher.state->id : PIM_PROCESS_ID;
}

TEST(report_names_the_interpreter_that_touches)
{
    char text[1024];
    char expected[100];
    leave_blocks();
    end_interp();
    pim_current_ask_id = id_of_toucher;
    int64_t next = core_next_id() + 1;
    EXPECT_EQ(core_in_child(touch_attached, leak.small, text, sizeof(text)),
              -SIGSEGV);
    snprintf(expected, sizeof(expected),
             "fatal: interpreter %lld touched memory of interpreter %lld,",
             (long long)next, (long long)id);
    EXPECT_NOT_NULL(strstr(text, expected));
    pim_obj_free(NULL, leak.small);
    pim_obj_free(NULL, leak.large_small);
    pim_obj_free(NULL, leak.run);
    pim_obj_free(NULL, leak.map);
}

static void *volatile nowhere = (void *)16;

static void
touch_nothing_of_ours(void *arg)
{
    (void)arg;
    touch(nowhere);
}

static void
exit_42(int number)
{
    (void)number;
    _exit(42);
}

static void
touch_with_a_handler_before(void *address)
{
    signal(SIGSEGV, exit_42);
    touch(address);
}

TEST(other_faults_go_where_they_went_before)
{
    char text[1024];
    leave_blocks();
    end_interp();
    EXPECT_EQ(core_in_child(touch_nothing_of_ours, NULL, text, sizeof(text)),
              -SIGSEGV);
    EXPECT_EQ(strlen(text), 0);
    EXPECT_EQ(
        core_in_child(touch_with_a_handler_before, nowhere, text, sizeof(text)),
        42);
    EXPECT_EQ(strlen(text), 0);
    // The one before is called for ours, too, after the report.
    EXPECT_EQ(core_in_child(touch_with_a_handler_before, leak.small, text,
                            sizeof(text)),
              42);
    EXPECT_NOT_NULL(strstr(text, "touched memory of interpreter"));
    pim_obj_free(NULL, leak.small);
    pim_obj_free(NULL, leak.large_small);
    pim_obj_free(NULL, leak.run);
    pim_obj_free(NULL, leak.map);
}

static void
send_segv(void *arg)
{
    (void)arg;
    pim_fault_watch(pim_poison_describe);
    raise(SIGSEGV);
}

TEST(signal_that_was_sent_ends_the_process)
{
    char text[1024];
    EXPECT_EQ(core_in_child(send_segv, NULL, text, sizeof(text)), -SIGSEGV);
    EXPECT_EQ(strlen(text), 0);
    end_interp();
}

TEST(poisoned_blocks_are_in_no_account_and_hold_no_memory)
{
    leave_blocks();
    end_interp();
    expect_process_accounts_as_before();
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 2);
    trim();
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.committed_bytes, process.committed_bytes);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 4);
    pim_obj_free(NULL, leak.small);
    pim_mem_free(NULL, leak.large_small);
    pim_mem_free(NULL, leak.run);
    pim_obj_free(NULL, leak.map);
}

// What CPython 3.12 and 3.13 do.
TEST(late_frees_of_poisoned_blocks_are_counted_and_give_the_addresses_back)
{
    uint64_t late = pim_load_relaxed(&pim_poisoned.late_frees);
    end_interp();
    committed = committed_now();
    begin_poison(NULL);
    leave_blocks();
    // The fake takes the map off that was never committed.
    committed -= pim_align_up(pim_large_usable(leak.map), 4096);
    end_interp();
    pim_obj_free(NULL, leak.small);
    pim_mem_free(NULL, leak.large_small);
    pim_mem_free(NULL, leak.run);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 1);
    pim_obj_free(NULL, leak.map);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.late_frees), late + 4);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 0);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_bytes), 0);
    expect_process_accounts_as_before();
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
    EXPECT_EQ(committed_now(), committed);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).arenas, process.arenas);
}

TEST(second_late_free_is_fatal)
{
    char *other = left(pim_obj_malloc(NULL, 48), 48);
    leave_blocks();
    end_interp();
    pim_obj_free(NULL, leak.small);
    core_expect_fatal(free_it, leak.small, "freed twice");
    pim_obj_free(NULL, other);
    pim_obj_free(NULL, leak.large_small);
    pim_obj_free(NULL, leak.run);
    pim_obj_free(NULL, leak.map);
}

// The next interpreters use the units around what is poisoned, so that a leak costs
// no arena.
TEST(arenas_with_poisoned_pages_are_reclaimed)
{
    char *leaks[40];
    end_interp();
    for (unsigned i = 0; i < 40; i++) {
        begin_poison(NULL);
        leaks[i] = left(pim_obj_malloc(NULL, 48), 48);
        end_interp();
    }
    trim();
    EXPECT_LE(fake_figures(PIM_PROCESS_ID).arenas, 2);
    for (unsigned i = 0; i < 40; i++) {
        pim_obj_free(NULL, leaks[i]);
    }
    trim();
}

TEST(system_without_a_map_to_spare_still_takes_the_memory)
{
    uint64_t reset = pim_load_relaxed(&fake.reset_bytes);
    leak.small = left(pim_obj_malloc(NULL, 48), 48);
    fake_os_fail(FAKE_DECOMMIT, 1, true);
    end_interp();
    fake_os_heal();
    EXPECT_GE(pim_load_relaxed(&fake.reset_bytes), reset + PIM_UNIT_SIZE);
    EXPECT_EQ(leak.small[0], 0); // unnoticed
    pim_obj_free(NULL, leak.small);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 0);
}

SUITE(.set_up = core_set_up, .begin = begin_poison, .end = finish)

// test_poison.c -- interpreters whose orphans are poisoned: late touches are reported,
// late frees give the addresses back.

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abandoned/poison_extent.h"
#include "domain/domain.h"
#include "heap/large.h"
#include "interp/figures.h"
#include "interp/poison_text.h"
#include "interp/registry.h"
#include "platform/fault.h"
#include "support/core.h"
#include "support/fake_os.h"
#include "support/orphans.h"

static uint64_t committed;

// Bytes of the arenas' memory; what the tables have is a part of it.
static uint64_t
committed_now(void)
{
    trim_process();
    return fake_os_committed();
}

static int
begin(void **state)
{
    (void)state;
    return orphans_begin(PIM_POISON);
}

// --- late touches ----------------------------------------------------------

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
    leave_orphans();
    size_t map_bytes = pim_large_usable(leak.map);
    end_interp();
    expect_report(leak.small + 5, core_block_bytes(48),
                  "domain obj that it left allocated");
    expect_report(leak.large_small + 8999, core_block_bytes(9000),
                  "domain mem that it left allocated");
    expect_report(leak.span + SPAN_BYTES - 1, SPAN_BYTES,
                  "domain mem that it left allocated");
    expect_report(leak.map + HUGE - 1, map_bytes,
                  "domain obj that it left allocated");
    free_orphans();
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
    leave_orphans();
    end_interp();
    pim_current_ask_id = id_of_toucher;
    int64_t next = core_next_id() + 1;
    EXPECT_EQ(core_in_child(touch_attached, leak.small, text, sizeof(text)),
              -SIGSEGV);
    snprintf(expected, sizeof(expected),
             "fatal: interpreter %lld touched memory of interpreter %lld,",
             (long long)next, (long long)id);
    EXPECT_NOT_NULL(strstr(text, expected));
    free_orphans();
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
    leave_orphans();
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
    free_orphans();
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

// --- late frees, and memory --------------------------------------------------

static void
free_it(void *block)
{
    pim_obj_free(NULL, block);
}

TEST(poisoned_blocks_are_in_no_account_and_hold_no_memory)
{
    leave_orphans();
    end_interp();
    fake_expect_accounts(&process);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 2);
    trim_process();
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.committed_bytes, process.committed_bytes);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 4);
    free_orphans();
}

// What CPython 3.12 and 3.13 do.
TEST(late_frees_of_poisoned_blocks_are_counted_and_give_the_addresses_back)
{
    uint64_t late = pim_load_relaxed(&pim_poisoned.late_frees);
    end_interp();
    committed = committed_now();
    orphans_begin(PIM_POISON);
    leave_orphans();
    // The fake takes the map off that was never committed.
    committed -= pim_align_up(pim_large_usable(leak.map), 4096);
    end_interp();
    pim_obj_free(NULL, leak.small);
    pim_mem_free(NULL, leak.large_small);
    pim_mem_free(NULL, leak.span);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 1);
    pim_obj_free(NULL, leak.map);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.late_frees), late + 4);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_blocks), 0);
    EXPECT_EQ(pim_load_relaxed(&pim_poisoned.poisoned_bytes), 0);
    fake_expect_accounts(&process);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
    EXPECT_EQ(committed_now(), committed);
    EXPECT_EQ(fake_figures(PIM_PROCESS_ID).arenas, process.arenas);
}

TEST(second_late_free_is_fatal)
{
    char *other = left(pim_obj_malloc(NULL, 48), 48);
    leave_orphans();
    end_interp();
    pim_obj_free(NULL, leak.small);
    core_expect_fatal(free_it, leak.small, "freed twice");
    pim_obj_free(NULL, other);
    pim_obj_free(NULL, leak.large_small);
    pim_obj_free(NULL, leak.span);
    pim_obj_free(NULL, leak.map);
}

// The next interpreters use the units around what is poisoned, so that a leak costs
// no arena.
TEST(arenas_with_poisoned_pages_are_reclaimed)
{
    char *leaks[40];
    end_interp();
    for (unsigned i = 0; i < 40; i++) {
        orphans_begin(PIM_POISON);
        leaks[i] = left(pim_obj_malloc(NULL, 48), 48);
        end_interp();
    }
    trim_process();
    EXPECT_LE(fake_figures(PIM_PROCESS_ID).arenas, 2);
    for (unsigned i = 0; i < 40; i++) {
        pim_obj_free(NULL, leaks[i]);
    }
    trim_process();
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

SUITE(.set_up = core_set_up, .begin = begin, .end = orphans_end)

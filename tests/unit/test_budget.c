// test_budget.c -- interpreters that count for the one that made them.

#include <errno.h>

#include "abandoned/poison.h"
#include "account/budget.h"
#include "domain/domain.h"
#include "heap/admit.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "support/core.h"
#include "support/members.h"
#include "support/random.h"

// --- what counts -----------------------------------------------------------------

TEST(what_a_tenants_interpreter_has_counts_for_the_tenant)
{
    make_family(SOFT, HARD);
    void *blocks[64];
    unsigned count = 0;
    while ((blocks[count] = pim_obj_malloc(NULL, MIB - 100)) != NULL) {
        count++;
    }
    EXPECT_GE(count, 14);
    EXPECT_LE(tree_bytes(TENANT), SOFT);
    EXPECT_EQ(refusals, 1);
    EXPECT_EQ(last_refusal.interp, member_ids[TENANT]);
    EXPECT_EQ(last_refusal.asked_by, member_ids[CHILD]);
    EXPECT_EQ(last_refusal.refusals, 1);
    EXPECT_LE(last_refusal.live_bytes, SOFT);
    EXPECT_GE(last_refusal.live_bytes, count * (MIB - 100));
    EXPECT_EQ(fake_limit(member_heap(TENANT)).refusals, 1);
    EXPECT_EQ(fake_limit(member_heap(CHILD)).refusals, 0);
    EXPECT_EQ(fake_limit(member_heap(CHILD)).parent, member_ids[TENANT]);
    EXPECT_EQ(fake_limit(member_heap(TENANT)).parent, PIM_PROCESS_ID);
    become(TENANT);
    EXPECT_NULL(pim_mem_malloc(NULL, 3 * MIB));
    EXPECT_EQ(last_refusal.asked_by, member_ids[TENANT]);
    become(CHILD);
    while (count > 0) {
        pim_obj_free(NULL, blocks[--count]);
    }
    become(TENANT);
    void *block = pim_mem_malloc(NULL, 12 * MIB);
    EXPECT_NOT_NULL(block);
    pim_mem_free(NULL, block);
}

TEST(raw_blocks_and_stacks_of_a_child_count_too)
{
    make_family(SOFT, HARD);
    void *raw = pim_raw_malloc(NULL, 10 * MIB);
    EXPECT_NOT_NULL(raw);
    EXPECT_GE(tree_bytes(TENANT), 10 * MIB);
    become(TENANT);
    EXPECT_NULL(pim_raw_malloc(NULL, 10 * MIB));
    become(CHILD);
    pim_raw_free(NULL, raw);
}

TEST(a_grandchild_counts_for_all_above)
{
    make_family(SOFT, HARD);
    EXPECT(make_member(GRANDCHILD));
    limit_member(CHILD, 4 * MIB, 4 * MIB);
    void *block = pim_obj_malloc(NULL, 3 * MIB);
    EXPECT_NOT_NULL(block);
    EXPECT_EQ(tree_bytes(CHILD), live_of_member(GRANDCHILD));
    EXPECT_EQ(tree_bytes(TENANT), live_of_member(GRANDCHILD));
    EXPECT_NULL(pim_obj_malloc(NULL, 2 * MIB)); // the nearest one refuses
    EXPECT_EQ(last_refusal.interp, member_ids[CHILD]);
    EXPECT_EQ(last_refusal.asked_by, member_ids[GRANDCHILD]);
    limit_member(CHILD, 0, 0);
    EXPECT_NULL(pim_obj_malloc(NULL, 15 * MIB));
    EXPECT_EQ(last_refusal.interp, member_ids[TENANT]);
    pim_obj_free(NULL, block);
}

TEST(the_reserve_is_for_all_who_count_together)
{
    make_family(SOFT, HARD);
    become(TENANT);
    void *large = pim_obj_malloc(NULL, SOFT - MIB);
    EXPECT_NOT_NULL(large);
    become(CHILD);
    EXPECT_NULL(pim_obj_malloc(NULL, 2 * MIB));
    void *blocks[1000];
    become(TENANT);
    for (unsigned i = 0; i < 1000; i++) { // 1.5 MiB, above soft
        blocks[i] = pim_obj_malloc(NULL, 1500);
        EXPECT_NOT_NULL(blocks[i]);
    }
    EXPECT_GT(tree_bytes(TENANT), SOFT);
    EXPECT_LE(tree_bytes(TENANT), HARD);
    pim_obj_free(NULL, large);
    become(CHILD);
    large = pim_obj_malloc(NULL, 10 * MIB); // it is closed
    EXPECT_NOT_NULL(large);
    EXPECT_EQ(refusals, 1);
    pim_obj_free(NULL, large);
    become(TENANT);
    core_free_all(PIM_OBJ, blocks, 1000);
}

// --- to the byte -----------------------------------------------------------------

#define PLACES 20000

static void *places[MEMBERS][PLACES];

static void
change_a_block(random_state *r, unsigned m, size_t most)
{
    unsigned at = (unsigned)random_below(r, PLACES);
    become(m);
    const core_domain *d = &core_domains[at % PIM_DOMAINS];
    if (places[m][at] != NULL) {
        d->free(NULL, places[m][at]);
        places[m][at] = NULL;
    } else if (random_below(r, 10) != 0) {
        places[m][at] = d->malloc(NULL, 1 + random_below(r, most));
    }
}

TEST(members_together_never_exceed_the_limit_by_a_byte)
{
    random_state r = random_from(random_seed());
    make_family(SOFT, HARD);
    become(TENANT);
    EXPECT(make_member(SECOND));
    for (unsigned step = 0; step < 300000; step++) {
        unsigned m = (unsigned)random_below(&r, SECOND + 1);
        change_a_block(&r, m, 3000);
        if (step % 512 == 0) {
            EXPECT_LE(tree_bytes(TENANT), HARD);
            pim_budget_audit();
        }
        if (step % 64 == 0) {
            pim_limit_audit(member_heap(m));
        }
    }
    EXPECT_GT(refusals, 0);
    EXPECT_GT(tree_bytes(TENANT), SOFT - 4 * MIB);
    for (unsigned m = 0; m <= SECOND; m++) {
        become(m);
        for (unsigned i = 0; i < PLACES; i++) {
            core_domains[i % PIM_DOMAINS].free(NULL, places[m][i]);
            places[m][i] = NULL;
        }
    }
}

// What an idle member was charged and does not use: of what it freed, one of a
// hundred blocks stays in each page.
TEST(what_an_idle_member_freed_is_there_for_the_others)
{
    make_family(SOFT, SOFT);
    unsigned count = 0;
    while (count < PLACES * 3 / 4) {
        places[CHILD][count++] = pim_obj_malloc(NULL, 1000);
    }
    for (unsigned i = 0; i < count; i++) {
        if (i % 100 != 0) {
            pim_obj_free(NULL, places[CHILD][i]);
        }
    }
    become(TENANT);
    void *block = pim_obj_malloc(NULL, SOFT - 3 * MIB / 2);
    EXPECT_NOT_NULL(block);
    EXPECT_LE(tree_bytes(TENANT), SOFT);
    pim_obj_free(NULL, block);
    become(CHILD);
    for (unsigned i = 0; i < count; i++) {
        if (i % 100 == 0) {
            pim_obj_free(NULL, places[CHILD][i]);
        }
        places[CHILD][i] = NULL;
    }
}

// What the pages that a member has open can serve, in all classes.
TEST(open_pages_of_an_idle_member_are_there_for_the_others)
{
    static void *one_of[PIM_CLASSES];
    make_family(SOFT, SOFT);
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        one_of[c] = pim_obj_malloc(NULL, pim_classes[c].block_size);
        EXPECT_NOT_NULL(one_of[c]);
    }
    uint64_t of_child = live_of_member(CHILD);
    become(TENANT);
    void *block = pim_obj_malloc(NULL, SOFT - of_child - SOFT / 32);
    EXPECT_NOT_NULL(block);
    EXPECT_EQ(refusals, 0);
    become(CHILD); // which has none of them any more
    unsigned served = 0;
    while (served < 1000 && pim_obj_malloc(NULL, 64) != NULL) {
        served++; // and they stay until it ends
    }
    pim_limit_audit(member_heap(CHILD));
    EXPECT_LE(tree_bytes(TENANT), SOFT);
    pim_heap_audit(member_heap(CHILD));
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        pim_obj_free(NULL, one_of[c]);
    }
    become(TENANT);
    pim_obj_free(NULL, block);
}

TEST(a_lowered_limit_holds_for_what_was_charged_before)
{
    make_family(SOFT, SOFT);
    void *block = pim_obj_malloc(NULL, 10 * MIB);
    EXPECT_NOT_NULL(block);
    limit_member(TENANT, 6 * MIB, 6 * MIB);
    pim_obj_free(NULL, block);
    EXPECT_NULL(pim_obj_malloc(NULL, 7 * MIB));
    become(TENANT);
    EXPECT_NULL(pim_obj_malloc(NULL, 7 * MIB));
    block = pim_obj_malloc(NULL, 4 * MIB);
    EXPECT_NOT_NULL(block);
    pim_obj_free(NULL, block);
}

TEST(a_limit_that_comes_later_counts_what_is_there)
{
    EXPECT(make_member(CHILD));
    void *block = pim_obj_malloc(NULL, 10 * MIB);
    EXPECT(!pim_limit_is_set(&member_heap(CHILD)->limit));
    limit_member(TENANT, SOFT, SOFT);
    EXPECT(pim_limit_is_set(&member_heap(CHILD)->limit));
    become(TENANT);
    EXPECT_NULL(pim_obj_malloc(NULL, 7 * MIB));
    limit_member(TENANT, 0, 0);
    EXPECT(!pim_limit_is_set(&member_heap(CHILD)->limit));
    pim_budget_audit();
    void *other = pim_obj_malloc(NULL, 20 * MIB);
    EXPECT_NOT_NULL(other);
    pim_obj_free(NULL, other);
    become(CHILD);
    pim_obj_free(NULL, block);
}

// --- ends ------------------------------------------------------------------------

TEST(what_a_member_left_counts_until_the_tenant_ends)
{
    make_family(SOFT, SOFT);
    void *obj = pim_obj_malloc(NULL, 5 * MIB);
    void *raw = pim_raw_malloc(NULL, 2 * MIB);
    uint64_t before = live_of_member(CHILD);
    EXPECT_GE(before, 7 * MIB);
    end_member(CHILD);
    become(TENANT);
    EXPECT_GE(tree_bytes(TENANT), 5 * MIB);
    EXPECT_LT(tree_bytes(TENANT), 6 * MIB); // others free raw blocks
    EXPECT_EQ(fake_limit(member_heap(TENANT)).left_bytes, tree_bytes(TENANT));
    EXPECT_NULL(pim_obj_malloc(NULL, 12 * MIB));
    void *block = pim_obj_malloc(NULL, 10 * MIB);
    EXPECT_NOT_NULL(block);
    pim_obj_free(NULL, block);
    pim_budget_audit();
    pim_obj_free(NULL, obj);
    pim_raw_free(NULL, raw);
}

TEST(members_that_end_give_back_what_they_had)
{
    limit_member(TENANT, SOFT, SOFT);
    for (unsigned round = 0; round < 50; round++) {
        become(TENANT);
        EXPECT(make_member(CHILD));
        void *block = pim_obj_malloc(NULL, 10 * MIB);
        EXPECT_NOT_NULL(block);
        pim_obj_free(NULL, block);
        end_member(CHILD);
    }
    become(TENANT);
    EXPECT_EQ(tree_bytes(TENANT), 0);
    EXPECT_EQ(refusals, 0);
}

TEST(the_limit_outlives_its_interpreter_while_others_count_for_it)
{
    const pim_limit_terms more = {HARD, HARD, note_refusal, members};
    pim_limit_figures figures;
    make_family(SOFT, SOFT);
    end_member(TENANT);
    become(CHILD);
    EXPECT_NULL(pim_obj_malloc(NULL, 17 * MIB));
    EXPECT_EQ(last_refusal.interp, member_ids[TENANT]);
    EXPECT(pim_limit_get_ended(member_ids[TENANT], &figures));
    EXPECT_EQ(figures.refusals, 1);
    EXPECT_EQ(figures.terms.soft_bytes, SOFT);
    EXPECT(pim_limit_set_ended(member_ids[TENANT], &more));
    void *block = pim_obj_malloc(NULL, 17 * MIB);
    EXPECT_NOT_NULL(block);
    EXPECT(pim_limit_get_ended(member_ids[TENANT], &figures));
    EXPECT_GE(figures.tree_bytes, 17 * MIB);
    pim_obj_free(NULL, block);
    end_member(CHILD);
    EXPECT(!pim_limit_get_ended(member_ids[TENANT], &figures));
    EXPECT(!pim_limit_set_ended(member_ids[TENANT], &more));
}

// A thread that ran a member that ended makes the next one for whom that was made.
TEST(who_was_made_by_one_that_ended_counts_for_its_maker)
{
    make_family(SOFT, SOFT);
    EXPECT(make_member(GRANDCHILD));
    end_member(GRANDCHILD); // the thread state of which was current last
    EXPECT(make_member(SECOND));
    EXPECT_EQ(fake_limit(member_heap(SECOND)).parent, member_ids[CHILD]);
    end_member(SECOND);
    end_member(CHILD);
    EXPECT(make_member(SECOND));
    EXPECT_EQ(fake_limit(member_heap(SECOND)).parent, member_ids[TENANT]);
    end_member(SECOND);
    end_member(TENANT);
    EXPECT(make_member(CHILD));
    EXPECT_EQ(fake_limit(member_heap(CHILD)).parent, PIM_PROCESS_ID);
}

// --- otherwise -------------------------------------------------------------------

TEST(a_host_says_who_counts_for_whom)
{
    limit_member(TENANT, SOFT, SOFT);
    IN_GATE(pim_limit_count_made(&member_heap(TENANT)->limit, false));
    EXPECT(make_member(CHILD));
    EXPECT_EQ(fake_limit(member_heap(CHILD)).parent, PIM_PROCESS_ID);
    void *block = pim_obj_malloc(NULL, 20 * MIB);
    EXPECT_NOT_NULL(block);
    EXPECT_EQ(tree_bytes(TENANT), 0);
    EXPECT_EQ(pim_limit_count_for(member_ids[CHILD], member_ids[TENANT]), 0);
    EXPECT_GE(tree_bytes(TENANT), 20 * MIB);
    EXPECT_NULL(pim_obj_malloc(NULL, BUFSIZ)); // nothing more
    pim_budget_audit();
    EXPECT_EQ(pim_limit_count_for(member_ids[TENANT], member_ids[CHILD]),
              -EINVAL);
    EXPECT_EQ(pim_limit_count_for(member_ids[TENANT], member_ids[TENANT]),
              -EINVAL);
    EXPECT_EQ(pim_limit_count_for(FAKE_MAIN, member_ids[TENANT]), -ENOENT);
    EXPECT_EQ(pim_limit_count_for(member_ids[CHILD], 1 << 20), -ENOENT);
    EXPECT_EQ(pim_limit_count_for(member_ids[CHILD], PIM_PROCESS_ID), 0);
    EXPECT_EQ(tree_bytes(TENANT), 0);
    EXPECT(!pim_limit_is_set(&member_heap(CHILD)->limit));
    void *other = pim_obj_malloc(NULL, 20 * MIB);
    EXPECT_NOT_NULL(other);
    pim_obj_free(NULL, other);
    pim_obj_free(NULL, block);
}

TEST(those_to_come_count_or_not)
{
    pim_limit_count_by_default(false, false);
    EXPECT(!pim_limit_counts_by_default());
    EXPECT(make_member(CHILD)); // its maker is older than that
    EXPECT_EQ(fake_limit(member_heap(CHILD)).parent, member_ids[TENANT]);
    EXPECT(make_member(GRANDCHILD));
    EXPECT_EQ(fake_limit(member_heap(GRANDCHILD)).parent, PIM_PROCESS_ID);
    pim_limit_count_by_default(true, true); // as the environment would
    EXPECT(!pim_limit_counts_by_default());
    pim_limit_count_by_default(true, false);
    EXPECT(pim_limit_counts_by_default());
}

TEST(what_main_makes_counts_for_nobody_unless_main_is_told_to)
{
    end_member(TENANT);
    fake_interp_swap(fake_main());
    pim_heap *main_heap = fake_current_heap();
    EXPECT(make_member(CHILD));
    EXPECT_EQ(fake_limit(member_heap(CHILD)).parent, PIM_PROCESS_ID);
    IN_GATE(pim_limit_count_made(&main_heap->limit, true));
    end_member(CHILD);
    fake_interp_swap(fake_main());
    EXPECT_PTR_EQ(fake_current_heap(), main_heap);
    EXPECT(make_member(SECOND));
    EXPECT_EQ(fake_limit(member_heap(SECOND)).parent, FAKE_MAIN);
    IN_GATE(pim_limit_count_made(&main_heap->limit, false));
}

TEST(a_legacy_interpreter_that_a_tenant_made_is_the_tenants)
{
    limit_member(TENANT, SOFT, SOFT);
    member_ids[CHILD] = core_next_id();
    fake_interp_swap(NULL);
    EXPECT(fake_interp_make(&members[CHILD], member_ids[CHILD]));
    members[CHILD].state->is_legacy = true;
    become(CHILD);
    EXPECT_EQ(fake_current_heap()->id, member_ids[CHILD]);
    EXPECT_NULL(pim_obj_malloc(NULL, SOFT + 1));
    EXPECT_EQ(last_refusal.interp, member_ids[TENANT]);
    // Main uses what it left.
    EXPECT_EQ(pim_registry_set_policy(member_ids[CHILD], PIM_POISON), -ENOTSUP);
    EXPECT_EQ(pim_registry_set_policy(member_ids[TENANT], PIM_KEEP), 0);
}

SUITE(.set_up = core_set_up, .begin = members_begin, .end = members_end)

// test_births.c -- room for interpreters that a tenant makes.

#include "account/budget.h"
#include "domain/birth.h"
#include "domain/domain.h"
#include "heap/admit.h"
#include "support/core.h"
#include "support/members.h"

TEST(without_room_for_one_no_interpreter_is_made)
{
    become(TENANT);
    limit_member(TENANT, SOFT, HARD);
    void *block = pim_obj_malloc(NULL, SOFT - PIM_LIMIT_BIRTH + 4096);
    EXPECT_NOT_NULL(block);
    EXPECT(!make_member(CHILD));
    EXPECT_EQ(refusals, 1);
    EXPECT_EQ(last_refusal.interp, member_ids[TENANT]);
    EXPECT_EQ(last_refusal.asked_by, member_ids[TENANT]);
    EXPECT_EQ(last_refusal.domain, PIM_RAW);
    EXPECT_EQ(last_refusal.bytes, PIM_LIMIT_BIRTH);
    become(TENANT);
    pim_obj_free(NULL, block);
    EXPECT(make_member(CHILD));
    EXPECT_EQ(refusals, 1);
}

// Where CPython cannot be told before: all that it asks for is refused, and nobody is
// told again.
TEST(without_room_for_one_it_is_stillborn)
{
    become(TENANT);
    limit_member(TENANT, SOFT, HARD);
    void *block = pim_obj_malloc(NULL, SOFT - PIM_LIMIT_BIRTH + 4096);
    pim_birth_is_told_later = true;
    EXPECT(make_newborn(CHILD));
    EXPECT_EQ(refusals, 1);
    EXPECT_NULL(pim_obj_malloc(NULL, 1));
    EXPECT_NULL(pim_mem_malloc(NULL, 40000));
    EXPECT_NULL(pim_raw_malloc(NULL, 100));
    EXPECT_NULL(pim_obj_calloc(NULL, 1, 2 * MIB));
    EXPECT_EQ(refusals, 1);
    end_member(CHILD);
    become(TENANT);
    pim_obj_free(NULL, block);
    EXPECT(make_newborn(CHILD));
    block = pim_obj_malloc(NULL, 1);
    EXPECT_NOT_NULL(block);
    pim_obj_free(NULL, block);
    pim_birth_is_told_later = false;
}

// One that is made under its maker's thread state, which CPython does not survive if it
// is refused: it may be nothing of the kind, so there is one such block at a time.
TEST(block_like_a_state_opens_no_way_past_the_limit)
{
    limit_member(TENANT, SOFT, SOFT);
    void *block = pim_obj_malloc(NULL, SOFT - MIB);
    EXPECT_NOT_NULL(block);
    void *like_one = pim_raw_malloc(NULL, FAKE_STATE_BLOCK);
    EXPECT_NOT_NULL(like_one);
    EXPECT_EQ(refusals, 1);
    EXPECT_NULL(pim_raw_malloc(NULL, PIM_LIMIT_BIRTH + 1));
    void *spared = pim_raw_malloc(NULL, PIM_LIMIT_BIRTH - MIB);
    EXPECT_NOT_NULL(spared);
    EXPECT_NULL(pim_raw_malloc(NULL, FAKE_STATE_BLOCK + MIB));
    pim_raw_free(NULL, like_one);
    pim_raw_free(NULL, spared);
    like_one = pim_raw_malloc(NULL, FAKE_STATE_BLOCK);
    pim_raw_free(NULL, like_one);
    EXPECT_NULL(pim_raw_malloc(NULL, 2 * MIB));
    pim_obj_free(NULL, block);
}

// What a heap has claimed and does not have yet is not taken back.
TEST(what_was_claimed_is_there_when_it_is_needed)
{
    make_family(SOFT, SOFT);
    EXPECT(pim_limit_admits(member_heap(CHILD), 6 * MIB, 6 * MIB));
    become(TENANT);
    EXPECT_NULL(pim_obj_malloc(NULL, 11 * MIB));
    pim_limit_done(&member_heap(CHILD)->limit); // it came to nothing
    void *block = pim_obj_malloc(NULL, 11 * MIB);
    EXPECT_NOT_NULL(block);
    pim_obj_free(NULL, block);
}

TEST(a_newborn_has_its_room_whatever_others_do)
{
    void *blocks[100];
    limit_member(TENANT, SOFT, SOFT);
    EXPECT(make_newborn(CHILD));
    for (unsigned i = 0; i < 100; i++) {
        blocks[i] = NULL;
    }
    // Another thread of the tenant takes all that it gets.
    pim_maker maker = pim_current_self.maker;
    pim_heap *newborn = pim_current_self.newborn;
    EXPECT_PTR_EQ(newborn, member_heap(CHILD));
    pim_current_self.newborn = NULL;
    unsigned count = 0;
    become(TENANT);
    while ((blocks[count] = pim_obj_malloc(NULL, MIB / 2)) != NULL) {
        count++;
    }
    EXPECT_GE(count, 14);
    EXPECT_LE(tree_bytes(TENANT), SOFT - PIM_LIMIT_BIRTH);
    refusals = 0;
    pim_current_self.newborn = newborn;
    pim_current_self.maker = maker;
    become(CHILD);
    void *small[5000];
    for (unsigned i = 0; i < 5000; i++) {
        small[i] = pim_obj_malloc(NULL, 500 + i % 900);
        EXPECT_NOT_NULL(small[i]);
    }
    EXPECT_EQ(refusals, 0);
    EXPECT(pim_load_relaxed(&member_heap(CHILD)->limit.newborn));
    become(TENANT); // it is made
    void *more = pim_obj_malloc(NULL, MIB);
    EXPECT_NOT_NULL(more);
    EXPECT(!pim_load_relaxed(&member_heap(CHILD)->limit.newborn));
    EXPECT_LE(tree_bytes(TENANT), SOFT);
    pim_obj_free(NULL, more);
    while (count > 0) {
        pim_obj_free(NULL, blocks[--count]);
    }
    become(CHILD);
    core_free_all(PIM_OBJ, small, 5000);
}

TEST(room_that_no_interpreter_took_is_given_back)
{
    become(TENANT);
    limit_member(TENANT, SOFT, SOFT);
    fake_interp never;
    fake_interp_swap(NULL);
    for (unsigned round = 0; round < 10; round++) {
        EXPECT(fake_interp_make(&never, core_next_id()));
        fake_interp_end(&never); // CPython gave up
    }
    EXPECT(make_member(CHILD));
    pim_budget_audit();
    become(TENANT);
    void *block = pim_obj_malloc(NULL, SOFT - MIB);
    EXPECT_NOT_NULL(block);
    pim_obj_free(NULL, block);
}

SUITE(.set_up = core_set_up, .begin = members_begin, .end = members_end)

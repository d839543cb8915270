// test_side.c -- the words beside the blocks of pages, by themselves.

#include "hooks/side.h"

#include "domain/domain.h"
#include "heap/idle.h"
#include "hooks/records.h"
#include "interp/current.h"
#include "pimalloc/hooks.h"
#include "support/core.h"
#include "support/fake_mi.h"
#include "support/fake_os.h"
#include "support/interp_case.h"

static int
begin(void **state)
{
    interp_case_begin_used(state);
    EXPECT(pim_side_start(true));
    return 0;
}

static int
end(void **state)
{
    pim_side_drop();
    EXPECT_EQ(pim_side_bytes(), 0);
    return interp_case_end(state);
}

static pim_record
record_of(uint32_t stack, uint64_t bytes)
{
    return (pim_record){.stack = stack, .bytes = bytes};
}

static bool
put_for(const void *block, unsigned domain, int64_t whose, pim_record record)
{
    pim_traced_block b = {block, whose, domain, record};
    pim_record stale;
    bool done = pim_side_put(&b, &stale);
    EXPECT(!done || stale.stack == 0);
    return done;
}

static bool
put(const void *block, uint32_t stack, uint64_t bytes)
{
    return put_for(block, PIM_OBJ, id, record_of(stack, bytes));
}

// Each place of a page is another block's: the first and last byte of each block
// of each class, and what lies inside.
TEST(each_block_of_each_class_has_a_word_of_its_own)
{
    static void *blocks[4096];
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        size_t size = pim_classes[c].block_size;
        unsigned n = pim_classes[c].capacity;
        n = n < 4096 ? n : 4096;
        for (unsigned i = 0; i < n; i++) {
            blocks[i] = pim_obj_malloc(NULL, size);
            EXPECT(put(blocks[i], i + 1, size - i % size));
        }
        for (unsigned i = 0; i < n; i++) {
            pim_traced_block b;
            const char *last = (const char *)blocks[i] + size - 1;
            EXPECT(pim_side_find(last, &b));
            EXPECT_PTR_EQ(b.address, blocks[i]);
            EXPECT_EQ(b.record.stack, i + 1);
            EXPECT_EQ(b.record.bytes, size - i % size);
            EXPECT_EQ(b.domain, PIM_OBJ);
            EXPECT_EQ(b.interp, id);
        }
        for (unsigned i = 0; i < n; i++) {
            pim_record was;
            EXPECT(pim_side_take(blocks[i], &was));
            EXPECT_EQ(was.stack, i + 1);
            EXPECT(!pim_side_take(blocks[i], &was));
            pim_obj_free(NULL, blocks[i]);
        }
    }
}

TEST(code_is_marked_wherever_it_lies)
{
    static const size_t sizes[] = {100, 5000, 60000};
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned traced = 0; traced < 2; traced++) {
            char *p = pim_obj_malloc(NULL, sizes[i]);
            pim_record was;
            pim_traced_block b;
            EXPECT(traced == 0 || put(p, 7, sizes[i]));
            EXPECT(pim_side_mark_code(p + 16)); // behind a header
            EXPECT_EQ(pim_side_find(p, &b), traced != 0);
            EXPECT(pim_side_take(p, &was));
            EXPECT(was.is_code);
            EXPECT_EQ(was.stack, traced != 0 ? 7 : 0);
            pim_obj_free(NULL, p);
        }
    }
    static char of_cpython[100]; // never dies
    pim_record was;
    EXPECT(pim_side_mark_code(of_cpython + 48));
    EXPECT(!pim_side_take(of_cpython + 48, &was));
}

TEST(without_memory_nothing_is_noted)
{
    void *p = pim_obj_malloc(NULL, 333);
    void *q = pim_obj_malloc(NULL, 60000);
    pim_record was;
    fake_os_fail(FAKE_MAP, 1, true);
    EXPECT(!put(p, 1, 333)); // no leaf
    EXPECT(!put(q, 1, 60000));
    EXPECT(!pim_side_mark_code(p));
    EXPECT(!pim_side_mark_code(q));
    fake_os_heal();
    fake_mi_fail(1, true);
    EXPECT(!put(p, 1, 333)); // no records
    EXPECT(!pim_side_mark_code(p));
    fake_mi_heal();
    EXPECT(!pim_side_take(p, &was));
    EXPECT(put(p, 1, 333));
    EXPECT(put(q, 1, 60000));
    EXPECT(pim_side_take(p, &was));
    EXPECT(pim_side_take(q, &was));
    pim_obj_free(NULL, p);
    pim_obj_free(NULL, q);
}

static int
count(void *arg, const pim_traced_block *b)
{
    (void)b;
    return ++*(unsigned *)arg == 1000;
}

static unsigned
visited(int64_t of)
{
    unsigned n = 0;
    pim_side_each(of, count, &n);
    return n;
}

// A word that somebody left is not the next block's (SIDE-1).
TEST(records_of_a_unit_s_last_life_are_not_those_of_this_one)
{
    static void *blocks[2000];
    unsigned same = 0;
    for (unsigned i = 0; i < 2000; i++) {
        blocks[i] = pim_obj_malloc(NULL, 64);
        EXPECT(put(blocks[i], 9, 64));
    }
    for (unsigned i = 0; i < 2000; i++) {
        pim_obj_free(NULL, blocks[i]); // not seen: its word stays
    }
    IN_GATE(pim_heap_release_idle(heap));
    for (unsigned i = 0; i < 2000; i++) {
        pim_record was;
        bool other = i % 2 == 0;
        blocks[i] = other ? pim_mem_malloc(NULL, 64) : pim_obj_malloc(NULL, 80);
        EXPECT(!pim_side_take(blocks[i], &was));
        same += blocks[i] == blocks[0];
    }
    EXPECT_NE(same, 0);
    pim_records_sweep(heap);
    EXPECT_EQ(visited(id), 0);
    for (unsigned i = 0; i < 2000; i++) {
        core_domains[i % 2 == 0 ? PIM_MEM : PIM_OBJ].free(NULL, blocks[i]);
    }
}

// Its free came past us.
TEST(a_block_that_is_noted_again_says_what_was_there)
{
    static const size_t sizes[] = {100, 60000};
    for (unsigned i = 0; i < 2; i++) {
        void *p = pim_obj_malloc(NULL, sizes[i]);
        pim_traced_block b = {p, id, PIM_OBJ, record_of(5, 90)};
        pim_record stale;
        EXPECT(pim_side_put(&b, &stale) && stale.stack == 0);
        EXPECT(pim_side_mark_code(p));
        b.record = record_of(6, 80);
        EXPECT(pim_side_put(&b, &stale));
        EXPECT_EQ(stale.stack, 5);
        EXPECT_EQ(stale.bytes, 90);
        EXPECT(stale.is_code);
        pim_record was;
        EXPECT(pim_side_take(p, &was) && was.stack == 6 && !was.is_code);
        EXPECT(!pim_side_take(p, &was));
        pim_obj_free(NULL, p);
    }
}

TEST(what_is_forgotten_is_of_one_interpreter)
{
    void *p = pim_obj_malloc(NULL, 100);
    void *q = pim_obj_malloc(NULL, 60000);
    fake_interp_swap(NULL);
    void *r = pim_mem_malloc(NULL, 100);
    fake_interp_swap(&interp);
    EXPECT(put(p, 1, 100));
    EXPECT(put(q, 1, 60000));
    EXPECT(put_for(r, PIM_MEM, PIM_PROCESS_ID, record_of(1, 100)));
    EXPECT_EQ(visited(id), 2);
    EXPECT_EQ(visited(PIM_PROCESS_ID), 1);
    pim_side_forget(id);
    EXPECT_EQ(visited(PIMALLOC_EACH), 1);
    pim_side_forget(PIMALLOC_EACH);
    EXPECT_EQ(visited(PIMALLOC_EACH), 0);
    pim_obj_free(NULL, p);
    pim_obj_free(NULL, q);
    pim_mem_free(NULL, r);
}

SUITE(.set_up = core_set_up, .begin = begin, .end = end)

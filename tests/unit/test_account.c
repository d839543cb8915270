// test_account.c -- accounts by size class: live, peak and ever, exact.

#include <string.h>

#include "account/ledger.h"
#include "domain/domain.h"
#include "heap/large.h"
#include "heap/remote.h"
#include "interp/figures.h"
#include "interp/roster.h"
#include "support/core.h"
#include "support/interp_case.h"
#include "support/random.h"

static pim_usage
class_of(int64_t of, unsigned domain, size_t size_class)
{
    pim_class_figures figures;
    EXPECT(pim_registry_class_figures(of, domain, &figures));
    return pim_class_usage(&figures, size_class);
}

static pim_usage
obj_class(size_t size)
{
    return class_of(id, OBJ, pim_size_class(size));
}

// ACCOUNT-1, and the totals.
static void
expect_sums(int64_t of)
{
    pim_figures domains = fake_figures(of);
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        pim_usage sum = {0};
        pim_class_figures figures;
        EXPECT(pim_registry_class_figures(of, d, &figures));
        for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
            pim_usage u = pim_class_usage(&figures, c);
            sum.live_bytes += u.live_bytes;
            sum.live_blocks += u.live_blocks;
            sum.total_bytes += u.total_bytes;
            sum.total_blocks += u.total_blocks;
            EXPECT_GE(u.peak_bytes, u.live_bytes);
            EXPECT_GE(u.peak_blocks, u.live_blocks);
            EXPECT_LE(u.peak_blocks, domains.by_domain[d].peak_blocks);
            EXPECT_LE(u.peak_bytes, domains.by_domain[d].peak_bytes);
        }
        EXPECT_EQ(sum.live_bytes, domains.by_domain[d].live_bytes);
        EXPECT_EQ(sum.live_blocks, domains.by_domain[d].live_blocks);
        EXPECT_EQ(sum.total_bytes, domains.by_domain[d].total_bytes);
        EXPECT_EQ(sum.total_blocks, domains.by_domain[d].total_blocks);
    }
}

// --- the owner alone ---------------------------------------------------------

#define BLOCKS 3000

static pim_usage model[PIM_DOMAINS][PIM_ACCOUNT_CLASSES];

static struct {
    void *start;
    size_t usable;
    size_t size_class;
    unsigned domain;
} blocks[BLOCKS];

static void
raise_to(uint64_t *peak, uint64_t live)
{
    *peak = *peak < live ? live : *peak;
}

// Sizes of all classes alike, and some spans and large blocks.
static size_t
random_size(random_state *r)
{
    uint64_t dice = random_below(r, 1000);
    return dice < 900   ? pim_classes[random_below(r, PIM_CLASSES)].block_size
           : dice < 950 ? 1 + random_below(r, PIM_SPAN_MAX)
           : dice < 960 ? PIM_SPAN_MAX + 1 + random_below(r, 1 << 20)
                        : 1 + random_below(r, 200);
}

static void
model_alloc(size_t i, random_state *r)
{
    size_t size = random_size(r);
    blocks[i].domain = (unsigned)random_below(r, 2);
    blocks[i].start = blocks[i].domain == MEM ? pim_mem_malloc(NULL, size)
                                              : pim_obj_malloc(NULL, size);
    EXPECT_NOT_NULL(blocks[i].start);
    if (size <= PIM_SMALL_MAX) {
        blocks[i].size_class = pim_size_class(size);
        blocks[i].usable = core_block_bytes(size);
    } else if (size <= PIM_SPAN_MAX) {
        blocks[i].size_class = PIM_CLASS_SPAN;
        blocks[i].usable = core_block_bytes(size);
    } else {
        blocks[i].size_class = PIM_CLASS_LARGE;
        blocks[i].usable = pim_large_usable(blocks[i].start);
    }
    pim_usage *u = &model[blocks[i].domain][blocks[i].size_class];
    u->live_blocks++;
    u->live_bytes += blocks[i].usable;
    u->total_blocks++;
    u->total_bytes += blocks[i].usable;
    raise_to(&u->peak_blocks, u->live_blocks);
    raise_to(&u->peak_bytes, u->live_bytes);
}

static void
model_free(size_t i)
{
    pim_usage *u = &model[blocks[i].domain][blocks[i].size_class];
    u->live_blocks--;
    u->live_bytes -= blocks[i].usable;
    if (blocks[i].domain == MEM) {
        pim_mem_free(NULL, blocks[i].start);
    } else {
        pim_obj_free(NULL, blocks[i].start);
    }
    blocks[i].start = NULL;
}

static void
expect_class(unsigned domain, size_t size_class)
{
    pim_usage is = class_of(id, domain, size_class);
    const pim_usage *should = &model[domain][size_class];
    EXPECT_EQ(is.live_blocks, should->live_blocks);
    EXPECT_EQ(is.live_bytes, should->live_bytes);
    EXPECT_EQ(is.peak_blocks, should->peak_blocks);
    EXPECT_EQ(is.peak_bytes, should->peak_bytes);
    EXPECT_EQ(is.total_blocks, should->total_blocks);
    EXPECT_EQ(is.total_bytes, should->total_bytes);
}

static void
expect_all_classes(void)
{
    for (unsigned domain = 0; domain < 2; domain++) {
        for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
            expect_class(domain, c);
        }
    }
    expect_sums(id);
}

TEST(every_class_is_counted_exactly_at_every_moment)
{
    random_state r = random_from(random_seed());
    memset(model, 0, sizeof(model));
    model[OBJ][0] = class_of(id, OBJ, 0); // of begin()
    unsigned operations = 100000;
    for (unsigned i = 0; i < operations; i++) {
        // Swings between nearly nothing and nearly everything.
        size_t among = 1 + (i % 20000 < 10000 ? i % 10000 : 9999 - i % 10000) *
                               BLOCKS / 10000;
        size_t at = random_below(&r, among);
        if (blocks[at].start != NULL) {
            model_free(at);
        } else {
            model_alloc(at, &r);
        }
        expect_class(blocks[at].domain, blocks[at].size_class);
        if (random_below(&r, 500) == 0) {
            expect_all_classes();
        }
    }
    for (size_t at = 0; at < BLOCKS; at++) {
        if (blocks[at].start != NULL) {
            model_free(at);
        }
    }
    expect_all_classes();
}

TEST(a_span_counts_what_it_grows_by)
{
    void *span = pim_obj_malloc(NULL, 10 * PIM_UNIT_SIZE);
    pim_usage before = class_of(id, OBJ, PIM_CLASS_SPAN);
    EXPECT_EQ(before.live_bytes, 10 * PIM_UNIT_SIZE);
    EXPECT_PTR_EQ(pim_obj_realloc(NULL, span, 4 * PIM_UNIT_SIZE), span);
    pim_usage shorter = class_of(id, OBJ, PIM_CLASS_SPAN);
    EXPECT_EQ(shorter.live_bytes, 4 * PIM_UNIT_SIZE);
    EXPECT_EQ(shorter.total_bytes, before.total_bytes);
    EXPECT_PTR_EQ(pim_obj_realloc(NULL, span, 12 * PIM_UNIT_SIZE), span);
    pim_usage longer = class_of(id, OBJ, PIM_CLASS_SPAN);
    EXPECT_EQ(longer.live_blocks, 1);
    EXPECT_EQ(longer.live_bytes, 12 * PIM_UNIT_SIZE);
    EXPECT_EQ(longer.peak_bytes, 12 * PIM_UNIT_SIZE);
    EXPECT_EQ(longer.total_blocks, before.total_blocks);
    EXPECT_EQ(longer.total_bytes, before.total_bytes + 8 * PIM_UNIT_SIZE);
    expect_sums(id);
    pim_obj_free(NULL, span);
    EXPECT_EQ(class_of(id, OBJ, PIM_CLASS_SPAN).live_bytes, 0);
    expect_sums(id);
}

TEST(a_large_block_counts_what_it_grows_by)
{
    char *block = pim_mem_malloc(NULL, 4 * PIM_SPAN_MAX);
    pim_usage before = class_of(id, MEM, PIM_CLASS_LARGE);
    EXPECT_EQ(before.live_blocks, 1);
    EXPECT_EQ(before.live_bytes, pim_large_usable(block));
    block = pim_mem_realloc(NULL, block, 20 * PIM_SPAN_MAX);
    pim_usage longer = class_of(id, MEM, PIM_CLASS_LARGE);
    EXPECT_EQ(longer.live_bytes, pim_large_usable(block));
    EXPECT_EQ(longer.total_blocks, before.total_blocks);
    EXPECT_EQ(longer.total_bytes - before.total_bytes,
              longer.live_bytes - before.live_bytes);
    expect_sums(id);
    pim_mem_free(NULL, block);
    EXPECT_EQ(class_of(id, MEM, PIM_CLASS_LARGE).live_blocks, 0);
    expect_sums(id);
}

// --- others ------------------------------------------------------------------

#define SIZES 4
static const size_t sizes[SIZES] = {48, 3000, 5 * PIM_UNIT_SIZE,
                                    2 * PIM_SPAN_MAX};
static const size_t classes[SIZES] = {2, PIM_TINY_CLASSES + 19, PIM_CLASS_SPAN,
                                      PIM_CLASS_LARGE};

static void
alloc_each(void **out)
{
    EXPECT_EQ(classes[1], pim_size_class(sizes[1]));
    for (unsigned i = 0; i < SIZES; i++) {
        out[i] = pim_obj_malloc(NULL, sizes[i]);
        EXPECT_NOT_NULL(out[i]);
    }
}

TEST(a_block_freed_by_another_is_gone_from_its_class_at_once)
{
    void *each[SIZES];
    fake_interp other;
    alloc_each(each);
    fake_interp_begin(&other, core_next_id());
    for (unsigned i = 0; i < SIZES; i++) {
        pim_usage before = class_of(id, OBJ, classes[i]);
        EXPECT_EQ(before.live_blocks, 1);
        fake_interp_swap(i % 2 == 0 ? &other : NULL);
        pim_obj_free(NULL, each[i]);
        pim_usage after = class_of(id, OBJ, classes[i]);
        EXPECT_EQ(after.live_blocks, 0);
        EXPECT_EQ(after.live_bytes, 0);
        EXPECT_EQ(after.peak_bytes, before.peak_bytes);
        EXPECT_EQ(after.total_bytes, before.total_bytes);
        expect_sums(id);
    }
    // Taken over by the owner, it is still so.
    fake_interp_swap(&interp);
    IN_GATE(pim_heap_drain(fake_current_heap()));
    for (unsigned i = 0; i < SIZES; i++) {
        EXPECT_EQ(class_of(id, OBJ, classes[i]).live_blocks, 0);
        EXPECT_EQ(class_of(id, OBJ, classes[i]).live_bytes, 0);
    }
    EXPECT_EQ(pim_load_relaxed(&fake_current_heap()->remote.pending[OBJ].bytes),
              0);
    expect_sums(id);
    fake_interp_end(&other);
}

TEST(what_is_left_is_live_in_the_process_and_was_allocated_by_the_ended)
{
    void *each[SIZES];
    pim_usage before[SIZES];
    alloc_each(each);
    for (unsigned i = 0; i < SIZES; i++) {
        before[i] = class_of(PIM_PROCESS_ID, OBJ, classes[i]);
    }
    end_interp();
    EXPECT(fake_figures(id).ended);
    expect_sums(id);
    expect_sums(PIM_PROCESS_ID);
    for (unsigned i = 0; i < SIZES; i++) {
        pim_usage last = class_of(id, OBJ, classes[i]);
        pim_usage now = class_of(PIM_PROCESS_ID, OBJ, classes[i]);
        EXPECT_EQ(last.live_blocks, 1);
        EXPECT_EQ(last.total_blocks, 1);
        EXPECT_EQ(now.live_blocks, before[i].live_blocks + 1);
        EXPECT_EQ(now.live_bytes, before[i].live_bytes + last.live_bytes);
        EXPECT_EQ(now.total_blocks, before[i].total_blocks);
        EXPECT_EQ(now.total_bytes, before[i].total_bytes);
        pim_obj_free(NULL, each[i]);
        now = class_of(PIM_PROCESS_ID, OBJ, classes[i]);
        EXPECT_EQ(now.live_blocks, before[i].live_blocks);
        EXPECT_EQ(now.live_bytes, before[i].live_bytes);
        EXPECT_EQ(class_of(id, OBJ, classes[i]).live_blocks, 1);
    }
    expect_sums(PIM_PROCESS_ID);
}

TEST(a_orphan_that_the_reclaimer_frees_was_never_the_reclaimers)
{
    enum { N = 400 };
    void *left[N];
    core_fill(PIM_OBJ, left, N, 64);
    for (unsigned i = 0; i < N; i += 2) {
        pim_obj_free(NULL, left[i]);
    }
    pim_usage before = class_of(PIM_PROCESS_ID, OBJ, 3);
    end_interp();

    begin_interp();
    void *own = pim_obj_malloc(NULL, 64);
    EXPECT_EQ(class_of(PIM_PROCESS_ID, OBJ, 3).live_blocks,
              before.live_blocks + N / 2);
    for (unsigned i = 1; i < N; i += 2) {
        pim_obj_free(NULL, left[i]);
    }
    EXPECT_EQ(class_of(PIM_PROCESS_ID, OBJ, 3).live_blocks, before.live_blocks);
    EXPECT_EQ(obj_class(64).live_blocks, 1);
    EXPECT_EQ(obj_class(64).total_blocks, 1);
    EXPECT_EQ(obj_class(64).peak_blocks, 1);
    expect_sums(id);
    pim_obj_free(NULL, own);
}

TEST(a_recycled_record_begins_with_nothing)
{
    void *each[SIZES];
    alloc_each(each);
    core_free_all(PIM_OBJ, each, SIZES);
    const pim_heap *record = fake_current_heap();
    end_interp();
    begin_interp();
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
    EXPECT_PTR_EQ(fake_current_heap(), record);
    pim_figures now = fake_figures(id);
    EXPECT_EQ(now.by_domain[OBJ].total_blocks, 1);
    EXPECT_EQ(now.by_domain[OBJ].peak_bytes, 16);
    for (unsigned i = 0; i < SIZES; i++) {
        EXPECT_EQ(class_of(id, OBJ, classes[i]).total_blocks, 0);
        EXPECT_EQ(class_of(id, OBJ, classes[i]).peak_bytes, 0);
    }
    expect_sums(id);
}

// --- the ended -----------------------------------------------------------------

// Begins and ends an interpreter that allocates `n` blocks of 48 bytes.
static void
live_and_end(int64_t of, unsigned n)
{
    fake_interp one;
    fake_interp_begin(&one, of);
    fake_interp_swap(&one);
    for (unsigned i = 0; i < n; i++) {
        pim_obj_free(NULL, pim_obj_malloc(NULL, 48));
    }
    fake_interp_swap(NULL);
    fake_interp_end(&one);
}

TEST(the_classes_of_an_ended_one_are_known_until_64_others_have_ended)
{
    pim_class_figures figures;
    int64_t first = core_next_id();
    live_and_end(first, 7);
    for (unsigned i = 1; i < PIM_ENDED_KEPT; i++) {
        live_and_end(core_next_id(), i);
        EXPECT_EQ(class_of(first, OBJ, 2).total_blocks, 7);
    }
    live_and_end(core_next_id(), 1);
    EXPECT(!pim_registry_class_figures(first, OBJ, &figures));
    fake_interp_swap(&interp);
}

TEST(of_ended_ones_with_one_id_the_newest_is_known)
{
    int64_t twice = core_next_id();
    live_and_end(twice, 3);
    live_and_end(twice, 5);
    EXPECT_EQ(class_of(twice, OBJ, 2).total_blocks, 5);
    EXPECT_EQ(class_of(twice, OBJ, 2).peak_blocks, 1);
    fake_interp_swap(&interp);
}

// --- raw ---------------------------------------------------------------------

TEST(raw_is_counted_by_class_in_its_interpreter)
{
    size_t small = pim_size_class(100);
    void *p[3] = {pim_raw_malloc(NULL, 100), pim_raw_malloc(NULL, 100),
                  pim_raw_malloc(NULL, PIM_SMALL_MAX + 1)};
    EXPECT_EQ(class_of(id, RAW, small).live_blocks, 2);
    EXPECT_EQ(class_of(id, RAW, small).live_bytes, 224);
    EXPECT_EQ(class_of(id, RAW, PIM_CLASS_LARGE).live_blocks, 1);
    EXPECT_EQ(class_of(id, RAW, PIM_CLASS_LARGE).live_bytes,
              pim_large_usable(p[2]));
    expect_sums(id);
    pim_raw_free(NULL, p[0]);
    fake_interp_swap(NULL);
    pim_raw_free(NULL, p[1]);
    pim_raw_free(NULL, p[2]);
    fake_interp_swap(&interp);
    EXPECT_EQ(class_of(id, RAW, small).live_blocks, 0);
    EXPECT_EQ(class_of(id, RAW, small).total_blocks, 2);
    EXPECT_EQ(class_of(id, RAW, PIM_CLASS_LARGE).live_bytes, 0);
    EXPECT_EQ(class_of(id, RAW, PIM_CLASS_LARGE).total_blocks, 1);
    expect_sums(id);
}

TEST(raw_without_a_thread_state_counts_what_was_ever_allocated)
{
    pim_usage before;
    pim_usage after;
    fake_interp_swap(NULL);
    pim_raw_figures(&before);
    for (unsigned i = 0; i < 5000; i++) {
        pim_raw_free(NULL, pim_raw_malloc(NULL, 100));
    }
    pim_raw_figures(&after);
    EXPECT_EQ(after.total_blocks - before.total_blocks, 5000);
    EXPECT_GE(after.total_bytes - before.total_bytes, 5000 * 100);
    EXPECT_EQ(after.live_blocks, before.live_blocks);
    EXPECT_GE(after.total_blocks, after.peak_blocks);
    fake_interp_swap(&interp);
}

SUITE(.set_up = core_set_up, .begin = interp_case_begin_used,
      .end = interp_case_end)

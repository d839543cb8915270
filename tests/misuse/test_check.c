// test_check.c -- the checked mode: each kind of misuse, in each domain and for each
// kind of block, ends the process with a message that says what and whose.

#include "misuse/calls.h"

#include <stdlib.h>

#include "abandoned/poison.h"
#include "arena/region.h"
#include "heap/large.h"
#include "support/fake_os.h"
#include "support/interp_case.h"
#include "support/random.h"

static int
begin(void **state)
{
    interp_case_begin(state);
    checked_free(PIM_OBJ,
                 checked_malloc(PIM_OBJ, 1)); // raw requests give no birth
    return 0;
}

// Tiny, small, of several units, a span, a map.
static const size_t sizes[] = {1, 48, 600, 12000, 40000, 300000, 3 << 20};

static const struct {
    unsigned domain;
    const char *name;
} domains[] = {{PIM_RAW, "raw"}, {PIM_MEM, "mem"}, {PIM_OBJ, "obj"}};

// What a child does: gets a block by one domain's function, gives it to another's.
typedef struct misuse {
    unsigned from;
    unsigned to;
    size_t size;
    size_t offset;
    bool first_freed;
    bool by_realloc;
} misuse;

static void
commit(void *arg)
{
    const misuse *m = arg;
    char *block = checked_malloc(m->from, m->size);
    EXPECT_NOT_NULL(block);
    if (m->first_freed) {
        checked_free(m->from, block);
    }
    if (m->by_realloc) {
        checked_realloc(m->to, block + m->offset, 100);
    } else {
        checked_free(m->to, block + m->offset);
    }
}

// Of raw blocks outside the region the size that was asked for is known.
static size_t
known_bytes(const misuse *m)
{
    size_t bytes = 0;
    char *block = checked_malloc(m->from, m->size);
    if (m->from != PIM_RAW) {
        bytes = pim_region_contains(block) ? pim_page_of(block)->block_size
                                           : pim_large_usable(block);
    } else {
        bytes = pim_region_contains(block) ? pim_page_of(block)->block_size
                                           : m->size;
    }
    checked_free(m->from, block);
    return bytes;
}

static void
expect_named(misuse m, const char *what)
{
    char text[300];
    char at[64] = "";
    char owner[40];
    if (m.offset != 0) {
        snprintf(at, sizeof(at), "an address %zu bytes into ", m.offset);
    }
    snprintf(text, sizeof(text),
             "%s: %s%s() in interpreter %" PRId64
             " of %sa block of %zu bytes, domain %s, of %s (0x",
             what, prefixes[m.to], m.by_realloc ? "Realloc" : "Free", id, at,
             known_bytes(&m), domains[m.from].name,
             owner_of(id, owner, sizeof(owner)));
    core_expect_fatal(commit, &m, text);
}

TEST(a_double_free_is_named)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
            expect_named(
                (misuse){
                    .from = d, .to = d, .size = sizes[i], .first_freed = true},
                "double free");
        }
    }
}

TEST(a_realloc_of_a_free_block_is_named)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
            expect_named((misuse){.from = d,
                                  .to = d,
                                  .size = sizes[i],
                                  .first_freed = true,
                                  .by_realloc = true},
                         "use after free");
        }
    }
}

TEST(each_mix_of_domains_is_named)
{
    for (unsigned mix = 0; mix < 9; mix++) {
        misuse m = {.from = mix / 3, .to = mix % 3};
        for (unsigned i = 0; m.from != m.to && i < PIM_ARRAY_LEN(sizes); i++) {
            m.size = sizes[i];
            m.by_realloc = i % 2;
            expect_named(m, "wrong domain");
        }
    }
}

TEST(an_address_inside_a_block_is_named)
{
    static const size_t offsets[] = {1, 8, 16, 32};
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        for (unsigned i = 1; i < PIM_ARRAY_LEN(sizes); i++) {
            misuse m = {.from = d, .to = d, .size = sizes[i]};
            m.offset = i % 2 == 0 ? sizes[i] - 1 : offsets[i / 2];
            m.by_realloc = i % 3 == 0;
            expect_named(m, "interior pointer");
        }
    }
}

// --- addresses of nobody's -------------------------------------------------

typedef struct stranger {
    unsigned domain;
    void *address;
} stranger;

static void
free_stranger(void *arg)
{
    const stranger *s = arg;
    checked_free(s->domain, s->address);
}

static void
realloc_stranger(void *arg)
{
    const stranger *s = arg;
    checked_realloc(s->domain, s->address, 100);
}

static void
expect_foreign(unsigned domain, void *address)
{
    stranger s = {domain, address};
    char text[200];
    for (int by_realloc = 0; by_realloc < 2; by_realloc++) {
        snprintf(text, sizeof(text),
                 "foreign pointer: %s%s() in interpreter %" PRId64
                 " of an address where there is no block (%p)",
                 prefixes[domain], by_realloc ? "Realloc" : "Free", id,
                 address);
        core_expect_fatal(by_realloc ? realloc_stranger : free_stranger, &s,
                          text);
    }
}

TEST(an_address_of_nobody_is_named)
{
    static char of_the_program[200];
    char *block = checked_malloc(PIM_MEM, 48);
    char *arena = pim_arena_start(pim_arena_of(pim_page_of(block)));
    for (unsigned d = PIM_MEM; d < PIM_DOMAINS; d++) {
        expect_foreign(d, of_the_program + 64);
        expect_foreign(d, (void *)64); // not mapped
    }
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        // An arena that was never handed out, and a free unit of one that is.
        expect_foreign(d, pim_region.base + pim_region.size - 64);
        expect_foreign(d, arena + PIM_ARENA_SIZE - 64);
    }
    checked_free(PIM_MEM, block);
}

// Blocks of libc's come to raw from before the installation.
TEST(a_raw_block_of_libc_is_taken)
{
    char *p = malloc(100);
    strcpy(p, "libc");
    p = checked_realloc(PIM_RAW, p, 5000);
    EXPECT_EQ(strcmp(p, "libc"), 0);
    checked_free(PIM_RAW, p);
    checked_free(PIM_RAW, malloc(100));
}

static void
free_raw_twice(void *block)
{
    checked_free(PIM_RAW, block);
    checked_free(PIM_RAW, block);
}

TEST(a_raw_block_is_whose_account_it_is_in)
{
    fake_interp_swap(NULL);
    void *nobodys = checked_malloc(PIM_RAW, 48);
    fake_interp_swap(&interp);
    core_expect_fatal(free_raw_twice, nobodys, "domain raw, of the process (");
    void *left = checked_malloc(PIM_RAW, 48);
    char owner[80];
    snprintf(owner, sizeof(owner),
             "domain raw, of interpreter %" PRId64 ", which has ended (", id);
    end_interp();
    begin(NULL);
    core_expect_fatal(free_raw_twice, left, owner);
    checked_free(PIM_RAW, left);
    checked_free(PIM_RAW, nobodys);
}

// --- interpreters that have ended ------------------------------------------

TEST(a_block_of_an_ended_interpreter_may_be_freed)
{
    char *left[PIM_ARRAY_LEN(sizes)];
    int64_t ended = id;
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        left[i] = checked_malloc(PIM_OBJ, sizes[i]);
    }
    end_interp();
    begin(NULL);
    EXPECT_NE(id, ended);
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        checked_free(PIM_OBJ, left[i]);
    }
}

typedef struct orphan {
    char *block;
    bool again;
} orphan;

static void
realloc_orphan(void *arg)
{
    const orphan *left = arg;
    checked_realloc(PIM_OBJ, left->block, 100);
}

static void
free_orphan_twice(void *arg)
{
    const orphan *left = arg;
    checked_free(PIM_OBJ, left->block);
    checked_free(PIM_OBJ, left->block);
}

TEST(a_block_of_an_ended_interpreter_may_not_be_reallocated_or_freed_twice)
{
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        int64_t ended = id;
        orphan left = {.block = checked_malloc(PIM_OBJ, sizes[i])};
        char owner[80];
        end_interp();
        begin(NULL);
        snprintf(owner, sizeof(owner),
                 "domain obj, of interpreter %" PRId64 ", which has ended (%p)",
                 ended, (void *)left.block);
        core_expect_fatal(realloc_orphan, &left,
                          "ended interpreter: PyObject_Realloc() in");
        core_expect_fatal(realloc_orphan, &left, owner);
        core_expect_fatal(free_orphan_twice, &left,
                          "double free: PyObject_Free() in");
        core_expect_fatal(free_orphan_twice, &left, owner);
        checked_free(PIM_OBJ, left.block);
    }
}

static void
free_orphan(void *arg)
{
    const orphan *left = arg;
    checked_free(PIM_OBJ, left->block);
}

// Poisoned ones are only counted when they are freed, since CPython does so.
TEST(what_was_released_or_poisoned_at_the_end_is_told_apart)
{
    for (int policy = PIM_POISON; policy <= PIM_RELEASE; policy++) {
        pim_store_relaxed(&pim_policy_of_new, policy);
        end_interp();
        begin(NULL);
        orphan left = {.block = checked_malloc(PIM_OBJ, 48)};
        end_interp();
        pim_store_relaxed(&pim_policy_of_new, PIM_KEEP);
        begin(NULL);
        core_expect_fatal(realloc_orphan, &left,
                          "ended interpreter: PyObject_Realloc() in");
        if (policy == PIM_RELEASE) {
            core_expect_fatal(free_orphan, &left,
                              "ended interpreter: PyObject_Free() in");
            // Also where the memory has become another interpreter's.
            for (unsigned i = 0; i < 1000; i++) {
                checked_malloc(PIM_MEM, 48);
            }
            core_expect_fatal(free_orphan, &left, "PyObject_Free() in");
        } else {
            checked_free(PIM_OBJ, left.block);
            core_expect_fatal(free_orphan, &left,
                              "double free: PyObject_Free() in");
        }
    }
}

// As if a thread had kept the thread state: the interpreter's memory still says its
// id.
static void
use_after_its_end(void *arg)
{
    unsigned use = *(unsigned *)arg;
    void *block = checked_malloc(PIM_MEM, 100);
    fake_interp stale = {.block = NULL};
    fake_interp other;
    fake_interp_detach(&interp);
    fake_interp_begin(&other, id);
    *other.state = *interp.state;
    stale.state = other.state;
    fake_interp_end(&interp);
    fake_interp_swap(&stale);
    switch (use) {
    case 0:
        checked_malloc(PIM_MEM, 100);
        break;
    case 1:
        checked_calloc(PIM_OBJ, 10, 10);
        break;
    case 2:
        checked_free(PIM_MEM, block);
        break;
    default:
        checked_realloc(PIM_MEM, block, 1000);
        break;
    }
}

TEST(use_of_an_interpreter_after_its_end_is_named)
{
    static const char *const verbs[] = {"PyMem_Malloc", "PyObject_Calloc",
                                        "PyMem_Free", "PyMem_Realloc"};
    for (unsigned use = 0; use < PIM_ARRAY_LEN(verbs); use++) {
        char text[100];
        snprintf(text, sizeof(text),
                 "ended interpreter: %s() in interpreter %" PRId64, verbs[use],
                 id);
        core_expect_fatal(use_after_its_end, &use, text);
    }
}

// --- what is right ---------------------------------------------------------

TEST(blocks_may_cross_living_interpreters_and_threads_without_one)
{
    fake_interp other;
    char *kept[PIM_ARRAY_LEN(sizes)];
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        kept[i] = checked_malloc(PIM_MEM, sizes[i]);
        kept[i][0] = (char)i;
    }
    fake_interp_begin(&other, core_next_id());
    fake_tstate *mine = fake_interp_swap(&other);
    (void)mine;
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        kept[i] = checked_realloc(PIM_MEM, kept[i], sizes[i] * 2);
        EXPECT_EQ(kept[i][0], i);
    }
    fake_interp_swap(NULL);
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        checked_free(PIM_MEM, kept[i]);
        checked_free(PIM_OBJ, checked_malloc(PIM_OBJ, sizes[i]));
    }
    fake_interp_swap(&interp);
    fake_interp_end(&other);
}

TEST(a_free_small_block_is_filled)
{
    unsigned char *block = checked_malloc(PIM_MEM, 100);
    memset(block, 1, 100);
    checked_free(PIM_MEM, block);
    for (unsigned i = 16; i < 100; i++) { // the first bytes are the allocator's
        EXPECT_EQ(block[i], 0xdd);
    }
    EXPECT_PTR_EQ(checked_calloc(PIM_MEM, 1, 100), block);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_EQ(block[i], 0);
    }
    checked_free(PIM_MEM, block);
}

TEST(null_and_nothing_are_no_misuse)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        checked_free(d, NULL);
        void *p = checked_realloc(d, NULL, 0);
        EXPECT_NOT_NULL(p);
        p = checked_realloc(d, p, 0);
        EXPECT_NOT_NULL(p);
        EXPECT_NULL(checked_realloc(d, p, SIZE_MAX / 2 + 2)); // p is as it was
        EXPECT_NULL(checked_calloc(d, SIZE_MAX / 2, 3));
        checked_free(d, p);
    }
}

#define KEPT 2000

TEST(a_random_program_that_does_nothing_wrong_runs)
{
    static struct {
        unsigned char *block;
        size_t size;
        unsigned domain;
    } kept[KEPT];
    random_state r = random_from(random_seed());
    for (unsigned step = 0; step < 200000; step++) {
        unsigned i = (unsigned)random_below(&r, KEPT);
        size_t size = 1 + random_below(&r, step % 500 == 0 ? 2 << 20 : 700);
        if (kept[i].block == NULL) {
            kept[i].domain = (unsigned)random_below(&r, PIM_DOMAINS);
            kept[i].block = checked_malloc(kept[i].domain, size);
        } else {
            EXPECT_EQ(kept[i].block[0], i & 0xff);
            EXPECT_EQ(kept[i].block[kept[i].size - 1], i & 0xff);
            if (random_below(&r, 3) != 0) {
                checked_free(kept[i].domain, kept[i].block);
                kept[i].block = NULL;
                continue;
            }
            kept[i].block =
                checked_realloc(kept[i].domain, kept[i].block, size);
        }
        EXPECT_NOT_NULL(kept[i].block);
        kept[i].size = size;
        kept[i].block[0] = kept[i].block[size - 1] = (unsigned char)i;
    }
    for (unsigned i = 0; i < KEPT; i++) {
        checked_free(kept[i].domain, kept[i].block);
    }
    EXPECT_EQ(fake_figures(id).by_domain[MEM].live_blocks, 0);
    EXPECT_EQ(fake_figures(id).by_domain[OBJ].live_blocks, 0);
}

// What could not be remembered is not reported.
TEST(without_memory_for_the_records_nothing_is_reported)
{
    size_t count = 200;
    void **blocks = calloc(count, sizeof(*blocks));
    fake_os_fail(FAKE_MAP, 1, true);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = checked_malloc(PIM_OBJ, 30000); // new arenas
    }
    fake_os_heal();
    for (size_t i = 0; i < count; i++) {
        checked_free(PIM_OBJ, blocks[i]);
    }
    free(blocks);
}

SUITE(.set_up = core_set_up_checked, .begin = begin, .end = interp_case_end)

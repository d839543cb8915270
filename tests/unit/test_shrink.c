// test_shrink.c -- a block that shrinks counts for what it is from then on.

#include "domain/domain.h"
#include "heap/audit.h"
#include "support/blocks.h"
#include "support/core.h"
#include "support/random.h"

// Requests of each kind: classes of one and of several units, spans, maps.  Two are
// those of recv() for a buffer of 32 and of 256 KiB.
static const size_t sizes[] = {64,     600,    4129,    20000,   32801,
                               100000, 262177, MIB - 1, MIB + 1, 5 * MIB};

// Of a domain, or of all raw domains that others serve: bytes of live blocks.
static uint64_t
counted(unsigned domain)
{
    return fake_figures(the.id).by_domain[PIM_DOMAIN_INDEX(domain)].live_bytes;
}

// The most that a block for `size` bytes may count: an eighth more than the one that
// is made for it, which is an eighth larger itself where it is mimalloc's.
static uint64_t
most_for(unsigned domain, size_t size)
{
    bool is_mimallocs = domain == PIM_RAW && size > PIM_SMALL_MAX;
    uint64_t bytes = is_mimallocs           ? size + size / 8 + 4 * PAGE
                     : size <= PIM_SPAN_MAX ? core_block_bytes(size)
                                            : pim_align_up(size, PAGE) + PAGE;
    return bytes + bytes / 8;
}

static void
fill(char *block, size_t size)
{
    for (size_t i = 0; i < size; i += 61) {
        block[i] = (char)(i % 127);
    }
}

static void
expect_filled(const char *block, size_t size)
{
    for (size_t i = 0; i < size; i += 61) {
        EXPECT_EQ(block[i], (char)(i % 127));
    }
}

static void
limit(uint64_t bytes)
{
    const pim_limit_terms terms = {.soft_bytes = bytes, .hard_bytes = bytes};
    IN_GATE(pim_limit_set(&the.heap->limit, &terms));
}

// A block that was asked for as it is, or that grew to it as lists grow.
static char *
make_block(const core_domain *d, size_t size, bool grown)
{
    char *block = d->malloc(NULL, grown ? 50 : size);
    for (size_t now = 50; grown && now < size;) {
        now = now + now / 8 + 48 < size ? now + now / 8 + 48 : size;
        block = d->realloc(NULL, block, now);
    }
    fill(block, size);
    return block;
}

static void
shrink_in_steps(random_state *r, unsigned domain, size_t size, bool grown)
{
    const core_domain *d = &core_domains[domain];
    char *block = make_block(d, size, grown);
    while (size > 1) {
        size_t less = random_below(r, 2)
                          ? random_below(r, size)
                          : size - 1 - random_below(r, size / 4 + 1);
        char *moved = d->realloc(NULL, block, less);
        EXPECT_NOT_NULL(moved);
        expect_filled(moved, less);
        EXPECT_LE(counted(domain), most_for(domain, less + !less));
        block = moved;
        size = less;
    }
    d->free(NULL, block);
    EXPECT_EQ(counted(domain), 0);
}

TEST(a_block_that_shrinks_counts_an_eighth_more_than_its_class_at_most)
{
    random_state r = random_from(random_seed());
    for (unsigned round = 0; round < 300; round++) {
        unsigned domain = round % PIM_DOMAINS;
        for (size_t i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
            shrink_in_steps(&r, domain, sizes[i], random_below(&r, 2));
        }
    }
    pim_heap_audit(the.heap);
}

TEST(under_a_limit_that_is_reached_a_block_shrinks_alike)
{
    random_state r = random_from(random_seed());
    for (unsigned domain = 0; domain < PIM_DOMAINS; domain++) {
        const core_domain *d = &core_domains[domain];
        for (size_t i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
            size_t less = 1 + random_below(&r, sizes[i]);
            char *block = make_block(d, sizes[i], false);
            limit(1);
            char *moved = d->realloc(NULL, block, less);
            EXPECT_NOT_NULL(moved);
            expect_filled(moved, less);
            EXPECT_LE(counted(domain), most_for(domain, less));
            limit(0);
            d->free(NULL, moved);
        }
    }
}

// A list gives room back when half of it is used, as CPython's do.
static unsigned
moves_of_a_list_that_pops(const core_domain *d, size_t items)
{
    unsigned moves = 0;
    size_t room = items;
    char *list = d->malloc(NULL, room * 8);
    for (; items > 0; items--) {
        if (items < room / 2) {
            room = items + items / 8 + 6;
            char *shorter = d->realloc(NULL, list, room * 8);
            moves += shorter != list;
            list = shorter;
        }
    }
    d->free(NULL, list);
    return moves;
}

TEST(a_list_that_pops_is_moved_a_few_times)
{
    EXPECT_LE(moves_of_a_list_that_pops(&core_domains[PIM_MEM], 500000), 20);
    EXPECT_LE(moves_of_a_list_that_pops(&core_domains[PIM_OBJ], 4000), 20);
}

// Each step of a block that is within an eighth of its class is a step in place.
TEST(a_block_that_shrinks_by_little_is_seldom_moved)
{
    for (unsigned domain = 0; domain < PIM_DOMAINS; domain++) {
        const core_domain *d = &core_domains[domain];
        unsigned moves = 0;
        char *block = d->malloc(NULL, 3 * MIB);
        for (size_t size = 3 * MIB; size > 4000; size -= size / 200) {
            char *moved = d->realloc(NULL, block, size);
            moves += moved != block;
            block = moved;
        }
        EXPECT_LE(moves, 60); // of 1,330 steps
        d->free(NULL, block);
    }
}

// What grows within the span that it has is not taken to shrink.
TEST(a_list_that_grows_in_its_span_stays_there)
{
    unsigned moves = 0;
    char *list = make_block(&core_domains[PIM_MEM], PIM_SPAN_GROWN + 1, true);
    EXPECT_EQ(counted(PIM_MEM), PIM_UNIT_SIZE);
    for (size_t size = PIM_SPAN_GROWN + 1; size < PIM_SMALL_MAX; size += 100) {
        char *longer = pim_mem_realloc(NULL, list, size);
        moves += longer != list;
        list = longer;
    }
    EXPECT_EQ(moves, 0);
    list = pim_mem_realloc(NULL, list, 20000);
    EXPECT_EQ(counted(PIM_MEM), core_block_bytes(20000));
    pim_mem_free(NULL, list);
}

SUITE(.set_up = core_set_up, .begin = blocks_begin, .end = blocks_end)

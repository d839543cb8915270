// raw_world.c -- see raw_world.h.

#include "support/raw_world.h"

#include <string.h>

#include "account/ledger.h"
#include "arena/region.h"
#include "domain/raw_small.h"
#include "extent/extent.h"
#include "heap/audit.h"
#include "heap/large.h"
#include "interp/figures.h"
#include "support/core.h"

raw_world_state raw_world;
void *raw_blocks[RAW_BLOCKS];

raw_usage
raw_of(int64_t id)
{
    pim_figures f = fake_figures(id);
    raw_usage raw = {f.by_domain[RAW].live_bytes, f.by_domain[RAW].live_blocks};
    if (id == PIM_PROCESS_ID) {
        pim_usage nobodys;
        pim_raw_figures(&nobodys);
        raw.bytes += nobodys.live_bytes;
        raw.blocks += nobodys.live_blocks;
    }
    return raw;
}

raw_usage
raw_of_interp(const fake_interp *interp)
{
    return raw_of(interp->state->id);
}

void
raw_expect(raw_usage now, uint64_t bytes, uint64_t blocks)
{
    EXPECT_EQ(now.bytes, bytes);
    EXPECT_EQ(now.blocks, blocks);
}

void
raw_expect_process_as_before(void)
{
    raw_expect(raw_of(PIM_PROCESS_ID), raw_world.process.bytes,
               raw_world.process.blocks);
}

void
raw_be_born(fake_interp *interp)
{
    fake_interp_swap(interp);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
}

void
raw_audit(fake_interp *interp)
{
    fake_interp_swap(interp);
    pim_heap_audit(fake_current_heap());
    fake_interp_swap(NULL);
}

int
raw_world_begin(void **state)
{
    (void)state;
    fake_interp_swap(NULL);
    fake_interp_begin(&raw_world.a, core_next_id());
    fake_interp_begin(&raw_world.b, core_next_id());
    raw_be_born(&raw_world.b);
    raw_be_born(&raw_world.a);
    raw_world.process = raw_of(PIM_PROCESS_ID);
    return 0;
}

void
raw_end_interp(fake_interp *interp)
{
    fake_interp_swap(NULL);
    size_t bytes = pim_large_usable(interp->block);
    fake_interp_end(interp);
    raw_world.process.bytes -= bytes;
    raw_world.process.blocks--;
}

int
raw_world_end(void **state)
{
    (void)state;
    fake_interp_swap(NULL);
    if (raw_world.a.block != NULL) {
        fake_interp_end(&raw_world.a);
    }
    fake_interp_end(&raw_world.b);
    IN_GATE(pim_extent_trim(true));
    return 0;
}

static const size_t sizes[RAW_BLOCKS] = {
    0,     1,     16,    500,   560,  561,   4144,    4145,
    20000, 32816, 32817, 65536, 1000, 70000, 1 << 18, 5 << 20};

size_t
raw_usable(const void *block)
{
    return pim_region_contains(block) ? pim_page_of(block)->block_size
                                      : pim_large_usable(block);
}

uint64_t
raw_allocate_all(void)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < RAW_BLOCKS; i++) {
        unsigned char *p = i % 2 == 0 ? pim_raw_malloc(NULL, sizes[i])
                                      : pim_raw_calloc(NULL, 1, sizes[i]);
        EXPECT_NOT_NULL(p);
        EXPECT_EQ((uintptr_t)p % PIM_ALIGNMENT, 0);
        EXPECT(i % 2 == 0 || (p[0] == 0 && p[sizes[i] - 1] == 0));
        memset(p, (int)i, sizes[i]);
        EXPECT_GE(raw_usable(p), sizes[i]);
        bytes += raw_usable(p);
        raw_blocks[i] = p;
    }
    return bytes;
}

void
raw_free_all(void)
{
    for (unsigned i = 0; i < RAW_BLOCKS; i++) {
        const unsigned char *p = raw_blocks[i];
        EXPECT(sizes[i] == 0 || p[sizes[i] - 1] == i);
        pim_raw_free(NULL, raw_blocks[i]);
    }
}

pim_usage
raw_now(void)
{
    pim_usage now;
    pim_raw_figures(&now);
    return now;
}

bool
raw_is_small(const void *block)
{
    return pim_region_contains(block) && pim_raw_small_owns(pim_page_of(block));
}

uint64_t
raw_taken(void)
{
    pim_ledger ledger = pim_heap_ledger(&pim_raw_heap);
    return pim_ledger_usage(&ledger, RAW).live_blocks;
}

size_t
raw_kept(size_t size)
{
    size_t n = 0;
    const pim_raw_block *b = pim_raw_mine.cache->bin[pim_size_class(size)];
    for (; b->next != NULL; b = b->next) {
        n++;
    }
    return n;
}

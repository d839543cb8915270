// blocks.c -- see blocks.h.

#include "support/blocks.h"

#include <string.h>

#include "domain/domain.h"
#include "extent/extent.h"
#include "heap/audit.h"
#include "support/core.h"
#include "support/fake_os.h"

blocks_case the;

int
blocks_begin(void **state)
{
    (void)state;
    fake_os_stop_clock();
    the.id = core_next_id();
    fake_interp_begin(&the.interp, the.id);
    fake_interp_attach(&the.interp);
    the.heap = fake_current_heap();
    drop(grow(NULL, 0,
              PIM_EXTENT_GROWN_KEPT / 2)); // records and arenas are there
    the.mapped = pim_load_relaxed(&fake.mapped_bytes);
    return 0;
}

int
blocks_end(void **state)
{
    (void)state;
    pim_heap_audit(the.heap);
    trim_extents(true);
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), the.mapped);
    EXPECT_EQ(fake_figures(the.id).by_domain[MEM].live_blocks, 0);
    EXPECT_EQ(idle(), 0);
    fake_interp_detach(&the.interp);
    fake_interp_end(&the.interp);
    pim_store_relaxed(&fake.clock_stands, false);
    return 0;
}

char *
make(size_t size)
{
    char *p = pim_mem_malloc(NULL, size);
    EXPECT_NOT_NULL(p);
    memset(p, (int)(size >> 12), size);
    return p;
}

void
drop(void *block)
{
    pim_mem_free(NULL, block);
}

char *
grow(char *block, size_t from, size_t to)
{
    while (from < to) {
        size_t more = from + from / 8 + 16;
        more = more < to ? more : to;
        char first = block != NULL ? block[0] : 0;
        char last = block != NULL ? block[from - 1] : 0;
        block = pim_mem_realloc(NULL, block, more);
        EXPECT_NOT_NULL(block);
        EXPECT(from == 0 || (block[0] == first && block[from - 1] == last));
        memset(block + from, (int)(more >> 4), more - from);
        from = more;
    }
    return block;
}

size_t
idle(void)
{
    pim_extent_audit(&the.heap->idle_bytes);
    return pim_load_relaxed(&the.heap->idle_bytes);
}

void
trim_extents(bool all)
{
    IN_GATE(pim_extent_trim(all));
    pim_extent_audit(&the.heap->idle_bytes);
}

void
count_calls(void)
{
    the.calls = fake_os_calls(FAKE_MAP) + fake_os_calls(FAKE_REMAP);
}

uint64_t
calls_since(void)
{
    return fake_os_calls(FAKE_MAP) + fake_os_calls(FAKE_REMAP) - the.calls;
}

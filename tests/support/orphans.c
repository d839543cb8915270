// orphans.c -- see orphans.h.

#include "support/orphans.h"

#include <string.h>

#include "abandoned/retained.h"
#include "arena/region.h"
#include "domain/domain.h"
#include "extent/extent.h"
#include "heap/audit.h"
#include "heap/purge.h"
#include "support/expect.h"
#include "support/fake_os.h"

orphans leak;
uint64_t mapped;

void
begin_under(fake_interp *in, int policy)
{
    pim_store_relaxed(&pim_policy_of_new, policy);
    fake_interp_start(in);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
    if (in == &interp) {
        heap = fake_current_heap();
    }
}

int
orphans_begin(int policy)
{
    begin_under(&interp, policy);
    id = interp.state->id;
    mapped = pim_load_relaxed(&fake.mapped_bytes);
    process = fake_figures(PIM_PROCESS_ID);
    return 0;
}

int
orphans_end(void **state)
{
    (void)state;
    pim_store_relaxed(&pim_policy_of_new, PIM_KEEP);
    pim_heap_audit(&pim_process_heap);
    return 0;
}

char *
left(void *block, size_t size)
{
    EXPECT_NOT_NULL(block);
    return memset(block, 'x', size);
}

void
leave_orphans(void)
{
    leak.small = left(pim_obj_malloc(NULL, 48), 48);
    leak.large_small = left(pim_mem_malloc(NULL, 9000), 9000);
    leak.span = left(pim_mem_malloc(NULL, SPAN_BYTES), SPAN_BYTES);
    leak.map = left(pim_obj_malloc(NULL, HUGE), HUGE);
}

void
free_orphans(void)
{
    pim_obj_free(NULL, leak.small);
    pim_mem_free(NULL, leak.large_small);
    pim_mem_free(NULL, leak.span);
    pim_obj_free(NULL, leak.map);
}

void
trim_process(void)
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

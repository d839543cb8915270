// interp_case.c -- see interp_case.h.

#include "support/interp_case.h"

#include "domain/domain.h"
#include "heap/audit.h"
#include "support/core.h"

fake_interp interp;
int64_t id;
pim_heap *heap;
pim_figures process;

void
begin_interp(void)
{
    id = core_next_id();
    fake_interp_begin(&interp, id);
    fake_interp_attach(&interp);
    heap = fake_current_heap();
}

void
end_interp(void)
{
    pim_heap_audit(heap);
    fake_interp_stop(&interp);
}

int
interp_case_begin(void **state)
{
    (void)state;
    process = fake_figures(PIM_PROCESS_ID);
    begin_interp();
    return 0;
}

int
interp_case_begin_used(void **state)
{
    interp_case_begin(state);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
    return 0;
}

int
interp_case_end(void **state)
{
    (void)state;
    if (interp.state != NULL) {
        end_interp();
    }
    return 0;
}

// end_event.c -- see end_event.h.

#include "domain/end_event.h"

#include "domain/birth.h"
#include "domain/domain.h"
#include "interp/registry.h"
#include "platform/gate.h"

static void
end_interp_in(const void *block, size_t bytes)
{
    if (pim_load_relaxed(&pim_registry_subs) != 0 && !pim_gate_is_inside()) {
        pim_registry_end(block, bytes);
    }
}

void
pim_raw_watch_new(const void *block, size_t bytes)
{
    if (PIM_UNLIKELY(bytes >= PIM_RAW_WATCH_BYTES) && block != NULL) {
        pim_birth_note(block);
        end_interp_in(block, bytes);
    }
}

void
pim_raw_watch_freed(const void *block, size_t bytes)
{
    if (PIM_UNLIKELY(bytes >= PIM_RAW_WATCH_BYTES) && block != NULL) {
        pim_birth_freed(block);
        end_interp_in(block, bytes);
    }
}

// scarcity.c -- see scarcity.h.

#include "platform/scarcity.h"

#include "platform/os.h"

// How much is mapped between two looks: each takes as long as some page faults.
#define LOOK_BYTES ((size_t)8 << 20)

_Atomic int pim_scarcity_found;
static _Atomic size_t grown = LOOK_BYTES; // since the last look

void
pim_scarcity_look(void)
{
    pim_scarcity found = pim_os->has_room(PIM_LIMITED_BYTES) ? PIM_PLENTY
                         : pim_os->has_room(PIM_TIGHT_BYTES) ? PIM_LIMITED
                                                             : PIM_TIGHT;
    pim_store_relaxed(&pim_scarcity_found, (int)found);
}

void
pim_scarcity_grew(size_t bytes)
{
    if (pim_add_relaxed(&grown, bytes) + bytes >= LOOK_BYTES) {
        pim_store_relaxed(&grown, 0);
        pim_scarcity_look();
    }
}

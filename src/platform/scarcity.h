// scarcity.h -- how much address space the system would still grant.
//
// A limit of it may be there from the start, or be set by the program at any
// time: what is left is asked for now and then (pim_os->has_room).  What is
// kept for speed, or takes room ahead, is kept from others where there is
// little.

#ifndef PIM_PLATFORM_SCARCITY_H
#define PIM_PLATFORM_SCARCITY_H

#include "base/atomic.h"
#include "base/config.h"

typedef enum pim_scarcity {
    PIM_PLENTY,
    PIM_LIMITED, // less than PIM_LIMITED_BYTES: nothing is wasted
    PIM_TIGHT,   // less than PIM_TIGHT_BYTES: nothing is kept
} pim_scarcity;

// As it was found last.  Any thread.
extern _Atomic int pim_scarcity_found;

// So many bytes were mapped: looks anew when they, together, are worth it.
void pim_scarcity_grew(size_t bytes);

// Looks anew.
void pim_scarcity_look(void);

PIM_INLINE bool
pim_is_limited(void)
{
    return PIM_UNLIKELY(pim_load_relaxed(&pim_scarcity_found) != PIM_PLENTY);
}

PIM_INLINE bool
pim_is_tight(void)
{
    return PIM_UNLIKELY(pim_load_relaxed(&pim_scarcity_found) == PIM_TIGHT);
}

#endif // PIM_PLATFORM_SCARCITY_H

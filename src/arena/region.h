// region.h -- arenas handed out and taken back, and which addresses are theirs.

#ifndef PIM_ARENA_REGION_H
#define PIM_ARENA_REGION_H

#include "arena/space.h"

// Whether an address is arena space and has a descriptor.  Any thread, in a
// signal handler too.
PIM_INLINE bool
pim_region_contains(const void *p)
{
    return pim_region_main_contains(p) || pim_region_elsewhere_contains(p);
}

// Finds a place for arenas; the main stretch grows to `bytes` at most, further
// arenas lie elsewhere.  Once; later calls return 0.  0 or -ENOMEM: the system
// grants no place, or not one arena's address space.
int pim_region_init(size_t bytes);

// Gives the region up.  For tests: no arena may be in use.
void pim_region_fini(void);

// An arena with all units free, that is to be gained by a set; its memory is
// named `name`.  It may be retained, that is, have dirty units.  NULL: the
// system grants no more address space.  Inside the gate.
pim_arena *pim_region_take(const char *name);

// Gives an arena with all units free back.  Its memory and its address space go
// to the system, unless the region retains it (PIM_RETAINED_BYTES).  Inside the
// gate.
void pim_region_give(pim_arena *arena);

// Asks to retain `bytes` of idle memory in arenas that are not the region's.
// True: they are counted in PIM_RETAINED_BYTES until pim_region_uncharge().
// Inside the gate.
bool pim_region_charge(size_t bytes);
void pim_region_uncharge(size_t bytes);

// The same of an arena that keeps some.
void pim_region_uncharge_arena(pim_arena *arena);

// When to call pim_region_trim(), in now_ms(); 0: no arena is retained.
extern _Atomic uint64_t pim_region_retained_until;

// Gives the memory of the retained arenas back, too; returns bytes.  Inside the
// gate.
size_t pim_region_trim(void);

#endif // PIM_ARENA_REGION_H

// space.h -- which addresses arenas have, and the tables that describe them.
//
//   far below the system's maps                          the system's maps
//   | tables: arenas, pages, orphans | main stretch ->   ...  elsewhere |
//
// Nothing of this is reserved: each arena is mapped when it is needed, at a
// place where nobody else maps, and unmapped when it is not.  A *chunk* is so
// many neighbouring arenas that their part of each table is whole system pages;
// the three parts are mapped with the chunk's first arena and stay.
//
// Under the region's lock, all of it, unless a function says otherwise.

#ifndef PIM_ARENA_SPACE_H
#define PIM_ARENA_SPACE_H

#include "arena/arena.h"

// Finds a place for the tables and the main stretch, which grows to `bytes` at
// most, and returns its first arena, mapped.  NULL: the system grants none.
pim_arena *pim_space_init(size_t bytes);

// Gives everything up.  For tests: no arena is in use.
void pim_space_fini(void);

// A mapped arena that was in nobody's hands: the next of the main stretch, or
// where the system has room.  NULL: it has none.
pim_arena *pim_space_open(void);

// Maps an arena of the main stretch again.  0; -EEXIST: somebody else has a map
// there, so the arena is lost; -ENOMEM.
int pim_space_map(pim_arena *arena);

// Gives back an arena's memory, its descriptors', and its addresses;
// arena->mapped is true afterwards if the system refused to take those.
// Returns whether the arena can be had again.  Without the lock; nobody has the
// arena.
bool pim_space_unmap(pim_arena *arena);

// Whether an address lies in an arena that is not of the main stretch
// (space.c).
bool pim_region_elsewhere_contains(const void *p);

// All arenas that may be in use, in some order: first `before` NULL.  NULL:
// there is none left.  Those that no heap has are among them.  Any thread.
pim_arena *pim_region_after(const pim_arena *before);

// Address space that arenas and their tables take now.  Any thread.
size_t pim_region_bytes(void);

#endif // PIM_ARENA_SPACE_H

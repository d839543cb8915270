// extent.h -- the maps of large blocks, and what is kept of them for the next
// ones.
//
// What is kept counts in the figure of the heap that had it last, which each
// function is given.
//
// Inside the gate, all of it.  Any thread.

#ifndef PIM_EXTENT_EXTENT_H
#define PIM_EXTENT_EXTENT_H

#include "extent/extent_cache.h"

typedef enum pim_extent_kind {
    PIM_EXTENT_FIXED,   // as large as was asked for, or a little more
    PIM_EXTENT_SPARSE,  // the same, but the block may never use some of it
    PIM_EXTENT_GROWING, // with room to grow
    PIM_EXTENT_KEPT     // the same, but only if memory is kept
} pim_extent_kind;

// A map for a block that uses its first `bytes`, and if it does not grow, all
// that is dirty.  False: no memory.
bool pim_extent_take(_Atomic uint64_t *figure, size_t bytes,
                     pim_extent_kind kind, pim_extent *map);

// Takes the map of a freed block.  It is in the figure for as long as it is
// kept.  Changes *map.
void pim_extent_give(_Atomic uint64_t *figure, pim_extent *map);

// The block uses `bytes` from now on, more or less than before; its map may
// move.  False: it cannot, or is better copied; nothing changed.  Owner of the
// block.
bool pim_extent_resize(_Atomic uint64_t *figure, pim_extent *map, size_t bytes);

// Gives back what is kept: all of it, or what was idle from one tick to the
// next.  Returns bytes given back.
size_t pim_extent_trim(bool all);

// Gives back what is in the figure.
void pim_extent_drop(const _Atomic uint64_t *figure);

// So much memory is about to be faulted in elsewhere; what is kept makes way
// for it, so that no peak is higher than it would be if nothing were kept.
void pim_extent_make_way(size_t bytes);

// Checks all cached extents, and the figure.
void pim_extent_audit(_Atomic uint64_t *figure);

// When to call pim_extent_trim(), in now_ms(); 0: nothing is kept.
extern _Atomic uint64_t pim_extent_until;

#endif // PIM_EXTENT_EXTENT_H

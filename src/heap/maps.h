// maps.h -- the maps of large blocks, and what is kept of them for the next ones.
//
// Inside the gate, all of it.  Any thread.

#ifndef PIM_HEAP_MAPS_H
#define PIM_HEAP_MAPS_H

#include "heap/heap.h"

// A map, or a part of one.  Its first `dirty` bytes may have been written to; the
// rest was not and reads as zero.  A live block's are what it uses.
typedef struct pim_map {
    char *start;
    size_t bytes;
    size_t dirty;
    uint64_t origin; // the same in all parts of what was mapped at once
    bool huge;       // huge pages were asked for, in all of that
} pim_map;

typedef enum pim_map_kind {
    PIM_MAP_FIXED,   // as large as was asked for, or a little more
    PIM_MAP_SPARSE,  // the same, but the block may never use some of it
    PIM_MAP_GROWING, // with room to grow
    PIM_MAP_KEPT     // the same, but only if memory is kept
} pim_map_kind;

// A map for a block that uses its first `bytes`, and if it does not grow, all
// that is dirty.  False: no memory.
bool pim_maps_take(pim_heap *heap, size_t bytes, pim_map_kind kind,
                   pim_map *map);

// Takes the map of a freed block.  It is in the figures of `heap` for as long as
// it is kept.  Changes *map.
void pim_maps_give(pim_heap *heap, pim_map *map);

// The block uses `bytes` from now on, more or less than before; its map may move.
// False: it cannot, or is better copied; nothing changed.  Owner of the block.
bool pim_maps_resize(pim_heap *heap, pim_map *map, size_t bytes);

// Gives back what is kept: all of it, or what was idle from one tick to the next.
// Returns bytes given back.
size_t pim_maps_trim(bool all);

// Gives back what is in the figures of `heap`.
void pim_maps_drop(const pim_heap *heap);

// So much memory, whole system pages, is about to be faulted in elsewhere; what is kept makes way for
// it, so that no peak is higher than it would be if nothing were kept.
void pim_maps_make_way(size_t bytes);

// Checks all pieces, and the figure of `heap`.
void pim_maps_audit(pim_heap *heap);

// When to call pim_maps_trim(), in now_ms(); 0: nothing is kept.
extern _Atomic uint64_t pim_maps_until;

#endif // PIM_HEAP_MAPS_H

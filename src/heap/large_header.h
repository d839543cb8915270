// large_header.h -- what is known of a block outside the arenas.
//
//   | header | block ...            |   room to grow          |
//            ^ what the user has    ^ usable                  ^ map_bytes
//
// The header lies in front of the block.  Its last word, the cookie, is the
// first to be read, so that of a pointer that is not ours no more than the word
// in front of it is touched, and only if that is mapped.
//
// A header names its heap and the heap's serial.  A record whose serial differs
// was retired since: the block is then an account of the process heap.  Raw
// blocks of callers without an interpreter have no heap; raw.c counts them.
//
// Live blocks that have a heap are in a ring of it.  Whoever frees a block
// takes it out; one that an ended interpreter left, under the process heap's
// lock.
//
// Invariant:
//   LARGE-1  a ring holds the live blocks that its heap answers for.  Under
//            ring_lock, the last to be taken of all locks but the gate's; a
//            block that its owner resizes is in none meanwhile.

#ifndef PIM_HEAP_LARGE_HEADER_H
#define PIM_HEAP_LARGE_HEADER_H

#include "extent/extent.h"
#include "heap/heap.h"

typedef enum pim_large_kind { PIM_LARGE_MI, PIM_LARGE_MAP } pim_large_kind;

// Programs that go through memory page by page evict the lines at the
// beginnings of pages, so what is read with every free is not in the header's
// first line.
typedef struct pim_large {
    pim_link link; // ring_lock
    uint64_t unused[PIM_CACHE_LINE / sizeof(uint64_t) - 2];
    pim_heap *heap;   // NULL: no heap accounts for it
    uint64_t serial;  // of the heap when the block was allocated
    size_t usable;    // bytes
    size_t map_bytes; // of a map, as what follows; see extent.h
    uint64_t origin;
    bool huge;
    bool is_small; // see pim_small_extents
    uint8_t kind;
    uint8_t domain;
    uint64_t mark; // of a sample; 0: it is none (sampled.h)
    uint64_t cookie;
} pim_large;

_Static_assert(sizeof(pim_large) == 2 * PIM_CACHE_LINE, "keeps blocks aligned");

#define PIM_LARGE_HEADER sizeof(pim_large)

// Live maps of blocks that were too small for one when they got it.  Each may
// be one of the maps that the system lets a process have (vm.max_map_count):
// enough for those that are going to be large, and too few to be missed if none
// is.
#define PIM_SMALL_EXTENTS_MAX 16
extern _Atomic uint64_t pim_small_extents;

PIM_INLINE uint64_t
pim_large_cookie(const void *block)
{
    return UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(uintptr_t)block;
}

PIM_INLINE void *
pim_large_block(pim_large *large)
{
    return large + 1;
}

// The header of a block, or NULL if the block is not ours.
pim_large *pim_large_header(const void *block);

// The block is not one of pim_small_extents any more.
void pim_large_settle_small(pim_large *large);

// The header of a block that lies in the map, or has moved there, with what of
// it the map tells; and that map again.
pim_large *pim_large_set_extent(const pim_extent *map);
pim_extent pim_large_extent(pim_large *large);

bool pim_large_is_owner(const pim_heap *heap, const pim_large *large);

void pim_large_ring_add(pim_heap *heap, pim_large *large);
void pim_large_ring_remove(pim_large *large);

// Whether it is a block of pim_large_alloc_unowned().
bool pim_large_is_unowned(const void *block);

// Usable bytes of a block outside the region; 0 if it is not ours.
size_t pim_large_usable(const void *block);

// The heap's id that a block outside the region belongs to, PIM_PROCESS_ID if
// that heap is retired.  False: it is not ours.  Inside the gate.
bool pim_large_owner(const void *block, int64_t *id);

// Gives back the addresses behind blocks that have room to grow.  False: there
// were none.  Owner, inside the gate.
bool pim_large_cut_rooms(pim_heap *heap);

// The one heap's large blocks are the other's to answer for.  Inside the gate.
void pim_large_hand_over(pim_heap *from, pim_heap *to);

// Calls visit() with the start, usable bytes and domain of each large block
// that the heap answers for, until it returns other than 0; returns that.
// Nobody frees a large block meanwhile: visit() runs under their lock.  Inside
// the gate.
typedef int (*pim_large_visitor)(void *arg, void *block, size_t bytes,
                                 unsigned domain);
int pim_large_each(pim_heap *heap, pim_large_visitor visit, void *arg);

#endif // PIM_HEAP_LARGE_HEADER_H

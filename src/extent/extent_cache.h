// extent_cache.h -- what is kept of the maps of freed blocks; see extent.c.
//
// To fault a page in costs as much as to write it ten times over, so the memory
// of a freed block is kept for a while as a *cached extent*, for the next block
// or as room for one that grows:
//
//   | live block | cached extent: dirty ............... | clean ......... |
//                ^ it grows to the right, step by step, as it needs
//
// All of this under the lock of extent.c.
//
// Invariants:
//   EXTENT-1  recent <= dirty <= bytes and dirty != 0, in each cached extent.
//   EXTENT-2  neighbours of one origin are one cached extent.  Parts of one
//             origin are one
//           map for the system, or mremap() would not take them; so advice is
//           given for whole origins, and cached extents of different ones do not join.

#ifndef PIM_EXTENT_EXTENT_CACHE_H
#define PIM_EXTENT_EXTENT_CACHE_H

#include "base/atomic.h"
#include "base/config.h"

// A map, or a part of one.  Its first `dirty` bytes may have been written to;
// the rest was not and reads as zero.  A live block's are what it uses.
typedef struct pim_extent {
    char *start;
    size_t bytes;
    size_t dirty;
    uint64_t origin; // the same in all parts of what was mapped at once
    bool huge;       // huge pages were asked for, in all of that
} pim_extent;

#define PIM_CACHED_EXTENTS 32

typedef struct pim_cached_extent {
    pim_extent map;
    size_t recent;  // from the start; used by a block since the last tick
    uint64_t stamp; // higher: kept later
    _Atomic uint64_t *figure; // in whose figures it is
    size_t front; // of the block in front that grows into it; 0: none does
} pim_cached_extent;

// Dirty bytes of all cached extents.  Read by any thread.
extern _Atomic size_t pim_extent_cache_idle;

// All cached extents, one after the other: first `before` NULL.  NULL: there is
// none left.  The one that was returned last may be forgotten before the next
// call.
pim_cached_extent *pim_extent_cache_after(const pim_cached_extent *before);

// Whether there is no place for another one.
bool pim_extent_cache_is_full(void);

// There is a place for it.
pim_cached_extent *pim_extent_cache_add(_Atomic uint64_t *figure,
                                        const pim_extent *map, size_t recent);

void pim_extent_cache_forget(pim_cached_extent *p);

// It is in the figure from now on.
void pim_extent_cache_assign(pim_cached_extent *p, _Atomic uint64_t *figure);

// Cuts the end off a cached extent, from an offset within what is dirty.
pim_extent pim_extent_cache_cut_end(pim_cached_extent *p, size_t from);

// Cuts `bytes` off the beginning.  What is left, if it is clean, comes along.
pim_extent pim_extent_cache_cut_front(pim_cached_extent *p, size_t bytes);

// The cached extent that begins, or ends, at an address.  NULL: there is none.
pim_cached_extent *pim_extent_cache_at(const char *start, uint64_t origin);
pim_cached_extent *pim_extent_cache_up_to(const char *end, uint64_t origin);

// The cached extent that was not used for longest.  NULL: there is none.
pim_cached_extent *pim_extent_cache_stalest(void);

// A cached extent for a block of `bytes` that does not grow.
pim_cached_extent *pim_extent_cache_for_fixed(size_t bytes);

// A cached extent with room for several times `bytes`.  If a block grows into
// it already, a much smaller one gets out of the way, which costs it a copy; of
// a larger one's room a growing block gets the second half, if it `may_split`.
pim_cached_extent *pim_extent_cache_for_growing(size_t bytes, bool may_split);

#endif // PIM_EXTENT_EXTENT_CACHE_H

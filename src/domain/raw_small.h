// raw_small.h -- the raw domain's small blocks of callers that own no heap: one
// that all threads share, and in front of it what each thread keeps for its
// next requests.
//
//   thread's cache   bin[class] -> block -> ... -> bottom    no lock, no gate
//                     ^ half a bin        | half a bin
//                     | when empty        v when full
//   raw heap          pages of the region                    lock, in the gate
//
// Any thread frees any block; it then lies in that thread's cache.  Its size,
// and that it is raw's, is known from its page.  A cached block is free: it is
// in the raw heap's account and not in that of the raw domain (raw_count.h).
//
// Invariants:
//   RAW-1  a cache is written by its thread only.  It stays with the thread's
//          record of the gate; once the thread has ended it is empty.
//   RAW-2  a bin is a list of free blocks of one class, and each says how many
//          more go on top of it, at every moment, also between two stores of
//          the fast path.  So in a forked child the next thread that gets the
//          record of one that is gone goes on with its cache.
//   RAW-3  the raw heap reclaims no arena, so its pages hold no orphans and
//          their descriptors' owner word is the heap itself.

#ifndef PIM_DOMAIN_RAW_SMALL_H
#define PIM_DOMAIN_RAW_SMALL_H

#include "domain/raw_count.h"
#include "heap/heap.h"

// What the raw heap serves: up to a system page and a header on top.
#define PIM_RAW_CLASSES (PIM_TINY_CLASSES + 24)
#define PIM_RAW_SMALL_MAX ((size_t)4096 + PIM_CLASS_HEADER)

// A free block in a bin.  The last one is the bottom, which is no block: all
// caches share it, and its `next` is NULL.
typedef struct pim_raw_block {
    struct pim_raw_block *next;
    size_t room; // how many more blocks go on top of it
} pim_raw_block;

typedef struct pim_raw_cache {
    pim_raw_block *bin[PIM_RAW_CLASSES]; // last freed first
} PIM_CACHE_ALIGNED pim_raw_cache;

// What the fast path needs of the calling thread; NULL until it has a cache.
typedef struct pim_raw_self {
    pim_raw_cache *cache;
    pim_tally *tally;
} pim_raw_self;

extern PIM_TLS pim_raw_self pim_raw_mine;
extern pim_heap pim_raw_heap;

// The owner word of pages whose blocks are freed without a look at anything
// else; PIM_OWNER_NOBODY: hooks see those frees.
extern _Atomic uintptr_t pim_raw_fast_owner;

// Opens the raw heap, once.
void pim_raw_small_start(void);

// Whether frees take the shortest way (pim_raw_fast_owner).  Any thread.
void pim_raw_small_expose(bool fast);

// Takes a block of a class whose bin is empty; NULL: no memory.
void *pim_raw_small_alloc(unsigned size_class);

// Frees a block of the region for which there is no room; ends the process if
// it is not raw's.
void pim_raw_small_free(pim_page *page, void *block);

// Gives back what the calling thread keeps, and memory of empty pages.  Returns
// bytes.  Inside the gate.
size_t pim_raw_small_trim(void);

// Returns what was idle for a tick.  Inside the gate.
void pim_raw_small_tick(void);

// See pim_heap_freeze().  Inside the gate.
void pim_raw_small_freeze(void);

// Checks the raw heap, and RAW-2 of all caches; returns how many blocks they
// hold.  No other thread is in a raw function.
size_t pim_raw_small_audit(void);

// Whether a block of the page goes to the calling thread's cache at once.
PIM_INLINE bool
pim_raw_small_is_fast(const pim_page *page)
{
    return pim_load_relaxed(&page->owner) ==
           pim_load_relaxed(&pim_raw_fast_owner);
}

// Whether this page of the region is the raw heap's.
PIM_INLINE bool
pim_raw_small_owns(const pim_page *page)
{
    return pim_load_relaxed(&page->owner) ==
           pim_owner_word(&pim_raw_heap, PIM_RAW);
}

// A block of the class from the calling thread's cache, or NULL.
PIM_INLINE void *
pim_raw_cache_pop(size_t size_class, size_t block_size)
{
    pim_raw_cache *cache = pim_raw_mine.cache;
    if (PIM_UNLIKELY(cache == NULL)) {
        return NULL;
    }
    pim_raw_block *block = cache->bin[size_class];
    pim_raw_block *next = block->next;
    if (PIM_UNLIKELY(next == NULL)) {
        return NULL;
    }
    cache->bin[size_class] = next;
    pim_tally_grow(pim_raw_mine.tally, block_size);
    return block;
}

// Puts a block into the calling thread's cache.  False: there is no room.
PIM_INLINE bool
pim_raw_cache_push(const pim_page *page, void *p)
{
    pim_raw_cache *cache = pim_raw_mine.cache;
    if (PIM_UNLIKELY(cache == NULL)) {
        return false;
    }
    pim_raw_block **bin = &cache->bin[page->size_class];
    pim_raw_block *block = p;
    pim_raw_block *below = *bin;
    size_t room = below->room;
    if (PIM_UNLIKELY(room == 0)) {
        return false;
    }
    PIM_CHECK(below != block, "a raw block was freed twice", block);
    block->next = below;
    block->room = room - 1;
    atomic_signal_fence(memory_order_release); // RAW-2
    *bin = block;
    pim_tally_shrink(pim_raw_mine.tally, page->block_size);
    return true;
}

#endif // PIM_DOMAIN_RAW_SMALL_H

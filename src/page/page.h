// page.h -- a page: a span carved into equal blocks, described out of line.
//
// The descriptor fills one cache line and lies in a dense table far from the
// blocks: no overflow reaches it, page-aligned headers do not fight for the
// same cache sets, and a forked child that only reads objects copies no blocks.

#ifndef PIM_PAGE_PAGE_H
#define PIM_PAGE_PAGE_H

#include "base/atomic.h"
#include "page/size_class.h"

struct pim_heap;

// A free block; a live one is all the user's.
typedef struct pim_block {
    struct pim_block *next;
} pim_block;

typedef enum pim_page_state {
    PIM_PAGE_UNUSED = 0, // not a page, or not its first unit
    PIM_PAGE_CURRENT,    // the heap allocates its class from it
    PIM_PAGE_PARTIAL,    // in the heap's list of pages with free blocks
    PIM_PAGE_FULL,       // in no list; comes back after a few frees
    PIM_PAGE_ABANDONED,  // its heap is gone; nobody allocates from it
    PIM_PAGE_IDLE,       // a span without a live block that the heap keeps
    PIM_PAGE_FROZEN,     // nobody allocates from it until it is empty
    PIM_PAGE_CONDEMNED,  // its interpreter ended, its memory is about to go
    PIM_PAGE_POISONED,   // ... is gone, and its addresses are inaccessible
} pim_page_state;

// A page's owner is a word: its heap's address and, in the low bits that the
// alignment of heaps leaves free, what else the fast path of free must know.
// So one compare proves heap, domain and that the page holds no orphans.
#define PIM_OWNER_ORPHANS ((uintptr_t)1) // see pim_page_owner()
#define PIM_OWNER_OBJ ((uintptr_t)2)     // serves obj, not mem
#define PIM_OWNER_RAW ((uintptr_t)4)     // serves raw, not mem
// A word that no page has.
#define PIM_OWNER_NOBODY PIM_OWNER_ORPHANS
#define PIM_OWNER_BITS (PIM_OWNER_ORPHANS | PIM_OWNER_OBJ | PIM_OWNER_RAW)

// A `rest` that no page reaches: more than any page's capacity, so that a
// countdown to it does not pass zero.
#define PIM_REST_NEVER 0x8000

// "Owner" is the thread that may change the heap: the holder of the GIL of the
// heap's interpreter, or of the process heap's lock.
typedef struct pim_page {
    pim_block *free;             // owner: free blocks, last freed first
    _Atomic(pim_block *) remote; // any thread: blocks freed by non-owners
    _Atomic uintptr_t owner;     // owner writes, any thread reads; 0 in the
                                 // units after a page's first
    struct pim_page *next;       // owner: neighbours in the partial list, or
                                 // the next idle unit
    union {
        struct pim_page *prev;
        size_t asked;  // a live span, which is in no list: bytes asked for
        int64_t ended; // condemned, poisoned: the interpreter that it was of
    };
    struct pim_page *remote_next; // who made `remote` non-empty; see remote.c
    uint32_t block_size;          // bytes; set when the page is opened
    uint16_t countdown;           // owner: frees left until the heap must act
    uint16_t rest;     // owner: blocks still used then; see pim_page_used()
    uint16_t carved;   // owner: blocks carved so far, from the start on
    uint16_t capacity; // blocks that fit; set when the page is opened
    uint8_t size_class;
    uint8_t domain; // enum pim_domain
    uint8_t state;  // owner: pim_page_state
    uint8_t
        offset_units; // units back to the page's first unit; its descriptor rules
} PIM_CACHE_ALIGNED pim_page;

_Static_assert(sizeof(pim_page) == PIM_CACHE_LINE,
               "a descriptor is one cache line");

// Makes an unused descriptor, or that of an idle unit, one of an empty page.
void pim_page_open(pim_page *page, struct pim_heap *heap, unsigned domain,
                   unsigned size_class);

// Makes an unused descriptor one of a span whose only block is live and was
// asked for with `size` bytes.
void pim_page_open_span(pim_page *page, struct pim_heap *heap, unsigned domain,
                        unsigned units, size_t size);

PIM_INLINE unsigned
pim_page_units(const pim_page *page)
{
    return page->size_class == PIM_CLASS_SPAN
               ? page->block_size >> PIM_UNIT_SHIFT
               : pim_classes[page->size_class].units;
}

// A set of blocks of one page is an array of these words, with a bit for each
// granule where a block of any class could begin: its offset in the page by
// PIM_ALIGNMENT.  So a look-up needs no division.
typedef _Atomic uint64_t pim_block_set;

#define PIM_SET_BITS 64
#define PIM_SET_WORDS (PIM_UNIT_SIZE / PIM_ALIGNMENT / PIM_SET_BITS) // a unit
#define PIM_SET_BYTES (PIM_SET_WORDS * sizeof(pim_block_set))

PIM_INLINE size_t
pim_block_granule(const char *start, const void *block)
{
    return (size_t)((const char *)block - start) / PIM_ALIGNMENT;
}

PIM_INLINE bool
pim_block_set_has(const pim_block_set *set, size_t granule)
{
    return (pim_load_relaxed(&set[granule / PIM_SET_BITS]) >>
                granule % PIM_SET_BITS &
            1) != 0;
}

// Changes one bit; owner of the page.
PIM_INLINE void
pim_block_set_add(pim_block_set *set, size_t granule)
{
    pim_block_set *word = &set[granule / PIM_SET_BITS];
    pim_store_relaxed(word, pim_load_relaxed(word) |
                                (uint64_t)1 << granule % PIM_SET_BITS);
}

PIM_INLINE void
pim_block_set_remove(pim_block_set *set, size_t granule)
{
    pim_block_set *word = &set[granule / PIM_SET_BITS];
    pim_store_relaxed(word, pim_load_relaxed(word) &
                                ~((uint64_t)1 << granule % PIM_SET_BITS));
}

// How many of the page's blocks are carved and not on `free`.  Owner.
PIM_INLINE unsigned
pim_page_used(const pim_page *page)
{
    return (uint16_t)(page->countdown + page->rest);
}

// The heap must act when no more than `rest` blocks are used, or never.  Owner.
PIM_INLINE void
pim_page_count_down_to(pim_page *page, unsigned rest)
{
    page->countdown = (uint16_t)(pim_page_used(page) - rest);
    page->rest = (uint16_t)rest;
}

// The owner word of a page of a domain without orphans.
PIM_INLINE uintptr_t
pim_owner_word(const struct pim_heap *heap, unsigned domain)
{
    return (uintptr_t)heap + (domain == PIM_OBJ   ? PIM_OWNER_OBJ
                              : domain == PIM_RAW ? PIM_OWNER_RAW
                                                  : 0);
}

// Orphans: live blocks of ended interpreters in a page that another heap has
// since reclaimed.  Such a page's owner word says so, so that the fast path of
// free does not take it, and `orphans` below is the set of its orphans; NULL
// for every other page.
PIM_INLINE struct pim_heap *
pim_page_owner(const pim_page *page, bool *holds_orphans)
{
    uintptr_t owner = pim_load_acquire(&page->owner);
    *holds_orphans = (owner & PIM_OWNER_ORPHANS) != 0;
    return (struct pim_heap *)(owner & ~PIM_OWNER_BITS);
}

// Gives the page, whose domain is set, to a heap.
PIM_INLINE void
pim_page_set_owner(pim_page *page, const struct pim_heap *heap,
                   bool holds_orphans)
{
    pim_store_release(&page->owner,
                      pim_owner_word(heap, page->domain) |
                          (holds_orphans ? PIM_OWNER_ORPHANS : 0));
}

// Carves the next few blocks of a page whose memory begins at `start` and puts
// them on `free`.  Returns how many; 0 if all are carved.  Owner.
unsigned pim_page_carve(pim_page *page, char *start,
                        const pim_block_set *orphans);

// Links the free blocks in the order of their addresses: what is allocated one
// after the other then lies so in memory.  Owner.
void pim_page_sort(pim_page *page, char *start);

// Forgets the free blocks of a page without a live one: they are carved anew.
// Owner.
PIM_INLINE void
pim_page_start_over(pim_page *page)
{
    page->free = NULL;
    page->carved = 0;
}

// Pushes a block that a non-owner frees.  Returns whether it is the first since
// the owner last collected, so that the owner must be told.
bool pim_page_push_remote(pim_page *page, pim_block *block);

// Moves what non-owners freed to `free` and returns how many blocks.  Owner.
unsigned pim_page_collect(pim_page *page, char *start, pim_block_set *orphans);

// Takes a block back without telling any account.  Owner.
void pim_page_give(pim_page *page, char *start, pim_block_set *orphans,
                   pim_block *block);

// Seals a page: from here on *orphans says which blocks are live and there is
// no free list, so that the memory between them may go.  Owner.
void pim_page_abandon(pim_page *page, const char *start, bool holds_orphans,
                      pim_block_set *orphans);

// A set as above that one thread fills for itself.
#define PIM_LIVE_WORDS (PIM_CLASS_UNITS_MAX * PIM_SET_WORDS)
typedef struct pim_live_set {
    uint64_t word[PIM_LIVE_WORDS];
} pim_live_set;

// The first granule of a set at `granule` or behind it; `end` if there is none.
size_t pim_live_set_next(const pim_live_set *set, size_t granule, size_t end);

// One more than the granule of the last block of a page.
PIM_INLINE size_t
pim_page_granules(const pim_page *page)
{
    return (page->capacity - 1u) * (page->block_size / PIM_ALIGNMENT) + 1;
}

// Tells which blocks are live in a page, as its owner sees it: with `orphans`,
// of a page that holds orphans, without those.  What non-owners free meanwhile
// may be among them.  Owner.
void pim_page_live(const pim_page *page, const char *start,
                   const pim_block_set *orphans, pim_live_set *live);

// Tells which orphans are live in a page that holds some or is abandoned.
// Nobody collects what non-owners freed of it meanwhile.
void pim_page_live_orphans(const pim_page *page, const char *start,
                           const pim_block_set *orphans, pim_live_set *live);

// Checks the invariants of page.c.  Owner; no remote free at the same time.
void pim_page_audit(const pim_page *page, const char *start,
                    const pim_block_set *orphans);

#endif // PIM_PAGE_PAGE_H

// records.h -- the words that lie beside the blocks of pages: where they are,
// and when they come and go.
//
//   address -> leaf of 1 GiB -> its unit's entry -> records -> word of the block
//
// What a word says is side.c's.
//
// Invariant:
//   SIDE-2  who looks at a page's records has a live block of it, or the lock;
//           they go under the lock, while no block of their size lives there.

#ifndef PIM_HOOKS_RECORDS_H
#define PIM_HOOKS_RECORDS_H

#include "arena/region.h"
#include "heap/heap.h"

// Of one page.
typedef struct pim_records {
    uint32_t block_size;
    uint16_t capacity;
    uint8_t domain;         // enum pim_domain
    _Atomic int64_t interp; // whose page it is, or was last
    _Atomic uint64_t word[];
} pim_records;

// Before all others.  all: what is of no interpreter is traced, too.  False: no
// memory.
bool pim_records_start(bool all);

// The page of a block that has records beside it; NULL: it lies elsewhere.
PIM_INLINE pim_page *
pim_records_page(const void *block)
{
    pim_page *page = pim_region_contains(block) ? pim_page_of(block) : NULL;
    return page == NULL || page->size_class == PIM_CLASS_SPAN ? NULL : page;
}

// Whether a block of the page is one that an ended interpreter left.
PIM_INLINE bool
pim_records_is_orphan(const pim_page *page, const void *block)
{
    bool tagged;
    const pim_heap *heap = pim_page_owner(page, &tagged);
    return heap == &pim_defunct_heap ||
           (PIM_UNLIKELY(tagged) &&
            pim_block_set_has(pim_page_orphans(page),
                              pim_block_granule(pim_page_start(page), block)));
}

// The word of a live block, or of what lies in it; NULL: its page has no
// records, or they are not that interpreter's.
_Atomic uint64_t *pim_records_word(const pim_page *page, const void *block,
                                   int64_t interp);

// The same, and makes them, or takes them over from another.  NULL: no memory.
_Atomic uint64_t *pim_records_make(const pim_page *page, const void *block,
                                   int64_t interp);

void pim_records_lock(void);
void pim_records_unlock(void);

// The records of a page, and the index of a block; NULL: it has none.  Under the
// lock.
const pim_records *pim_records_find(const pim_page *page, const void *block,
                                    size_t *index);

// Whose a block is, of the page that begins at `start`.  Under the lock.
int64_t pim_records_interp(const pim_records *r, const char *start,
                           const void *block);

// Calls visit() with the records of each page, whose memory begins at `start`,
// until it returns other than 0; returns that.  visit() runs under the lock, which
// is given up in between, for a walk may last; nobody drops all meanwhile.
typedef int (*pim_records_visitor)(void *arg, const char *start,
                                   const pim_records *r);
int pim_records_each(pim_records_visitor visit, void *arg);

// Those of an interpreter, or of all, become the process's.
void pim_records_leave(int64_t interp, bool zeroes);

// Drops those of pages without a live block: of `heap`, which is the caller's or
// NULL, of the process heap, and where interpreters have ended.
void pim_records_sweep(const pim_heap *heap);

// Gives up all memory.  Nobody is in any function of this file.
void pim_records_drop(void);

uint64_t pim_records_bytes(void);

#endif // PIM_HOOKS_RECORDS_H

// poison.h -- pages whose blocks nobody may use any more: the policies `poison` and
// `release` (retire.c).
//
// All under the process heap's lock unless they say otherwise.

#ifndef PIM_HEAP_POISON_H
#define PIM_HEAP_POISON_H

#include "heap/maps.h"

// The values of enum pimalloc_policy; 0 is like PIM_KEEP.
enum pim_policy { PIM_KEEP = 1, PIM_POISON = 2, PIM_RELEASE = 3 };

// The owner of doomed and poisoned pages: a heap that nobody has.
extern pim_heap pim_void_heap;

// The policy of heaps to come.
extern _Atomic int pim_policy_of_new;

// What was done so far, in the whole process.  Any thread reads.
typedef struct pim_poison_figures {
    _Atomic uint64_t released_blocks;
    _Atomic uint64_t released_bytes;
    _Atomic uint64_t poisoned_blocks; // now
    _Atomic uint64_t poisoned_bytes;
    _Atomic uint64_t late_frees;
} pim_poison_figures;

extern pim_poison_figures pim_poisoned;

PIM_INLINE bool
pim_heap_keeps(const pim_heap *heap)
{
    return pim_load_relaxed(&heap->policy) <= PIM_KEEP;
}

// A page of a heap that is being retired, with live blocks, all of them its own:
// a free that looks from now on does not find the heap.
void pim_doom_page(pim_heap *heap, pim_page *page);

// Takes what was pushed onto a doomed page by those who still found the heap.
void pim_doom_collect(pim_heap *heap, pim_page *page);

// Nobody pushes any more: the memory of the heap's doomed pages goes.
void pim_doom_finish(pim_heap *heap);

// Frees a block of a doomed or poisoned page: touches no memory of the page.
void pim_poison_free(pim_page *page, void *block);

// A block that nobody may use, as the handler of faults tells of it.
typedef struct pim_poisoned_block {
    const char *start;
    size_t bytes;
    int64_t ended; // the interpreter that left it
    unsigned domain;
    bool live; // it was when that ended; else it was free
} pim_poisoned_block;

// The map of a large block of a heap that is being retired is to become inaccessible:
// it does by pim_poison_maps_finish(), after a further grace period.  False: there
// are too many.
bool pim_poison_map(const pim_heap *heap, const pim_map *map,
                    const pim_poisoned_block *about);
void pim_poison_maps_finish(const pim_heap *heap);

// Frees such a block.  False: it is none.
bool pim_poison_free_map(void *block);

// Finds whose map an address is in.  Any thread, in a signal handler too.
bool pim_poison_find_map(const void *address, pim_poisoned_block *about);

// How many such maps there are.
extern _Atomic uint64_t pim_poisoned_maps;

// Of which interpreter's block an address of a poisoned page is, and who asks, in
// words; for pim_fault_watch().  Any thread, in a signal handler too.
size_t pim_poison_describe(const void *address, char *text, size_t capacity);

#endif // PIM_HEAP_POISON_H

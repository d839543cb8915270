// page_list.h -- the pages of a heap by class.
//
// Owner, inside the gate unless a function says otherwise.

#ifndef PIM_HEAP_PAGE_LIST_H
#define PIM_HEAP_PAGE_LIST_H

#include "heap/heap.h"

void pim_heap_insert_partial(pim_heap *heap, pim_page *page);

// Takes a page from its list to allocate from it.
void pim_page_list_take(pim_heap *heap, pim_page *page);

// Keeps a page of one unit without a live block, which is in no list, for any
// class.  It has no owner meanwhile, so that a second free is found.
void pim_page_list_set_idle(pim_heap *heap, pim_page *page);

// Such a unit, to be opened anew; NULL: there is none.
pim_page *pim_page_list_take_idle(pim_heap *heap);

// Gives units at the end of a span back to its arena.  Does not purge.
void pim_heap_free_units(pim_heap *heap, pim_page *first, unsigned units);

// The same of an empty page.
void pim_heap_release_page(pim_heap *heap, pim_page *page);

// The page gained free blocks: it goes to the partial list, or away if empty.
void pim_heap_page_gained(pim_heap *heap, pim_page *page);

// The page is the one to allocate its class from.
void pim_page_list_make_current(pim_heap *heap, unsigned domain_index,
                                unsigned size_class, pim_page *page);

// Takes leave of an exhausted current page.
void pim_page_list_retire_current(pim_heap *heap, unsigned domain_index,
                                  unsigned size_class);

// Carves the next blocks of a page.  Returns how many.
unsigned pim_page_list_carve(pim_heap *heap, pim_page *page);

// An empty page is in a partial list.
void pim_page_list_count_empty(pim_heap *heap, const pim_page *page);

// Puts a page that was current where it belongs.
void pim_page_list_shelve(pim_heap *heap, pim_page *page);

// Takes all current pages away, so that each request comes to the slow path.
void pim_heap_shelve_current(pim_heap *heap);

#endif // PIM_HEAP_PAGE_LIST_H

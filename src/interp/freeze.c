// freeze.c -- a heap before its process forks: pages with free blocks go out of
// use.
//
//   before: | used | free | used | free |   a child's next object lands here, and the
//                                           whole system page is copied for it
//   after:  the same page is FROZEN         a child's next objects lie side by side
//                                           in pages that nobody shares
//
// A page comes back when its last block was freed.

#include "interp/freeze.h"

#include "heap/purge.h"
#include "heap/remote.h"

static void
freeze_page(pim_page *page)
{
    page->state = PIM_PAGE_FROZEN;
    page->next = NULL;
    page->prev = NULL;
    pim_page_count_down_to(page, 0);
}

void
pim_heap_freeze(pim_heap *heap)
{
    pim_heap_drain(heap);
    pim_heap_purge(heap, true);
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            pim_page *next;
            for (pim_page *p = heap->partial[domain_index][c]; p != NULL;
                 p = next) {
                next = p->next;
                freeze_page(p);
            }
            heap->partial[domain_index][c] = NULL;
            if (heap->current[domain_index][c] != &pim_empty_page) {
                freeze_page(heap->current[domain_index][c]);
                heap->current[domain_index][c] = &pim_empty_page;
            }
        }
    }
}

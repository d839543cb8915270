// idle.c -- what a heap keeps though it holds no live block: empty pages of its
// classes and freed spans.

#include "heap/idle.h"

#include "heap/page_list.h"

static void
release_empty_of(pim_heap *heap, pim_page *list)
{
    pim_page *next;
    for (pim_page *p = list; p != NULL; p = next) {
        next = p->next;
        if (pim_page_used(p) == 0) {
            pim_page_list_take(heap, p);
            pim_heap_release_page(heap, p);
        }
    }
}

void
pim_heap_release_empty(pim_heap *heap)
{
    pim_page *page;
    while ((page = pim_page_list_take_idle(heap)) != NULL) {
        pim_heap_release_page(heap, page);
    }
    for (unsigned domain_index = 0;
         domain_index < PIM_DOMAINS && heap->idle.empty_units != 0;
         domain_index++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            if (heap->idle.may_have_empty[domain_index][c]) {
                heap->idle.may_have_empty[domain_index][c] = false;
                release_empty_of(heap, heap->partial[domain_index][c]);
            }
        }
    }
}

static void
release_spans(pim_heap *heap)
{
    for (unsigned units = 0; units <= PIM_SPAN_UNITS; units++) {
        pim_page *page = heap->idle.spans[units];
        if (page != NULL) {
            heap->idle.spans[units] = NULL;
            heap->idle.span_units -= units;
            pim_heap_release_page(heap, page);
        }
    }
}

void
pim_heap_release_idle(pim_heap *heap)
{
    release_spans(heap);
    pim_heap_release_empty(heap);
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            pim_page *page = heap->current[domain_index][c];
            if (page != &pim_empty_page && pim_page_used(page) == 0) {
                heap->current[domain_index][c] = &pim_empty_page;
                pim_heap_release_page(heap, page);
            }
        }
    }
}

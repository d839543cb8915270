// heap.c -- the record of a heap.

#include "heap/heap.h"

#include <string.h>

pim_page pim_empty_page;
pim_heap pim_defunct_heap;
pim_heap pim_process_heap;
PIM_LOCK(pim_process_lock);

static void
take_for_sure(const pim_heap *heap)
{
    (void)heap;
}

void (*pim_heap_look_again)(const pim_heap *heap) = take_for_sure;

void
pim_heap_open(pim_heap *heap)
{
    memset(heap, 0, offsetof(pim_heap, serial));
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            heap->current[domain_index][c] = &pim_empty_page;
        }
    }
    pim_ring_open(&heap->large_ring);
}

void
pim_heap_note_peak(pim_heap *heap)
{
    uint64_t dirty = pim_load_relaxed(&heap->arenas.dirty_units) +
                     (pim_load_relaxed(&heap->large_bytes) >> PIM_UNIT_SHIFT);
    if (dirty > heap->purge.dirty_peak && !pim_heap_is_process(heap)) {
        heap->purge.dirty_peak = dirty + pim_heap_peak_step(dirty);
        heap->purge.at_peak = true;
    }
}

void
pim_heap_touch(pim_heap *heap, pim_page *page, size_t from, size_t to)
{
    pim_arena_set_touch(&heap->arenas, page, from, to);
    pim_heap_note_peak(heap);
}

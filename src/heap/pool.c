// pool.c -- records of heaps: never unmapped (HEAP-3), and each with an index for ever
// (REGISTRY-3).

#include "heap/heap.h"
#include "platform/os.h"

static pim_heap *heap_pool;
static _Atomic(pim_heap *) by_index[PIM_HEAP_INDICES];
static unsigned last_index;

static void
give_index(pim_heap *heap)
{
    if (last_index + 1 < PIM_HEAP_INDICES) {
        heap->index = ++last_index;
        pim_store_release(&by_index[last_index], heap);
    }
}

pim_heap *
pim_heap_at(unsigned index)
{
    return pim_load_acquire(&by_index[index]);
}

pim_heap *
pim_heap_take(void)
{
    if (heap_pool == NULL) {
        size_t bytes = pim_align_up(8 * sizeof(pim_heap), pim_os_page_size());
        pim_heap *chunk = pim_os->map(bytes);
        for (size_t i = 0; chunk != NULL && i < bytes / sizeof(*chunk); i++) {
            chunk[i].next = heap_pool;
            heap_pool = &chunk[i];
            give_index(heap_pool);
        }
    }
    pim_heap *heap = heap_pool;
    if (heap != NULL) {
        heap_pool = heap->next;
    }
    return heap;
}

void
pim_heap_put(pim_heap *heap)
{
    heap->next = heap_pool;
    heap_pool = heap;
}

// lives.c -- see lives.h.

#include "interp/lives.h"

#include "platform/os.h"

#define RECORDS_PER_MAP 8

uint32_t pim_life_last;

static _Atomic(pim_heap *) living[PIM_LIFE_PLACES];
static unsigned count; // of these, not NULL
static pim_heap *pool;

static _Atomic(pim_heap *) *
place_of(uint32_t life)
{
    return &living[life % PIM_LIFE_PLACES];
}

static pim_heap *
take(void)
{
    if (pool == NULL) {
        size_t bytes =
            pim_align_up(RECORDS_PER_MAP * sizeof(*pool), pim_os_page_size());
        pim_heap *chunk = pim_os->map(bytes);
        for (size_t i = 0; chunk != NULL && i < bytes / sizeof(*chunk); i++) {
            pim_life_bury(&chunk[i]);
        }
    }
    pim_heap *heap = pool;
    if (heap != NULL) {
        pool = heap->next;
    }
    return heap;
}

pim_heap *
pim_life_begin(void)
{
    pim_heap *heap = take();
    uint32_t life = 0;
    if (heap != NULL && count < PIM_LIVES_MAX) {
        do {
            life = ++pim_life_last;
        } while (life == 0 || pim_load_relaxed(place_of(life)) != NULL);
        count++;
        pim_store_relaxed(&heap->life, life);
        pim_store_release(place_of(life), heap);
    }
    return heap;
}

void
pim_life_end(pim_heap *heap)
{
    uint32_t life = pim_load_relaxed(&heap->life);
    if (life != 0) {
        count--;
        pim_store_relaxed(&heap->life, 0);
        pim_store_release(place_of(life), NULL);
    }
}

void
pim_life_bury(pim_heap *heap)
{
    heap->next = pool;
    pool = heap;
}

pim_heap *
pim_life_heap(uint32_t life)
{
    pim_heap *heap = life != 0 ? pim_load_acquire(place_of(life)) : NULL;
    return heap != NULL && pim_load_relaxed(&heap->life) == life ? heap : NULL;
}

void
pim_life_forget_all(void)
{
    pool = NULL;
}

// ended.c -- see ended.h.

#include "interp/ended.h"

#include "interp/figures.h"

static pim_ended ended[PIM_ENDED_KEPT];
static uint64_t count; // ever; the last is at (count - 1) % KEPT

static uint64_t
kept(void)
{
    return count < PIM_ENDED_KEPT ? count : PIM_ENDED_KEPT;
}

// The newest of that id, and if it is not NULL of that runtime.
static pim_ended *
find(int64_t id, const uint32_t *generation)
{
    for (uint64_t i = 1; i <= kept(); i++) {
        pim_ended *e = &ended[(count - i) % PIM_ENDED_KEPT];
        if (e->figures.id == id &&
            (generation == NULL || e->figures.generation == *generation)) {
            return e;
        }
    }
    return NULL;
}

void
pim_ended_note(pim_heap *heap)
{
    pim_ended *e = find(heap->id, &heap->generation);
    if (e == NULL) {
        e = &ended[count++ % PIM_ENDED_KEPT];
    }
    pim_heap_figures(heap, &e->figures);
    e->figures.ended = true;
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        pim_heap_class_figures(heap, domain_index, &e->by_class[domain_index]);
    }
}

const pim_ended *
pim_ended_at(size_t i)
{
    return i < kept() ? &ended[(count - kept() + i) % PIM_ENDED_KEPT] : NULL;
}

const pim_ended *
pim_ended_of(int64_t id)
{
    return find(id, NULL);
}

bool
pim_ended_has(int64_t id, uint32_t generation)
{
    return find(id, &generation) != NULL;
}

void
pim_ended_forget_all(void)
{
    count = 0;
}

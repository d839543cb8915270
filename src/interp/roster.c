// roster.c -- see roster.h.

#include "interp/roster.h"

#include "account/ledger.h"
#include "interp/binding.h"
#include "interp/figures.h"

pim_heap *
pim_registry_find(const void *interp, int64_t id, uint32_t generation)
{
    pim_registry_lock();
    const pim_binding *b = pim_binding_find(interp);
    bool known = b != NULL && b->id == id && b->generation == generation;
    pim_heap *heap = known ? b->heap : NULL;
    pim_registry_unlock();
    return heap;
}

bool
pim_registry_is_bound(const void *interp)
{
    pim_registry_lock();
    bool bound = pim_binding_find(interp) != NULL;
    pim_registry_unlock();
    return bound;
}

bool
pim_registry_is_doubted(const void *interp)
{
    pim_registry_lock();
    const pim_binding *b = pim_binding_find(interp);
    bool doubted = b != NULL && b->doubted;
    pim_registry_unlock();
    return doubted;
}

pim_heap *
pim_registry_heap(int64_t id)
{
    pim_registry_lock();
    const pim_binding *b = pim_binding_of_id(id);
    pim_heap *heap = b != NULL ? b->heap : NULL;
    pim_registry_unlock();
    return heap;
}

// --- figures ---------------------------------------------------------------

size_t
pim_registry_ids(int64_t *ids, size_t capacity)
{
    size_t n = 0;
    pim_registry_lock();
    const pim_ended *gone;
    for (size_t i = 0; (gone = pim_ended_at(i)) != NULL; i++, n++) {
        if (n < capacity) {
            ids[n] = gone->figures.id;
        }
    }
    for (const pim_binding *b = pim_registry.oldest; b != NULL;
         b = b->younger) {
        if (b->shared) {
            continue; // a part of main
        }
        if (n < capacity) {
            ids[n] = b->id;
        }
        n++;
    }
    pim_registry_unlock();
    return n;
}

bool
pim_registry_visit(int64_t id, void (*visit)(void *arg, pim_heap *heap),
                   void *arg)
{
    pim_registry_lock();
    const pim_binding *b = pim_binding_of_id(id);
    if (b != NULL) {
        visit(arg, b->heap);
    }
    pim_registry_unlock();
    return b != NULL;
}

bool
pim_registry_has_ended(int64_t id, uint32_t generation)
{
    pim_registry_lock();
    bool found = pim_ended_has(id, generation);
    pim_registry_unlock();
    return found;
}

bool
pim_registry_figures(int64_t id, pim_figures *out)
{
    pim_registry_lock();
    const pim_ended *gone = NULL;
    const pim_binding *b = pim_binding_of_id(id);
    if (id == PIM_PROCESS_ID) {
        pim_heap_figures(&pim_process_heap, out);
        out->id = PIM_PROCESS_ID;
    } else if (b != NULL) {
        pim_heap_figures(b->heap, out);
    } else if ((gone = pim_ended_of(id)) != NULL) {
        *out = gone->figures;
    }
    pim_registry_unlock();
    return id == PIM_PROCESS_ID || b != NULL || gone != NULL;
}

bool
pim_registry_class_figures(int64_t id, unsigned domain_index,
                           pim_class_figures *out)
{
    pim_registry_lock();
    const pim_ended *gone = NULL;
    const pim_binding *b = pim_binding_of_id(id);
    if (id == PIM_PROCESS_ID) {
        pim_heap_class_figures(&pim_process_heap, domain_index, out);
    } else if (b != NULL) {
        pim_heap_class_figures(b->heap, domain_index, out);
    } else if ((gone = pim_ended_of(id)) != NULL) {
        *out = gone->by_class[domain_index];
    }
    pim_registry_unlock();
    return id == PIM_PROCESS_ID || b != NULL || gone != NULL;
}

void
pim_registry_each(void (*visit)(void *arg, const pim_figures *figures),
                  void *arg)
{
    pim_figures figures;
    pim_registry_lock();
    const pim_ended *gone;
    for (size_t i = 0; (gone = pim_ended_at(i)) != NULL; i++) {
        visit(arg, &gone->figures);
    }
    for (const pim_binding *b = pim_registry.oldest; b != NULL;
         b = b->younger) {
        if (!b->shared) {
            pim_heap_figures(b->heap, &figures);
            visit(arg, &figures);
        }
    }
    pim_registry_unlock();
}

void
pim_registry_each_heap(void (*visit)(void *arg, pim_heap *heap), void *arg)
{
    pim_registry_lock();
    for (const pim_binding *b = pim_registry.oldest; b != NULL;
         b = b->younger) {
        if (!b->shared) {
            visit(arg, b->heap);
        }
    }
    pim_registry_unlock();
}

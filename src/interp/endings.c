// endings.c -- see endings.h.  The registry's lock guards the list.

#include "interp/endings.h"

#include "interp/binding.h"
#include "interp/ended.h"
#include "interp/figures.h"
#include "interp/lives.h"
#include "interp/retire.h"

static pim_heap *endings; // by `next`

void
pim_ending_begin(pim_heap *heap)
{
    pim_ended_note(heap); // what was left follows when it is settled
    pim_life_end(heap);
    heap->next = endings;
    endings = heap;
}

// What stays live until somebody frees it late, if anybody does.  Raw blocks
// are handed on and freed by others.
static uint64_t
left_for_ever(pim_heap *heap)
{
    pim_figures left;
    pim_heap_figures(heap, &left);
    return pim_heap_keeps(heap)
               ? left.by_domain[PIM_DOMAIN_INDEX(PIM_MEM)].live_bytes +
                     left.by_domain[PIM_DOMAIN_INDEX(PIM_OBJ)].live_bytes
               : 0;
}

// Nothing refers to the record any more.
static void
bury(pim_heap *heap)
{
    pim_registry_lock();
    pim_ended_note(heap);
    pim_limit_end(&heap->limit, left_for_ever(heap));
    pim_heap **at = &endings;
    while (*at != heap) {
        at = &(*at)->next;
    }
    *at = heap->next;
    pim_life_bury(heap);
    pim_registry_unlock();
}

// A further step, in one stay inside the gate.  Returns whether there is one
// more.
static bool
go_on(pim_heap *heap)
{
    pim_gate_enter();
    bool more = pim_retire_go_on(heap);
    if (!more) {
        bury(heap);
    }
    pim_gate_exit();
    return more;
}

// A thread that stays inside may hold what it has read before: then the heap is
// left as it is, for who ends next.
static bool
finish(pim_heap *heap)
{
    do {
        if (!pim_gate_synchronize()) {
            pim_registry_lock();
            heap->left = true;
            pim_registry_unlock();
            return false;
        }
    } while (go_on(heap));
    return true;
}

// NULL: none is left.
static pim_heap *
take_left(void)
{
    pim_registry_lock();
    pim_heap *heap = endings;
    while (heap != NULL && !heap->left) {
        heap = heap->next;
    }
    if (heap != NULL) {
        heap->left = false;
    }
    pim_registry_unlock();
    return heap;
}

void
pim_ending_finish(pim_heap *heap)
{
    while (heap != NULL && finish(heap)) {
        heap = take_left();
    }
}

// The threads that were at it are gone; what their watches saw is the parent's
// to tell.
void
pim_endings_in_child(bool adrift)
{
    if (adrift) {
        endings = NULL;
    }
    while (endings != NULL) {
        pim_heap *heap = endings;
        while (go_on(heap)) {
        }
    }
}

// ring.h -- a list that ends where it begins: its own link is the place to
// begin at.
//
// Whoever takes an element out need not know whose ring it is.

#ifndef PIM_BASE_RING_H
#define PIM_BASE_RING_H

#include "base/compiler.h"

typedef struct pim_link {
    struct pim_link *next;
    struct pim_link *prev;
} pim_link;

// An empty ring.
PIM_INLINE void
pim_ring_open(pim_link *ring)
{
    ring->next = ring->prev = ring;
}

PIM_INLINE void
pim_ring_add(pim_link *ring, pim_link *link)
{
    link->prev = ring;
    link->next = ring->next;
    ring->next->prev = link;
    ring->next = link;
}

PIM_INLINE void
pim_ring_remove(pim_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

// Takes over all that is in another ring, which is empty afterwards.
PIM_INLINE void
pim_ring_take_all(pim_link *ring, pim_link *from)
{
    if (from->next != from) {
        from->prev->next = ring->next;
        ring->next->prev = from->prev;
        from->next->prev = ring;
        ring->next = from->next;
        pim_ring_open(from);
    }
}

#endif // PIM_BASE_RING_H

// large_header.c -- see large_header.h.

#include "heap/large_header.h"

#include "mi/mi.h"
#include "platform/os.h"

_Atomic uint64_t pim_small_extents;

// The header of a block, or NULL if the block is not ours.
PIM_NO_SANITIZE pim_large *
pim_large_header(const void *block)
{
    if ((uintptr_t)block % PIM_ALIGNMENT != 0 ||
        (pim_os_begins_page(block) && !pim_mi.contains(block))) {
        return NULL; // our maps' blocks do not begin a page
    }
    pim_large *large = (pim_large *)(uintptr_t)block - 1;
    return large->cookie == pim_large_cookie(block) ? large : NULL;
}

void
pim_large_settle_small(pim_large *large)
{
    if (large->is_small) {
        large->is_small = false;
        pim_sub_relaxed(&pim_small_extents, 1);
    }
}

pim_large *
pim_large_set_extent(const pim_extent *map)
{
    pim_large *large = (pim_large *)map->start;
    large->map_bytes = map->bytes;
    large->origin = map->origin;
    large->huge = map->huge;
    return large;
}

pim_extent
pim_large_extent(pim_large *large)
{
    return (pim_extent){.start = (char *)large,
                        .bytes = large->map_bytes,
                        .dirty = PIM_LARGE_HEADER + large->usable,
                        .origin = large->origin,
                        .huge = large->huge};
}

bool
pim_large_is_owner(const pim_heap *heap, const pim_large *large)
{
    return large->heap == heap && !pim_heap_is_process(heap) &&
           large->serial == pim_load_relaxed(&heap->serial);
}

// --- what is known of a block ------------------------------------------------

bool
pim_large_is_unowned(const void *block)
{
    const pim_large *large = pim_large_header(block);
    return large != NULL && large->heap == NULL;
}

size_t
pim_large_usable(const void *block)
{
    const pim_large *large = pim_large_header(block);
    return large != NULL ? large->usable : 0;
}

bool
pim_large_owner(const void *block, int64_t *id)
{
    const pim_large *large = pim_large_header(block);
    if (large == NULL) {
        return false;
    }
    const pim_heap *heap = large->heap;
    bool lives =
        heap != NULL && large->serial == pim_load_relaxed(&heap->serial);
    *id = lives ? heap->id : PIM_PROCESS_ID;
    return true;
}

// --- rings -----------------------------------------------------------------

static PIM_LOCK(ring_lock);

void
pim_large_ring_add(pim_heap *heap, pim_large *large)
{
    pim_lock_acquire(&ring_lock);
    pim_ring_add(&heap->large_ring, &large->link);
    pim_lock_release(&ring_lock);
}

void
pim_large_ring_remove(pim_large *large)
{
    pim_lock_acquire(&ring_lock);
    pim_ring_remove(&large->link);
    pim_lock_release(&ring_lock);
}

void
pim_large_hand_over(pim_heap *from, pim_heap *to)
{
    pim_lock_acquire(&ring_lock);
    pim_ring_take_all(&to->large_ring, &from->large_ring);
    pim_lock_release(&ring_lock);
}

int
pim_large_each(pim_heap *heap, pim_large_visitor visit, void *arg)
{
    int result = 0;
    pim_lock_acquire(&ring_lock);
    for (pim_link *l = heap->large_ring.next;
         l != &heap->large_ring && result == 0; l = l->next) {
        pim_large *large = (pim_large *)l;
        result =
            visit(arg, pim_large_block(large), large->usable, large->domain);
    }
    pim_lock_release(&ring_lock);
    return result;
}

// Returns whether the system took addresses back.  What is the owner's to use
// is the rest of the map behind the block.
static bool
cut_room(pim_large *large)
{
    if (large->kind != PIM_LARGE_MAP) {
        return false; // it has no map, and what there is of one says nothing
    }
    size_t granule = large->huge ? PIM_ARENA_SIZE : pim_os_page_size();
    size_t used = pim_align_up(PIM_LARGE_HEADER + large->usable, granule);
    if (large->map_bytes <= used) {
        return false;
    }
    if (pim_os->unmap((char *)large + used, large->map_bytes - used) != 0) {
        return false;
    }
    large->map_bytes = used;
    return true;
}

bool
pim_large_cut_rooms(pim_heap *heap)
{
    bool any = false;
    pim_lock_acquire(&ring_lock);
    for (pim_link *l = heap->large_ring.next;
         l != &heap->large_ring && !pim_heap_is_process(heap); l = l->next) {
        any |= cut_room((pim_large *)l);
    }
    pim_lock_release(&ring_lock);
    return any;
}

// mi_blocks.c -- see mi_blocks.h.

#include "heap/mi_blocks.h"

PIM_COLD void *
pim_mi_alloc_again(size_t size, bool zero, size_t *bytes)
{
    if (pim_maps_trim(true) == 0) {
        return NULL;
    }
    return zero ? pim_mi.ucalloc(1, size, bytes) : pim_mi.umalloc(size, bytes);
}

// Whether mimalloc is about to move a block: the new one is faulted in while the
// old one is still there.
static bool
will_move(const void *block, size_t size)
{
    size_t usable = pim_mi.usable_size(block);
    return size > usable || size < usable / 2;
}

void *
pim_mi_realloc(void *block, size_t size, size_t *before, size_t *after)
{
    if (PIM_UNLIKELY(size >= PIM_MAP_KEPT_MIN) && will_move(block, size)) {
        pim_maps_make_way(size);
    }
    void *moved = pim_mi.urealloc(block, size, before, after);
    if (PIM_UNLIKELY(moved == NULL) && pim_maps_trim(true) != 0) {
        moved = pim_mi.urealloc(block, size, before, after);
    }
    return moved;
}

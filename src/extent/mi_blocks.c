// mi_blocks.c -- see mi_blocks.h.

#include "extent/mi_blocks.h"

#include <string.h>

#include "platform/os.h"

PIM_COLD void *
pim_mi_alloc_again(size_t size, bool zero, size_t *bytes)
{
    return pim_extent_trim(true) != 0 ? pim_mi_malloc(size, zero, bytes) : NULL;
}

_Atomic uint64_t pim_mi_until;

void
pim_mi_free(void *block)
{
    PIM_KEEP_ERRNO;
    PIM_NO_CANCEL;
    size_t ignored;
    pim_mi.ufree(block, &ignored);
    if (pim_load_relaxed(&pim_mi_until) == 0) {
        pim_store_relaxed(&pim_mi_until, pim_os->now_ms() + PIM_PURGE_DELAY_MS);
    }
}

void
pim_mi_purge(void)
{
    PIM_KEEP_ERRNO;
    PIM_NO_CANCEL;
    pim_store_relaxed(&pim_mi_until, 0);
    pim_mi.purge();
}

// Whether mimalloc is about to move a block: the new one is faulted in while
// the old one is still there.
static bool
will_move(size_t usable, size_t size)
{
    return size > usable || size < usable / 2;
}

// mimalloc itself leaves a block where it is that shrinks by up to half.  Its
// classes are an eighth apart, so one that was just moved here stays.  NULL: no
// memory.
static void *
move_to_shrink(void *block, size_t size, size_t *before, size_t *after)
{
    void *moved = pim_mi_alloc(size, false, after);
    if (moved != NULL) {
        memcpy(moved, block, size);
        pim_mi.ufree(block, before);
    }
    return moved;
}

void *
pim_mi_realloc(void *block, size_t size, size_t *before, size_t *after)
{
    PIM_KEEP_ERRNO;
    PIM_NO_CANCEL;
    size_t usable = pim_mi.usable_size(block);
    if (PIM_UNLIKELY(size >= PIM_EXTENT_KEPT_MIN) && will_move(usable, size)) {
        pim_extent_make_way(size);
    }
    void *moved = NULL;
    if (!will_move(usable, size) && usable - size > usable / 4) {
        moved = move_to_shrink(block, size, before, after);
    }
    if (moved == NULL) {
        moved = pim_mi.urealloc(block, size, before, after);
    }
    if (PIM_UNLIKELY(moved == NULL) && pim_extent_trim(true) != 0) {
        moved = pim_mi.urealloc(block, size, before, after);
    }
    return moved;
}

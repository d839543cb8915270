// raw.c -- the raw domain: any thread, any time, no owner.
//
// From CPython 3.14 on, small blocks come from a heap of ours (raw_small.h) and
// larger ones from mimalloc's main heap.  Up to 3.13, and in debug builds, CPython
// swaps the raw table for libc's at moments while other threads run, so blocks of
// ours reach libc's free and libc's reach ours; there raw *is* libc's malloc, and
// what bypassed us is missing in the figures.
//
//   malloc:  small? -> bin of this thread's cache -> pop     (no call, no lock)
//   free:    in the region? -> page -> push onto the bin of its class
//   else:    the source, after the question whose block it is
//
// Blocks that were allocated before we were installed come here to be freed:
// libc's, which go back to libc, and those of CPython's debug layer, which are
// known by the pattern in front of them and go to the table we replaced.
//
// The free of a block that contains an interpreter's state is the last event of
// that interpreter's life: it retires its heap, before the memory can be reused.
// Should such a free bypass us, the next block over the same memory tells.

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "domain/domain.h"
#include "domain/raw_small.h"
#include "heap/mi_blocks.h"
#include "heap/registry.h"
#include "platform/os.h"

static pim_raw_source source = PIM_RAW_LIBC;
static pim_raw_table replaced;

void
pim_raw_set_source(pim_raw_source new_source, pim_raw_table replaced_table)
{
    if (new_source == PIM_RAW_OWN) {
        pim_raw_small_start();
    }
    source = new_source;
    replaced = replaced_table;
}

pim_raw_source
pim_raw_get_source(void)
{
    return source;
}

// --- whose block is it? ----------------------------------------------------

typedef enum raw_owner { OWNER_SOURCE, OWNER_LIBC, OWNER_REPLACED } raw_owner;

// CPython's debug layer writes its domain's letter and seven bytes 0xFD before a
// block; glibc keeps a chunk's size there, which cannot look like that.
static bool
is_of_debug_layer(const void *block)
{
    static const uint8_t pattern[8] = {'r',  0xfd, 0xfd, 0xfd,
                                       0xfd, 0xfd, 0xfd, 0xfd};
    uint64_t expected;
    uint64_t before;
    memcpy(&expected, pattern, sizeof(expected));
    return (uintptr_t)block % sizeof(before) == 0 &&
           pim_os_read_before(block, &before) && before == expected;
}

static raw_owner
owner_of(const void *block)
{
    if (source != PIM_RAW_LIBC && PIM_LIKELY(pim_mi.contains(block))) {
        return OWNER_SOURCE;
    }
    if (PIM_UNLIKELY(is_of_debug_layer(block)) && replaced.free != NULL) {
        return OWNER_REPLACED;
    }
    return source == PIM_RAW_LIBC ? OWNER_SOURCE : OWNER_LIBC;
}

// --- watching --------------------------------------------------------------

// A block is about to be freed, or was just allocated: an interpreter that lies
// in it has ended.
static void
watch(const void *block, size_t bytes)
{
    if (PIM_UNLIKELY(bytes >= PIM_RAW_WATCH_BYTES) && block != NULL &&
        pim_load_relaxed(&pim_registry_subs) != 0 && !pim_gate_is_inside()) {
        pim_registry_end(block, bytes);
    }
}

// --- the two sources -------------------------------------------------------

// mimalloc aligns its smallest class to 8 only.
static size_t
at_least_aligned(size_t size)
{
    return size < PIM_ALIGNMENT ? PIM_ALIGNMENT : size;
}

// Blocks of mimalloc are counted inside the gate, so that a forked child, which
// inherits all tallies, never inherits a half counted block.
static PIM_NOINLINE void *
mimalloc_alloc(size_t size, bool zero)
{
    size_t bytes;
    size = at_least_aligned(size);
    pim_gate_enter();
    void *block = pim_mi_alloc(size, zero, &bytes);
    if (PIM_LIKELY(block != NULL)) {
        pim_raw_count_alloc(bytes);
    }
    pim_gate_exit();
    if (PIM_LIKELY(block != NULL)) {
        watch(block, bytes);
    }
    return block;
}

static PIM_NOINLINE void *
libc_alloc(size_t size, bool zero)
{
    size += size == 0;
    void *block = zero ? calloc(1, size) : malloc(size);
    if (PIM_LIKELY(block != NULL)) {
        size_t bytes = malloc_usable_size(block);
        pim_raw_count_alloc(bytes);
        watch(block, bytes);
    }
    return block;
}

static void *
source_realloc(void *block, size_t size)
{
    void *moved;
    size_t before;
    size_t after;
    if (source != PIM_RAW_LIBC) {
        pim_gate_enter();
        moved = pim_mi_realloc(block, at_least_aligned(size), &before, &after);
        if (moved != NULL) {
            pim_raw_count(after - before, 0);
        }
        pim_gate_exit();
    } else {
        before = malloc_usable_size(block);
        moved = realloc(block, size + (size == 0));
        after = malloc_usable_size(moved);
        if (moved != NULL) {
            pim_raw_count(after - before, 0);
        }
    }
    return moved;
}

static void
free_to_mimalloc(void *block)
{
    size_t bytes;
    if (PIM_UNLIKELY(pim_load_relaxed(&pim_registry_subs) != 0)) {
        pim_gate_enter();
        bytes = pim_mi.usable_size(block);
        if (PIM_UNLIKELY(bytes >= PIM_RAW_WATCH_BYTES)) {
            pim_gate_exit(); // an end is waited for from outside
            watch(block, bytes);
            pim_gate_enter();
        }
    } else {
        pim_gate_enter();
    }
    pim_mi.ufree(block, &bytes);
    pim_raw_count_free(bytes);
    pim_gate_exit();
}

static void
source_free(void *block)
{
    if (source != PIM_RAW_LIBC) {
        free_to_mimalloc(block);
        return;
    }
    size_t bytes = malloc_usable_size(block);
    watch(block, bytes);
    free(block);
    pim_raw_count_free(bytes);
}

// Moves a block of libc's to the source.
static void *
adopt_libc_block(void *block, size_t size)
{
    size_t bytes = malloc_usable_size(block);
    void *moved = pim_raw_malloc(NULL, size);
    if (moved != NULL) {
        memcpy(moved, block, bytes < size ? bytes : size);
        free(block);
    }
    return moved;
}

// --- small blocks ----------------------------------------------------------

// Any size.
static PIM_NOINLINE void *
alloc_any(size_t size, bool zero)
{
    if (PIM_UNLIKELY(size > PIM_REQUEST_MAX)) {
        return NULL;
    }
    if (source == PIM_RAW_OWN && size <= PIM_RAW_SMALL_MAX) {
        unsigned size_class = pim_size_class(size + (size == 0));
        void *block =
            pim_raw_cache_pop(size_class, pim_classes[size_class].block_size);
        if (block == NULL) {
            block = pim_raw_small_alloc(size_class);
        }
        if (PIM_LIKELY(block != NULL)) {
            return zero ? memset(block, 0, size) : block;
        }
    }
    return source == PIM_RAW_LIBC ? libc_alloc(size, zero)
                                  : mimalloc_alloc(size, zero);
}

// A block of the region.
static void *
realloc_small(void *block, size_t size)
{
    const pim_page *page = pim_page_of(block);
    PIM_CHECK(pim_raw_small_owns(page),
              "raw realloc of a block that is not raw's", block);
    size_t before = page->block_size;
    if (size <= before && size > before / 2) {
        return block;
    }
    void *moved = pim_raw_malloc(NULL, size);
    if (moved == NULL) {
        return size <= before ? block : NULL;
    }
    memcpy(moved, block, before < size ? before : size);
    pim_raw_free(NULL, block);
    return moved;
}

// A block of the region that is not in the first unit of its page, or for which
// there is no room.
static PIM_NOINLINE void
free_inside(void *block)
{
    pim_page *page = pim_page_of(block);
    if (!pim_raw_small_owns(page) || !pim_raw_cache_push(page, block)) {
        pim_raw_small_free(page, block);
    }
}

// A block outside the region, or NULL.
static PIM_NOINLINE void
free_outside(void *block)
{
    if (block == NULL) {
        return;
    }
    switch (owner_of(block)) {
    case OWNER_LIBC:
        watch(block, malloc_usable_size(block));
        free(block);
        break;
    case OWNER_REPLACED:
        replaced.free(replaced.ctx, block);
        break;
    default:
        source_free(block);
        break;
    }
}

// --- the table's functions -------------------------------------------------

void *
pim_raw_malloc(void *ctx, size_t size)
{
    (void)ctx;
    size_t last = size - 1; // size 0 wraps and takes the other path
    if (PIM_LIKELY(last < PIM_TINY_MAX && source == PIM_RAW_OWN)) {
        size_t size_class = last / PIM_ALIGNMENT;
        void *block =
            pim_raw_cache_pop(size_class, (size_class + 1) * PIM_ALIGNMENT);
        if (PIM_LIKELY(block != NULL)) {
            return block;
        }
    }
    return alloc_any(size, false);
}

void *
pim_raw_calloc(void *ctx, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    if (PIM_LIKELY(bytes - 1 < PIM_TINY_MAX)) {
        void *block = pim_raw_malloc(ctx, bytes);
        return block != NULL ? memset(block, 0, bytes) : NULL;
    }
    return alloc_any(bytes, true);
}

void *
pim_raw_realloc(void *ctx, void *block, size_t size)
{
    if (block == NULL) {
        return pim_raw_malloc(ctx, size);
    }
    if (PIM_UNLIKELY(size > PIM_REQUEST_MAX)) {
        return NULL;
    }
    if (pim_region_contains(block)) {
        return realloc_small(block, size);
    }
    switch (owner_of(block)) {
    case OWNER_LIBC:
        return adopt_libc_block(block, size);
    case OWNER_REPLACED:
        return replaced.realloc(replaced.ctx, block, size);
    default:
        return source_realloc(block, size);
    }
}

void
pim_raw_free(void *ctx, void *block)
{
    (void)ctx;
    if (PIM_UNLIKELY(!pim_region_contains(block))) {
        free_outside(block);
        return;
    }
    pim_page *page = pim_unit_of(block);
    if (PIM_UNLIKELY(!pim_raw_small_owns(page) ||
                     !pim_raw_cache_push(page, block))) {
        free_inside(block);
    }
}

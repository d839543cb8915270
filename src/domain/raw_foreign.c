// raw_foreign.c -- raw blocks of libc's, of a mimalloc that is libc's, and of
// those who were installed before us.
//
// Up to 3.13, and in debug builds, CPython swaps the raw table for libc's at
// moments while other threads run, so blocks of ours reach libc's free and
// libc's reach ours; there raw *is* libc's malloc.  A tag at a block's end says
// whose it is (raw_tag.h); what bypassed us has none and is missing in the
// figures.
//
// Blocks that were allocated before we were installed come here to be freed:
// libc's, which go back to libc, and those of CPython's debug layer, which are
// known by the pattern in front of them and go to the table we replaced.

#include "domain/raw_foreign.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/keep_errno.h"
#include "domain/adrift.h"
#include "domain/end_event.h"
#include "domain/raw_small.h"
#include "domain/raw_tag.h"
#include "extent/mi_blocks.h"
#include "heap/admit.h"
#include "interp/current.h"
#include "platform/os.h"

// From how many bytes on a block of glibc's may be a map, and how far apart the
// classes of mimalloc are.
#define LIBC_MAPS ((size_t)64 << 10)
#define MI_CLASS_SHARE 8

pim_raw_source pim_raw_from = PIM_RAW_LIBC;
_Atomic bool pim_raw_awaited;
void (*pim_raw_arrived)(void);
static pim_raw_table replaced;

void
pim_raw_set_source(pim_raw_source source, pim_raw_table replaced_table)
{
    if (source == PIM_RAW_OWN) {
        pim_raw_small_start();
    }
    pim_raw_tag_start();
    pim_adrift_start();
    pim_raw_from = source;
    replaced = replaced_table;
}

pim_raw_source
pim_raw_get_source(void)
{
    return pim_raw_from;
}

const char *
pim_raw_source_name(void)
{
    static const char *const names[] = {[PIM_RAW_LIBC] = "libc",
                                        [PIM_RAW_MIMALLOC] = "mimalloc",
                                        [PIM_RAW_OWN] = "pimalloc"};
    return names[pim_raw_from];
}

// --- whose block is it? ----------------------------------------------------

typedef enum raw_owner { OWNER_SOURCE, OWNER_LIBC, OWNER_REPLACED } raw_owner;

// CPython's debug layer writes its domain's letter and seven bytes 0xFD before
// a block; glibc keeps a chunk's size there, which cannot look like that.
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
    if (pim_raw_from == PIM_RAW_MIMALLOC &&
        PIM_LIKELY(pim_mi.contains(block))) {
        return OWNER_SOURCE;
    }
    if (PIM_UNLIKELY(is_of_debug_layer(block)) && replaced.free != NULL) {
        return OWNER_REPLACED;
    }
    return pim_raw_from == PIM_RAW_LIBC ? OWNER_SOURCE : OWNER_LIBC;
}

// --- limits ----------------------------------------------------------------

// The most that a block for so many bytes is counted with.
static size_t
most_counted(size_t size)
{
    bool is_libc = pim_raw_from == PIM_RAW_LIBC;
    size_t more = is_libc ? (size < LIBC_MAPS ? 0 : pim_os_page_size())
                          : size / MI_CLASS_SHARE;
    return size + more + 2 * PIM_ALIGNMENT;
}

// Whether a heap, which may be NULL, may have a block of so many bytes instead
// of one of `before`.  Outside the gate, for a refusal is reported.
static bool
is_admitted(pim_heap *heap, size_t size, size_t before)
{
    size_t bytes = most_counted(size);
    return heap == NULL || !pim_limit_is_set(&heap->limit) || bytes <= before ||
           pim_limit_admits_or_reports(heap, PIM_RAW, size, bytes - before);
}

// What was admitted is in the account now, or was not to be had.
static void
claimed(pim_heap *heap)
{
    if (heap != NULL) {
        pim_limit_done(&heap->limit);
    }
}

// --- mimalloc --------------------------------------------------------------

// How much to ask for; mimalloc aligns its smallest class to 8 only.
static size_t
with_tag(size_t size)
{
    size += PIM_RAW_TAG_BYTES;
    return size < PIM_ALIGNMENT ? PIM_ALIGNMENT : size;
}

// Blocks of mimalloc are counted inside the gate, so that a forked child, which
// inherits all tallies, never inherits a half counted block.
static void *
mimalloc_alloc(size_t size, bool zero)
{
    size_t bytes;
    pim_heap *heap = pim_current_owner();
    if (!is_admitted(heap, size, 0)) {
        return NULL;
    }
    size = with_tag(size);
    pim_gate_enter();
    void *block = pim_mi_alloc(size, zero, &bytes);
    if (PIM_LIKELY(block != NULL)) {
        pim_raw_tag_put(heap, block, bytes);
    }
    claimed(heap);
    pim_gate_exit();
    if (PIM_LIKELY(block != NULL)) {
        pim_raw_watch_new(block, bytes);
    }
    return block;
}

static void *
mimalloc_realloc(void *block, size_t size)
{
    size_t after;
    pim_heap *heap = pim_current_owner();
    size_t before = pim_mi.usable_size(block);
    if (size > before && !is_admitted(heap, size, before)) {
        return NULL;
    }
    pim_gate_enter();
    pim_raw_tag tag = pim_raw_tag_take(block, before);
    void *moved = pim_mi_realloc(block, with_tag(size), &before, &after);
    if (moved != NULL) {
        pim_raw_tag_uncount(heap, tag, before);
        pim_raw_tag_put(heap, moved, after);
    } else {
        pim_raw_tag_restore(block, before, tag);
    }
    claimed(heap);
    pim_gate_exit();
    return moved;
}

static void
mimalloc_free(void *block)
{
    const pim_heap *heap = pim_current_owner();
    pim_gate_enter();
    size_t bytes = pim_mi.usable_size(block);
    if (PIM_UNLIKELY(bytes >= PIM_RAW_WATCH_BYTES)) {
        pim_gate_exit(); // an end is waited for from outside
        pim_raw_watch_freed(block, bytes);
        pim_gate_enter();
    }
    pim_raw_tag_uncount(heap, pim_raw_tag_take(block, bytes), bytes);
    pim_mi_free(block);
    pim_gate_exit();
}

// --- libc ------------------------------------------------------------------

static void *
libc_alloc(size_t size, bool zero)
{
    pim_heap *heap = pim_current_owner();
    if (!is_admitted(heap, size, 0)) {
        return NULL;
    }
    size = with_tag(size);
    void *block = zero ? calloc(1, size) : malloc(size);
    if (PIM_LIKELY(block != NULL)) {
        size_t bytes = malloc_usable_size(block);
        pim_raw_tag_put(heap, block, bytes);
        pim_raw_watch_new(block, bytes);
    }
    claimed(heap);
    return block;
}

static void *
libc_realloc(void *block, size_t size)
{
    size_t before = malloc_usable_size(block);
    pim_heap *heap = pim_current_owner();
    if (size > before && !is_admitted(heap, size, before)) {
        return NULL;
    }
    pim_raw_tag tag = pim_raw_tag_take(block, before);
    void *moved = realloc(block, with_tag(size));
    if (moved != NULL) {
        pim_raw_tag_uncount(heap, tag, before);
        pim_raw_tag_put(heap, moved, malloc_usable_size(moved));
    } else {
        pim_raw_tag_restore(block, before, tag);
    }
    claimed(heap);
    return moved;
}

static void
libc_free(void *block)
{
    size_t bytes = malloc_usable_size(block);
    pim_raw_watch_freed(block, bytes);
    pim_raw_tag_uncount(pim_current_owner(), pim_raw_tag_take(block, bytes),
                        bytes);
    free(block);
}

// --- requests --------------------------------------------------------------

void *
pim_raw_foreign_alloc(size_t size, bool zero)
{
    PIM_KEEP_ERRNO;
    return pim_raw_from == PIM_RAW_LIBC ? libc_alloc(size, zero)
                                        : mimalloc_alloc(size, zero);
}

size_t
pim_raw_foreign_libc_bytes(void *block)
{
    return owner_of(block) == OWNER_LIBC ? malloc_usable_size(block) : 0;
}

size_t
pim_raw_foreign_bytes(void *block)
{
    raw_owner owner = owner_of(block);
    return owner == OWNER_REPLACED ? 0
           : owner == OWNER_SOURCE && pim_raw_from == PIM_RAW_MIMALLOC
               ? pim_mi.usable_size(block)
               : malloc_usable_size(block);
}

void *
pim_raw_foreign_realloc(void *block, size_t size)
{
    PIM_KEEP_ERRNO;
    switch (owner_of(block)) {
    case OWNER_REPLACED:
        return replaced.realloc(replaced.ctx, block, size);
    default:
        return pim_raw_from == PIM_RAW_LIBC ? libc_realloc(block, size)
                                            : mimalloc_realloc(block, size);
    }
}

void
pim_raw_foreign_free(void *block)
{
    PIM_KEEP_ERRNO;
    switch (owner_of(block)) {
    case OWNER_LIBC:
        pim_raw_watch_freed(block, malloc_usable_size(block));
        free(block);
        break;
    case OWNER_REPLACED:
        replaced.free(replaced.ctx, block);
        break;
    default:
        if (pim_raw_from == PIM_RAW_LIBC) {
            libc_free(block);
        } else {
            mimalloc_free(block);
        }
        break;
    }
}

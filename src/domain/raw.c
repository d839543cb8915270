// raw.c -- the raw domain: any thread, any time, no owner.
//
// From CPython 3.14 on, raw blocks come from mimalloc's main heap.  Up to 3.13,
// and in debug builds, CPython swaps the raw table for libc's at moments while
// other threads run, so blocks of ours reach libc's free and libc's reach ours;
// there raw *is* libc's malloc, and what bypassed us is missing in the figures.
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
#include "heap/registry.h"
#include "platform/os.h"

pim_raw_account pim_raw_published;

static pim_raw_source source = PIM_RAW_LIBC;
static pim_raw_table replaced;

void
pim_raw_set_source(pim_raw_source new_source, pim_raw_table replaced_table)
{
    source = new_source;
    replaced = replaced_table;
}

pim_raw_source
pim_raw_get_source(void)
{
    return source;
}

// --- accounts --------------------------------------------------------------
//
// Raw has no owner.  Each thread counts in its own tally, with plain stores, and
// publishes it to the shared account when it has gone far enough from what was
// published last.  So the sum is exact whenever nobody is in a raw function, and
// a peak is off by at most that much for each thread; with one thread it is exact.

#define PUBLISH_BYTES ((uint64_t)64 << 10)
#define PUBLISH_BLOCKS ((uint64_t)1024)

// What CPython frees through us and allocated past us can make the live figures
// negative for a while; a peak is never taken from such.
static void
raise_peak(_Atomic uint64_t *peak, uint64_t live)
{
    if (PIM_LIKELY(live <= INT64_MAX)) {
        pim_raise_relaxed(peak, live);
    }
}

// Adds differences to the shared account, and the heights they reached.
static PIM_NOINLINE void
publish(uint64_t bytes, uint64_t blocks, uint64_t top_bytes,
        uint64_t top_blocks)
{
    pim_raw_account *raw = &pim_raw_published;
    raise_peak(&raw->peak_bytes,
               atomic_fetch_add(&raw->live_bytes, bytes) + top_bytes);
    raise_peak(&raw->peak_blocks,
               atomic_fetch_add(&raw->live_blocks, blocks) + top_blocks);
}

static PIM_NOINLINE void
publish_tally(pim_tally *tally)
{
    uint64_t bytes = pim_load_relaxed(&tally->bytes);
    uint64_t blocks = pim_load_relaxed(&tally->blocks);
    uint64_t top_bytes = pim_load_relaxed(&tally->top_bytes);
    uint64_t top_blocks = pim_load_relaxed(&tally->top_blocks);
    pim_store_relaxed(&tally->bytes, 0);
    pim_store_relaxed(&tally->blocks, 0);
    pim_store_relaxed(&tally->top_bytes, 0);
    pim_store_relaxed(&tally->top_blocks, 0);
    publish(bytes, blocks, top_bytes, top_blocks);
}

static void
raise_top(_Atomic uint64_t *top, uint64_t now)
{
    if ((int64_t)now > (int64_t)pim_load_relaxed(top)) {
        pim_store_relaxed(top, now);
    }
}

// Whether a difference is too large to wait in a tally.
PIM_INLINE bool
is_far(uint64_t difference, uint64_t limit)
{
    return difference + limit > 2 * limit;
}

// Counts differences, which may be negative.
PIM_INLINE void
account(uint64_t bytes, uint64_t blocks)
{
    pim_thread *self = pim_gate_self.thread;
    if (PIM_UNLIKELY(self == NULL || is_far(bytes, PUBLISH_BYTES))) {
        if (self != NULL) {
            publish_tally(&self->tally);
        }
        publish(bytes, blocks, bytes, blocks);
        return;
    }
    pim_tally *tally = &self->tally;
    bytes += pim_load_relaxed(&tally->bytes);
    blocks += pim_load_relaxed(&tally->blocks);
    pim_store_relaxed(&tally->bytes, bytes);
    pim_store_relaxed(&tally->blocks, blocks);
    raise_top(&tally->top_bytes, bytes);
    raise_top(&tally->top_blocks, blocks);
    if (PIM_UNLIKELY(is_far(bytes, PUBLISH_BYTES) ||
                     is_far(blocks, PUBLISH_BLOCKS))) {
        publish_tally(tally);
    }
}

// Reads the shared account first: who sees a tally published there sees it empty.
void
pim_raw_figures(pim_raw_usage *out)
{
    pim_raw_account *raw = &pim_raw_published;
    uint64_t bytes = pim_load_acquire(&raw->live_bytes);
    uint64_t blocks = pim_load_acquire(&raw->live_blocks);
    *out = (pim_raw_usage){.live_bytes = bytes, .live_blocks = blocks};
    for (const pim_thread *t = pim_gate_records(); t != NULL; t = t->next) {
        const pim_tally *tally = &t->tally;
        out->live_bytes += pim_load_relaxed(&tally->bytes);
        out->live_blocks += pim_load_relaxed(&tally->blocks);
        raise_peak(&raw->peak_bytes,
                   bytes + pim_load_relaxed(&tally->top_bytes));
        raise_peak(&raw->peak_blocks,
                   blocks + pim_load_relaxed(&tally->top_blocks));
    }
    raise_peak(&raw->peak_bytes, out->live_bytes);
    raise_peak(&raw->peak_blocks, out->live_blocks);
    out->peak_bytes = pim_load_relaxed(&raw->peak_bytes);
    out->peak_blocks = pim_load_relaxed(&raw->peak_blocks);
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
    if (source == PIM_RAW_MIMALLOC && PIM_LIKELY(pim_mi.contains(block))) {
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
static void *
source_alloc(size_t size, bool zero)
{
    void *block;
    size_t bytes;
    if (source == PIM_RAW_MIMALLOC) {
        size = at_least_aligned(size);
        pim_gate_enter();
        block = zero ? pim_mi.ucalloc(1, size, &bytes)
                     : pim_mi.umalloc(size, &bytes);
        if (PIM_LIKELY(block != NULL)) {
            account(bytes, 1);
        }
        pim_gate_exit();
    } else {
        size += size == 0;
        block = zero ? calloc(1, size) : malloc(size);
        bytes = malloc_usable_size(block);
        if (PIM_LIKELY(block != NULL)) {
            account(bytes, 1);
        }
    }
    if (PIM_LIKELY(block != NULL)) {
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
    if (source == PIM_RAW_MIMALLOC) {
        pim_gate_enter();
        moved = pim_mi.urealloc(block, at_least_aligned(size), &before, &after);
        if (moved != NULL) {
            account(after - before, 0);
        }
        pim_gate_exit();
    } else {
        before = malloc_usable_size(block);
        moved = realloc(block, size + (size == 0));
        after = malloc_usable_size(moved);
        if (moved != NULL) {
            account(after - before, 0);
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
    account(-(uint64_t)bytes, -(uint64_t)1);
    pim_gate_exit();
}

static void
source_free(void *block)
{
    if (source == PIM_RAW_MIMALLOC) {
        free_to_mimalloc(block);
        return;
    }
    size_t bytes = malloc_usable_size(block);
    watch(block, bytes);
    free(block);
    account(-(uint64_t)bytes, -(uint64_t)1);
}

// Moves a block of libc's to the source.
static void *
adopt_libc_block(void *block, size_t size)
{
    size_t bytes = malloc_usable_size(block);
    void *moved = source_alloc(size, false);
    if (moved != NULL) {
        memcpy(moved, block, bytes < size ? bytes : size);
        free(block);
    }
    return moved;
}

// --- the table's functions -------------------------------------------------

void *
pim_raw_malloc(void *ctx, size_t size)
{
    (void)ctx;
    return PIM_LIKELY(size <= PIM_REQUEST_MAX) ? source_alloc(size, false)
                                               : NULL;
}

void *
pim_raw_calloc(void *ctx, size_t count, size_t size)
{
    (void)ctx;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) ||
        bytes > PIM_REQUEST_MAX) {
        return NULL;
    }
    return source_alloc(bytes, true);
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

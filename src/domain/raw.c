// raw.c -- the raw domain: any thread, any time.
//
// From CPython 3.14 on blocks are ours.  Whoever has an interpreter's thread
// state holds its GIL, and so owns its heap: such a caller is served from
// there, like one of mem or obj.  Others are served from the raw heap
// (raw_small.h), and above its classes with a block that no heap accounts for.
//
//   malloc:  an interpreter is current?  its heap -> class -> pop
//            no thread state?   bin of this thread's cache -> pop
//   free:    in the region? -> page -> the raw heap's: push onto the bin
//                                      the caller's:   push onto the page
//                                      another's:      remote
//            else by its header; without one somebody else's (raw_foreign.h)
//
// No interpreter is made known here: the first raw request under one comes
// before its feature flags are set.  Until it is known the process answers for
// its blocks.
//
// The free of a block that contains an interpreter's state is the last event of
// that interpreter's life: it retires its heap, before the memory can be
// reused.  Should such a free bypass us, the next block over the same memory
// tells.  So no raw block of PIM_RAW_WATCH_BYTES lies in the region, where
// frees are not watched.

#include <string.h>

#include "arena/region.h"
#include "domain/adrift.h"
#include "domain/birth.h"
#include "domain/domain.h"
#include "domain/end_event.h"
#include "domain/hooked.h"
#include "domain/raw_foreign.h"
#include "domain/raw_small.h"
#include "heap/alloc.h"
#include "heap/free.h"
#include "heap/large.h"
#include "interp/current.h"

#define SLOT PIM_DOMAIN_INDEX(PIM_RAW)

_Static_assert(PIM_SMALL_MAX < PIM_RAW_WATCH_BYTES,
               "frees in the region need not be watched");

// --- malloc ----------------------------------------------------------------

static void *
watched(void *block)
{
    if (PIM_LIKELY(block != NULL)) {
        pim_raw_watch_new(block, pim_large_usable(block));
    }
    return block;
}

static void *
alloc_owned(pim_heap *heap, size_t size, bool zero)
{
    if (size > PIM_SMALL_MAX) {
        return watched(pim_large_alloc(heap, PIM_RAW, size, zero));
    }
    void *block = pim_heap_alloc(heap, SLOT, size);
    return zero && block != NULL ? memset(block, 0, size) : block;
}

// The block and its count are one for a fork.
static void *
alloc_unowned(size_t size, bool zero)
{
    pim_gate_enter();
    void *block = pim_large_alloc_unowned(PIM_RAW, size, zero);
    if (PIM_LIKELY(block != NULL)) {
        pim_raw_count_alloc(pim_large_usable(block));
    }
    pim_gate_exit();
    return watched(block);
}

static void *
alloc_shared(size_t size, bool zero)
{
    void *block = NULL;
    if (size <= PIM_RAW_SMALL_MAX) {
        unsigned size_class = pim_size_class(size);
        block =
            pim_raw_cache_pop(size_class, pim_classes[size_class].block_size);
        if (block == NULL) {
            block = pim_raw_small_alloc(size_class);
        }
    }
    if (PIM_UNLIKELY(block == NULL)) {
        return alloc_unowned(size, zero);
    }
    return zero ? memset(block, 0, size) : block;
}

// Any size.  NULL: errno says nothing.
static void *
serve(size_t size, bool zero)
{
    if (PIM_UNLIKELY(pim_load_relaxed(&pim_raw_awaited))) {
        pim_raw_arrived();
    }
    if (pim_raw_from != PIM_RAW_OWN) {
        return pim_raw_foreign_alloc(size, zero);
    }
    if (pim_gate_is_adrift()) {
        return pim_adrift_malloc(size, zero);
    }
    pim_heap *heap = pim_current_owner();
    size += size == 0;
    return heap != NULL ? alloc_owned(heap, size, zero)
                        : alloc_shared(size, zero);
}

// The same, but an interpreter's state may be refused.
static void *
serve_watched(size_t size, bool zero)
{
    bool adrift = pim_gate_is_adrift();
    if (size > PIM_REQUEST_MAX || (!adrift && !pim_birth_admits(size))) {
        return NULL;
    }
    void *block = serve(size, zero);
    if (!adrift) {
        pim_birth_asked(block, size);
    }
    return block;
}

void *
pim_raw_alloc(size_t size, bool zero)
{
    return PIM_LIKELY(size < PIM_RAW_WATCH_BYTES) ? serve(size, zero)
                                                  : serve_watched(size, zero);
}

static PIM_NOINLINE void *
alloc_any(size_t size, bool zero)
{
    const pim_request_ops *hooked = pim_hooked_now();
    void *block = PIM_LIKELY(hooked == NULL)
                      ? pim_raw_alloc(size, zero)
                      : hooked->alloc(PIM_RAW, size, zero);
    return PIM_LIKELY(block != NULL) ? block : pim_domain_refuse();
}

// NULL: the fast path does not serve this.  A heap has no raw pages unless raw
// is our own.
PIM_INLINE void *
pop(size_t size)
{
    size_t last = size - 1; // size 0 wraps and takes the other path
    size_t size_class = last / PIM_ALIGNMENT;
    bool detached;
    pim_heap *heap = pim_current_or_detached(&detached);
    void *block = NULL;
    if (PIM_LIKELY(heap != NULL && last < PIM_TINY_MAX)) {
        block = pim_heap_pop(heap, SLOT, size_class);
    } else if (detached && last < PIM_TINY_MAX && pim_raw_from == PIM_RAW_OWN) {
        block = pim_raw_cache_pop(size_class, (size_class + 1) * PIM_ALIGNMENT);
    }
    return block;
}

void *
pim_raw_malloc(void *ctx, size_t size)
{
    (void)ctx;
    void *block = pop(size);
    return PIM_LIKELY(block != NULL) ? block : alloc_any(size, false);
}

void *
pim_raw_calloc(void *ctx, size_t count, size_t size)
{
    (void)ctx;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return pim_domain_refuse();
    }
    void *block = pop(bytes);
    return PIM_LIKELY(block != NULL) ? memset(block, 0, bytes)
                                     : alloc_any(bytes, true);
}

// --- free ------------------------------------------------------------------

// Whether a page holds raw blocks; the descriptors of free units say 0, too.
static bool
is_raws(const pim_page *page)
{
    return page->domain == PIM_RAW && pim_load_relaxed(&page->owner) != 0;
}

// A block of the region.
static void
give_inside(void *block)
{
    bool tagged;
    if (pim_gate_is_adrift() && pim_adrift_free(block)) {
        return;
    }
    pim_page *page = pim_page_of(block);
    const pim_heap *owner = pim_page_owner(page, &tagged);
    pim_heap *heap = pim_current_owner();
    PIM_CHECK(is_raws(page), "raw free of a block that is not raw's", block);
    if (heap != NULL && owner == heap) {
        if (PIM_LIKELY(!tagged)) {
            pim_heap_check_block(page, block);
            pim_heap_push(heap, page, SLOT, block);
        } else {
            pim_heap_free_reclaimed(heap, page, block);
        }
    } else if (!pim_raw_small_owns(page)) {
        pim_heap_free_remote(page, block);
    } else if (!pim_raw_cache_push(page, block)) {
        pim_raw_small_free(page, block);
    }
}

static void
free_large(void *block, size_t bytes)
{
    pim_raw_watch_freed(block, bytes);
    pim_heap *heap = pim_current_owner();
    bool is_unowned = pim_large_is_unowned(block);
    pim_gate_enter();
    pim_large_free(heap != NULL ? heap : &pim_process_heap, block);
    if (is_unowned) {
        pim_raw_count_free(bytes);
    }
    pim_gate_exit();
}

// A block that is not in the region.
static void
give_outside(void *block)
{
    if (pim_gate_is_adrift() && pim_adrift_free(block)) {
        return;
    }
    size_t bytes = pim_raw_from == PIM_RAW_OWN ? pim_large_usable(block) : 0;
    if (bytes != 0) {
        free_large(block, bytes);
    } else {
        pim_raw_foreign_free(block);
    }
}

void
pim_raw_give(void *block)
{
    if (pim_region_contains(block)) {
        give_inside(block);
    } else {
        give_outside(block);
    }
}

// A block that is not in the first unit of its page, or for which there is no
// room, or that is not the caller's or not in the main stretch of the region; or
// NULL.
static PIM_NOINLINE void
free_any(void *block)
{
    const pim_request_ops *hooked = pim_hooked_now();
    if (PIM_UNLIKELY(hooked != NULL && block != NULL)) {
        hooked->free(PIM_RAW, block);
    } else if (block != NULL) {
        pim_raw_give(block);
    }
}

// An owner word is that of one heap and domain, without orphans, and the words
// of a page's further units are 0.
void
pim_raw_free(void *ctx, void *block)
{
    (void)ctx;
    if (PIM_UNLIKELY(!pim_region_main_contains(block))) {
        free_any(block);
        return;
    }
    pim_page *page = pim_main_unit_of(block);
    pim_heap *heap = pim_current_fast();
    if (PIM_LIKELY(
            heap != NULL &&
            pim_is_equal_fast(pim_owner_word(heap, PIM_RAW), &page->owner))) {
        pim_heap_push(heap, page, SLOT, block);
    } else if (!pim_raw_small_is_fast(page) ||
               !pim_raw_cache_push(page, block)) {
        free_any(block);
    }
}

// --- realloc ---------------------------------------------------------------

// A map for a block that is being grown; NULL: copying it is better.
static void *
alloc_growing(size_t old_size, size_t size)
{
    if (size <= old_size || size < PIM_EXTENT_GROWN_KEPT) {
        return NULL;
    }
    pim_heap *heap = pim_current_owner();
    return heap != NULL ? watched(pim_large_alloc_growing(heap, PIM_RAW, size))
                        : NULL;
}

static void *
move_within_limit(void *block, size_t old_size, size_t size)
{
    void *moved = alloc_growing(old_size, size);
    if (moved == NULL) {
        moved = serve(size, false);
    }
    if (moved == NULL) {
        return size <= old_size ? block // shrinking needs no memory
                                : pim_domain_refuse();
    }
    memcpy(moved, block, old_size < size ? old_size : size);
    pim_raw_free(NULL, block);
    return moved;
}

static void *
move(void *block, size_t old_size, size_t size)
{
    pim_heap *heap = pim_current_owner();
    if (size > old_size || heap == NULL || !pim_limit_is_set(&heap->limit)) {
        return move_within_limit(block, old_size, size);
    }
    heap->limit.exempt = true; // less is live afterwards
    void *moved = move_within_limit(block, old_size, size);
    heap->limit.exempt = false;
    return moved;
}

// A block of the region.
static void *
realloc_inside(void *block, size_t size)
{
    const pim_page *page = pim_page_of(block);
    PIM_CHECK(is_raws(page), "raw realloc of a block that is not raw's", block);
    size_t old_size = page->block_size;
    size += size == 0;
    return size <= old_size && pim_size_suits(old_size, pim_size_served(size))
               ? block
               : move(block, old_size, size);
}

// A block of libc's moves to where raw blocks come from now.
static void *
realloc_foreign(void *block, size_t size)
{
    size_t bytes = pim_raw_foreign_libc_bytes(block);
    if (bytes == 0) {
        return pim_raw_foreign_realloc(block, size);
    }
    void *moved = pim_raw_malloc(NULL, size);
    if (moved != NULL) {
        memcpy(moved, block, bytes < size ? bytes : size);
        pim_raw_foreign_free(block);
    }
    return moved;
}

static void *
realloc_outside(void *block, size_t size)
{
    if (pim_gate_is_adrift()) {
        bool is_ours;
        void *moved = pim_adrift_realloc(block, size, &is_ours);
        if (!is_ours) {
            moved = realloc_foreign(block, size);
        }
        return moved != NULL ? moved : pim_domain_refuse();
    }
    size_t old_size = pim_raw_from == PIM_RAW_OWN ? pim_large_usable(block) : 0;
    if (old_size == 0) {
        void *moved = realloc_foreign(block, size);
        return moved != NULL ? moved : pim_domain_refuse();
    }
    pim_heap *heap = pim_current_owner();
    void *resized =
        pim_large_resize(heap != NULL ? heap : &pim_process_heap, block, size);
    return resized != NULL ? resized : move(block, old_size, size);
}

void *
pim_raw_resize(void *block, size_t size)
{
    if (PIM_UNLIKELY(size > PIM_REQUEST_MAX)) {
        return pim_domain_refuse();
    }
    return pim_region_contains(block) ? realloc_inside(block, size)
                                      : realloc_outside(block, size);
}

void *
pim_raw_realloc(void *ctx, void *block, size_t size)
{
    if (block == NULL) {
        return pim_raw_malloc(ctx, size);
    }
    const pim_request_ops *hooked = pim_hooked_now();
    void *resized = PIM_LIKELY(hooked == NULL)
                        ? pim_raw_resize(block, size)
                        : hooked->resize(PIM_RAW, block, size);
    return resized != NULL ? resized : pim_domain_refuse();
}

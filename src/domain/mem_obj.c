// mem_obj.c -- the mem and obj domains: the fast paths end to end.
//
//   malloc:  whose heap? -> class -> pop                (no call, no lock)
//            other size, no page, unknown thread -> *_slow
//   free:    ours? -> descriptor -> same owner? -> push
//            other owner -> remote; outside the region -> large
//
// The two domains differ in the pages they use, so that each is accounted
// exactly; the code is one, inlined twice.

#include <string.h>

#include "arena/region.h"
#include "domain/adrift.h"
#include "domain/domain.h"
#include "domain/hooked.h"
#include "heap/alloc.h"
#include "heap/free.h"
#include "heap/large.h"
#include "heap/span.h"
#include "interp/current.h"
#include "platform/scarcity.h"

// --- malloc ----------------------------------------------------------------

static void *
alloc_owned(pim_heap *heap, unsigned domain, size_t size, bool zero)
{
    if (size > PIM_SMALL_MAX) {
        void *span = size <= PIM_SPAN_MAX
                         ? pim_span_alloc(heap, domain, size, zero)
                         : NULL;
        return span != NULL ? span : pim_large_alloc(heap, domain, size, zero);
    }
    void *block = pim_heap_alloc(heap, PIM_DOMAIN_INDEX(domain), size);
    if (zero && block != NULL) {
        memset(block, 0, size);
    }
    return block;
}

// Any size, any thread.  NULL: errno says nothing.
static void *
serve(unsigned domain, size_t size, bool zero)
{
    if (pim_gate_is_adrift()) {
        return pim_adrift_malloc(size, zero);
    }
    pim_heap *heap = pim_current_heap();
    size += size == 0;
    if (PIM_LIKELY(!pim_heap_is_process(heap))) {
        return alloc_owned(heap, domain, size, zero);
    }
    pim_gate_enter();
    pim_lock_acquire(&pim_process_lock);
    void *block = alloc_owned(heap, domain, size, zero);
    pim_lock_release(&pim_process_lock);
    pim_gate_exit();
    return block;
}

void *
pim_mem_obj_alloc(unsigned domain, size_t size, bool zero)
{
    return serve(domain, size, zero);
}

static PIM_NOINLINE void *
alloc_any(unsigned domain, size_t size, bool zero)
{
    const pim_request_ops *hooked = pim_hooked_now();
    void *block = PIM_LIKELY(hooked == NULL)
                      ? serve(domain, size, zero)
                      : hooked->alloc(domain, size, zero);
    return PIM_LIKELY(block != NULL) ? block : pim_domain_refuse();
}

// NULL: the fast path does not serve this.
PIM_INLINE void *
pop(unsigned domain, size_t size)
{
    size_t last = size - 1; // size 0 wraps and takes the other path
    pim_heap *heap = pim_current_fast();
    return PIM_LIKELY(heap != NULL && last < PIM_TINY_MAX)
               ? pim_heap_pop(heap, PIM_DOMAIN_INDEX(domain),
                              last / PIM_ALIGNMENT)
               : NULL;
}

PIM_INLINE void *
domain_malloc(unsigned domain, size_t size)
{
    void *block = pop(domain, size);
    return PIM_LIKELY(block != NULL) ? block : alloc_any(domain, size, false);
}

PIM_INLINE void *
domain_calloc(unsigned domain, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return pim_domain_refuse();
    }
    void *block = pop(domain, bytes);
    return PIM_LIKELY(block != NULL) ? memset(block, 0, bytes)
                                     : alloc_any(domain, bytes, true);
}

// --- free ------------------------------------------------------------------

static void
take_back(void *block)
{
    if (pim_gate_is_adrift() && pim_adrift_free(block)) {
        return;
    }
    pim_heap *heap = pim_current_heap();
    if (!pim_region_contains(block)) {
        pim_large_free(heap, block);
        return;
    }
    pim_page *page = pim_page_of(block);
    bool tagged;
    if (PIM_UNLIKELY(pim_page_owner(page, &tagged) != heap ||
                     pim_heap_is_process(heap))) {
        pim_heap_free_remote(page, block);
    } else if (PIM_UNLIKELY(tagged)) {
        pim_heap_free_reclaimed(heap, page, block);
    } else {
        pim_heap_check_block(page, block);
        pim_heap_push(heap, page, PIM_DOMAIN_INDEX(page->domain), block);
    }
}

void
pim_mem_obj_free(unsigned domain, void *block)
{
    (void)domain;
    take_back(block);
}

static PIM_NOINLINE void
free_any(unsigned domain, void *block)
{
    const pim_request_ops *hooked = pim_hooked_now();
    if (PIM_UNLIKELY(hooked != NULL && block != NULL)) {
        hooked->free(domain, block);
    } else if (block != NULL) {
        take_back(block);
    }
}

// One compare with the owner word proves that the block is the caller's, is of
// this domain, that the page holds no orphans, and that its descriptor is the
// one of the block's own unit (the words of a page's further units are 0).
PIM_INLINE void
domain_free(unsigned domain, void *block)
{
    if (PIM_LIKELY(pim_region_main_contains(block))) {
        pim_page *page = pim_main_unit_of(block);
        pim_heap *heap = pim_current_fast();
        if (PIM_LIKELY(heap != NULL &&
                       pim_is_equal_fast(pim_owner_word(heap, domain),
                                         &page->owner))) {
            pim_heap_push(heap, page, PIM_DOMAIN_INDEX(domain), block);
            return;
        }
    }
    free_any(domain, block);
}

// --- realloc ---------------------------------------------------------------

// A map for a block that is being grown; NULL: copying it within the arenas is
// better, or there is no memory.
static void *
alloc_growing_map(unsigned domain, size_t old_size, size_t size)
{
    pim_heap *heap = pim_current_heap();
    return size > old_size && size >= PIM_EXTENT_GROWN_KEPT &&
                   !pim_heap_is_process(heap)
               ? pim_large_alloc_growing(heap, domain, size)
               : NULL;
}

static void *
move_within_limit(unsigned domain, void *block, size_t old_size, size_t size)
{
    void *moved = alloc_growing_map(domain, old_size, size);
    size_t grown = pim_is_limited() ? PIM_SMALL_MAX : PIM_SPAN_GROWN;
    if (moved == NULL && size > old_size && size > grown &&
        size <= PIM_SPAN_MAX) {
        pim_heap *heap = pim_current_heap();
        if (!pim_heap_is_process(heap)) {
            moved = pim_span_alloc_growing(heap, domain, size);
        }
    }
    if (moved == NULL) {
        moved = serve(domain, size, false);
    }
    if (moved != NULL) {
        memcpy(moved, block, old_size < size ? old_size : size);
        domain_free(domain, block);
        return moved;
    }
    return size <= old_size ? block // shrinking needs no memory
                            : pim_domain_refuse();
}

static void *
move(unsigned domain, void *block, size_t old_size, size_t size)
{
    pim_heap *heap = pim_current_heap();
    if (size > old_size || !pim_limit_is_set(&heap->limit)) {
        return move_within_limit(domain, block, old_size, size);
    }
    heap->limit.exempt = true; // less is live afterwards
    void *moved = move_within_limit(domain, block, old_size, size);
    heap->limit.exempt = false;
    return moved;
}

static PIM_NOINLINE void *
realloc_large(unsigned domain, void *block, size_t size)
{
    if (pim_gate_is_adrift()) {
        bool ignored;
        void *moved = pim_adrift_realloc(block, size, &ignored);
        return moved != NULL ? moved : pim_domain_refuse();
    }
    size_t old_size = pim_large_usable(block);
    if (old_size == 0) {
        // Not ours: its size is unknown, so it cannot be moved.
        return pim_domain_refuse();
    }
    void *resized = pim_large_resize(pim_current_heap(), block, size);
    return resized != NULL ? resized : move(domain, block, old_size, size);
}

static PIM_NOINLINE void *
realloc_span(unsigned domain, pim_page *page, void *block, size_t size)
{
    size_t old_size = page->block_size;
    void *moved = alloc_growing_map(domain, old_size, size);
    if (moved != NULL) {
        memcpy(moved, block, old_size);
        domain_free(domain, block);
        return moved;
    }
    return pim_span_resize(pim_current_heap(), page, size)
               ? block
               : move(domain, block, old_size, size);
}

// Of a block that is not NULL.  NULL sets errno.
PIM_INLINE void *
resize(unsigned domain, void *block, size_t size)
{
    if (PIM_UNLIKELY(!pim_region_contains(block))) {
        return realloc_large(domain, block, size);
    }
    pim_page *page = pim_page_of(block);
    size_t old_size = page->block_size;
    size += size == 0;
    if (PIM_UNLIKELY(page->size_class == PIM_CLASS_SPAN)) {
        return realloc_span(domain, page, block, size);
    }
    return size <= old_size && pim_size_suits(old_size, pim_size_served(size))
               ? block
               : move(domain, block, old_size, size);
}

void *
pim_mem_obj_resize(unsigned domain, void *block, size_t size)
{
    return resize(domain, block, size);
}

static PIM_NOINLINE void *
resize_hooked(const pim_request_ops *hooked, unsigned domain, void *block,
              size_t size)
{
    void *resized = hooked->resize(domain, block, size);
    return resized != NULL ? resized : pim_domain_refuse();
}

PIM_INLINE void *
domain_realloc(unsigned domain, void *block, size_t size)
{
    if (PIM_UNLIKELY(block == NULL)) {
        return domain_malloc(domain, size);
    }
    const pim_request_ops *hooked = pim_hooked_now();
    return PIM_LIKELY(hooked == NULL)
               ? resize(domain, block, size)
               : resize_hooked(hooked, domain, block, size);
}

// --- the tables' functions -------------------------------------------------

void *
pim_mem_malloc(void *ctx, size_t size)
{
    (void)ctx;
    return domain_malloc(PIM_MEM, size);
}

void *
pim_mem_calloc(void *ctx, size_t count, size_t size)
{
    (void)ctx;
    return domain_calloc(PIM_MEM, count, size);
}

void *
pim_mem_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return domain_realloc(PIM_MEM, block, size);
}

void
pim_mem_free(void *ctx, void *block)
{
    (void)ctx;
    domain_free(PIM_MEM, block);
}

void *
pim_obj_malloc(void *ctx, size_t size)
{
    (void)ctx;
    return domain_malloc(PIM_OBJ, size);
}

void *
pim_obj_calloc(void *ctx, size_t count, size_t size)
{
    (void)ctx;
    return domain_calloc(PIM_OBJ, count, size);
}

void *
pim_obj_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return domain_realloc(PIM_OBJ, block, size);
}

void
pim_obj_free(void *ctx, void *block)
{
    (void)ctx;
    domain_free(PIM_OBJ, block);
}

// raw_small.c -- the slow paths: bins are filled from the raw heap and emptied
// into it, half at a time, so that a thread that swings around a full or an
// empty bin does not come here each time.

#define _GNU_SOURCE

#include "domain/raw_small.h"

#include <string.h>

#include "heap/alloc.h"
#include "heap/audit.h"
#include "heap/free.h"
#include "heap/purge.h"
#include "heap/remote.h"
#include "interp/current.h"
#include "interp/freeze.h"

#define SLOT                                                                   \
    PIM_DOMAIN_INDEX(PIM_RAW) // the only one of the raw heap's that is used

// A bin holds up to so many blocks and bytes, but two blocks in any case: 325
// KiB for a thread that uses all classes.  With half the bytes for the tiny
// ones, two threads that replace 1,000 blocks of 16 to 512 bytes each, at
// random, meet at the lock so often that a block takes up to 19 ns instead of
// 8.
#define BIN_BLOCKS 32
#define BIN_BYTES_TINY 8192
#define BIN_BYTES 4096

pim_heap pim_raw_heap;
PIM_TLS pim_raw_self pim_raw_mine;
_Atomic uintptr_t pim_raw_fast_owner = PIM_OWNER_NOBODY;

static PIM_LOCK_SPIN(raw_lock); // owner of pim_raw_heap; see lock.h
static pim_raw_block bottoms[PIM_RAW_CLASSES]; // constant once started

static void
lock(void)
{
    pim_gate_enter();
    pim_lock_acquire(&raw_lock);
}

// Whoever comes here sees to the return of idle memory: what threads keep
// serves most requests, so the heap itself may be asked for nothing more.
static void
unlock(void)
{
    pim_heap_purge_if_due(&pim_raw_heap);
    pim_lock_release(&raw_lock);
    pim_gate_exit();
}

// --- the raw heap ----------------------------------------------------------
//
// All under the lock.

static void *
heap_take(unsigned size_class)
{
    pim_heap *heap = &pim_raw_heap;
    void *block = pim_heap_pop(heap, SLOT, size_class);
    if (block == NULL) {
        block = pim_heap_alloc_slow(heap, SLOT, size_class);
    }
    return block;
}

static void
heap_give(void *block)
{
    pim_page *page = pim_page_of(block);
    PIM_CHECK(pim_page_used(page) != 0, "a raw block was freed twice", block);
    pim_heap_push(&pim_raw_heap, page, SLOT, block);
}

// --- caches ----------------------------------------------------------------

static void
fill(pim_raw_cache *cache, unsigned size_class, size_t blocks)
{
    pim_raw_block **bin = &cache->bin[size_class];
    for (; blocks > 0; blocks--) {
        pim_raw_block *block = pim_heap_pop(&pim_raw_heap, SLOT, size_class);
        if (block == NULL) {
            break; // what its page has at hand is enough
        }
        block->next = *bin;
        block->room = (*bin)->room - 1;
        *bin = block;
    }
}

// Gives a bin back but for the `keep` blocks that were freed last.
static void
flush(pim_raw_cache *cache, unsigned size_class, size_t keep)
{
    pim_raw_block **link = &cache->bin[size_class];
    size_t room = bottoms[size_class].room - keep;
    for (; keep > 0 && (*link)->next != NULL; keep--) {
        (*link)->room = room++;
        link = &(*link)->next;
    }
    pim_raw_block *block = *link;
    *link = &bottoms[size_class];
    while (block->next != NULL) {
        pim_raw_block *next = block->next;
        heap_give(block);
        block = next;
    }
}

static void
flush_all(pim_raw_cache *cache)
{
    for (unsigned c = 0; c < PIM_RAW_CLASSES; c++) {
        flush(cache, c, 0);
    }
}

// Caches stay with their records, so blocks of the raw heap serve.
static pim_raw_cache *
new_cache(void)
{
    size_t bytes = sizeof(pim_raw_cache) + PIM_CACHE_LINE - PIM_ALIGNMENT;
    void *block = heap_take(pim_size_class(bytes));
    if (block == NULL) {
        return NULL;
    }
    pim_raw_cache *cache =
        (void *)pim_align_up((uintptr_t)block, PIM_CACHE_LINE);
    for (unsigned c = 0; c < PIM_RAW_CLASSES; c++) {
        cache->bin[c] = &bottoms[c];
    }
    return cache;
}

// The calling thread's cache, which it may get here; NULL: it has no record, it
// is about to end, or there is no memory.
static pim_raw_cache *
own_cache(void)
{
    pim_thread *self = pim_gate_self.thread;
    if (pim_raw_mine.cache != NULL || self == NULL ||
        !pim_gate_will_tell_exit()) {
        return pim_raw_mine.cache;
    }
    if (self->raw_cache == NULL) {
        self->raw_cache = new_cache();
    }
    if (self->raw_cache != NULL) {
        pim_raw_mine = (pim_raw_self){self->raw_cache, &self->tally};
    }
    return self->raw_cache;
}

// Inside the gate.
static void
thread_exits(void)
{
    if (pim_raw_mine.cache != NULL) {
        lock();
        flush_all(pim_raw_mine.cache);
        unlock();
        pim_raw_mine = (pim_raw_self){.cache = NULL};
    }
}

void
pim_raw_small_start(void)
{
    pim_heap *heap = &pim_raw_heap;
    if (pim_load_relaxed(&heap->serial) != 0) {
        return;
    }
    pim_heap_open(heap);
    heap->id = PIM_PROCESS_ID;
    strcpy(heap->name, "pimalloc:raw");
    for (unsigned c = 0; c < PIM_RAW_CLASSES; c++) {
        size_t bytes = c < PIM_TINY_CLASSES ? BIN_BYTES_TINY : BIN_BYTES;
        size_t n = bytes / pim_classes[c].block_size;
        bottoms[c].room = n > BIN_BLOCKS ? BIN_BLOCKS : n < 2 ? 2 : n;
    }
    PIM_ASSERT(pim_size_class(PIM_RAW_SMALL_MAX) == PIM_RAW_CLASSES - 1);
    pim_store_release(&pim_gate_on_thread_exit[PIM_EXIT_RAW], thread_exits);
    pim_store_release(&heap->serial, 1);
    pim_raw_small_expose(!pim_load_relaxed(&pim_hooked_process));
}

void
pim_raw_small_expose(bool fast)
{
    pim_store_relaxed(&pim_raw_fast_owner,
                      fast ? pim_owner_word(&pim_raw_heap, PIM_RAW)
                           : PIM_OWNER_NOBODY);
}

// --- requests --------------------------------------------------------------

void *
pim_raw_small_alloc(unsigned size_class)
{
    lock();
    pim_raw_cache *cache = own_cache();
    void *block = heap_take(size_class);
    if (block != NULL) {
        if (cache != NULL && cache->bin[size_class]->next == NULL) {
            fill(cache, size_class, bottoms[size_class].room / 2);
        }
        pim_raw_count_alloc(pim_classes[size_class].block_size);
    }
    unlock();
    return block;
}

void
pim_raw_small_free(pim_page *page, void *block)
{
    PIM_CHECK(pim_raw_small_owns(page), "raw free of a block that is not raw's",
              block);
    unsigned size_class = page->size_class;
    lock();
    pim_raw_cache *cache = own_cache();
    if (cache != NULL && cache->bin[size_class]->room == 0) {
        flush(cache, size_class, bottoms[size_class].room / 2);
    }
    if (pim_raw_cache_push(page, block)) {
        pim_tally_fold(pim_raw_mine.tally);
    } else {
        pim_raw_count_free(page->block_size);
        heap_give(block);
    }
    unlock();
}

size_t
pim_raw_small_trim(void)
{
    size_t bytes = 0;
    if (pim_load_acquire(&pim_raw_heap.serial) != 0) {
        lock();
        if (pim_raw_mine.cache != NULL) {
            flush_all(pim_raw_mine.cache);
        }
        pim_heap_drain(&pim_raw_heap);
        bytes = pim_heap_purge(&pim_raw_heap, true);
        unlock();
    }
    return bytes;
}

void
pim_raw_small_tick(void)
{
    if (pim_load_acquire(&pim_raw_heap.serial) != 0) {
        lock();
        pim_heap_drain(&pim_raw_heap);
        pim_heap_purge(&pim_raw_heap, false);
        unlock();
    }
}

void
pim_raw_small_freeze(void)
{
    if (pim_load_acquire(&pim_raw_heap.serial) != 0) {
        lock();
        if (pim_raw_mine.cache != NULL) {
            flush_all(pim_raw_mine.cache);
        }
        pim_heap_freeze(&pim_raw_heap);
        unlock();
    }
}

static size_t
audit_bin(const pim_raw_block *block, unsigned size_class)
{
    size_t n = 0;
    for (; block->next != NULL; block = block->next, n++) {
        const pim_page *page = pim_page_of(block);
        PIM_CHECK(pim_raw_small_owns(page) && page->size_class == size_class,
                  "RAW-2: a block is in a bin of another class", block);
        PIM_CHECK(block->room + 1 == block->next->room,
                  "RAW-2: a bin's blocks are not counted right", block);
    }
    PIM_CHECK(block == &bottoms[size_class], "RAW-2: a bin has no bottom",
              block);
    return n;
}

size_t
pim_raw_small_audit(void)
{
    size_t n = 0;
    lock();
    pim_heap_audit(&pim_raw_heap);
    for (const pim_thread *t = pim_gate_records(); t != NULL; t = t->next) {
        for (unsigned c = 0; c < PIM_RAW_CLASSES && t->raw_cache != NULL; c++) {
            n += audit_bin(t->raw_cache->bin[c], c);
        }
    }
    unlock();
    return n;
}

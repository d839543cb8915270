// poison_extent.c -- large blocks that ended interpreters left and nobody may
// use.
//
// Their headers are gone with their memory, so what is to be known of them is
// in records out of line: by address for a late free, all in a list for the
// handler.
//
// A thread that is about to free such a block may have found its header before
// there was a record.  So the memory goes a grace period after the record is
// there.
//
// Records are written under the process heap's lock, read at any time, and
// never unmapped.

#include "abandoned/poison_extent.h"

#include <string.h>

#include "base/bits.h"
#include "platform/os.h"

// Each may be one of the maps that the system lets a process have; more are
// kept.
#define RECORDS_MAX 8192

#define BUCKET_BITS 10

typedef struct record {
    _Atomic(const char *) block; // NULL: it is in the pool
    pim_poisoned_block about;
    const void *waits; // retires, and the memory is still there; or NULL
    char *map;
    size_t map_bytes;
    struct record *next_in_bucket; // or in the pool
    struct record *next;           // of all
} record;

_Atomic uint64_t pim_poisoned_extents;

static _Atomic(record *) all;
static record *pool;
static record *buckets[1 << BUCKET_BITS];

static record **
bucket_of(const void *block)
{
    uint64_t key = (uint64_t)(uintptr_t)block / 4096;
    return &buckets[pim_hash(key, BUCKET_BITS)];
}

static record *
take_record(void)
{
    if (pool == NULL) {
        size_t bytes = pim_os_page_size();
        record *chunk = pim_os->map(bytes);
        for (size_t i = 0; chunk != NULL && i < bytes / sizeof(*chunk); i++) {
            chunk[i].next = pim_load_relaxed(&all);
            pim_store_release(&all, &chunk[i]);
            chunk[i].next_in_bucket = pool;
            pool = &chunk[i];
        }
    }
    record *r = pool;
    if (r != NULL) {
        pool = r->next_in_bucket;
    }
    return r;
}

bool
pim_poison_extent(const void *heap, const pim_extent *map,
                  const pim_poisoned_block *about)
{
    record *r = pim_load_relaxed(&pim_poisoned_extents) < RECORDS_MAX
                    ? take_record()
                    : NULL;
    if (r == NULL) {
        return false;
    }
    pim_add_relaxed(&pim_poisoned.poisoned_blocks, 1);
    pim_add_relaxed(&pim_poisoned.poisoned_bytes, about->bytes);
    r->about = *about;
    r->waits = heap;
    r->map = map->start;
    r->map_bytes = map->bytes;
    record **bucket = bucket_of(about->start);
    r->next_in_bucket = *bucket;
    *bucket = r;
    pim_store_release(&r->block, about->start);
    pim_add_relaxed(&pim_poisoned_extents, 1);
    return true;
}

void
pim_poison_extents_finish(const void *heap)
{
    for (record *r = pim_load_relaxed(&all); r != NULL; r = r->next) {
        if (r->waits != heap) {
            continue;
        }
        r->waits = NULL;
        if (pim_load_relaxed(&r->block) != NULL &&
            pim_os->decommit(r->map, r->map_bytes) != 0) {
            pim_os->reset(r->map, r->map_bytes); // noticed by nobody
        }
    }
}

static record *
unlink_record(const void *block)
{
    record **at = bucket_of(block);
    while (*at != NULL && pim_load_relaxed(&(*at)->block) != block) {
        at = &(*at)->next_in_bucket;
    }
    record *r = *at;
    if (r != NULL) {
        *at = r->next_in_bucket;
        pim_store_relaxed(&r->block, NULL);
        r->next_in_bucket = pool;
        pool = r;
    }
    return r;
}

bool
pim_poison_free_extent(void *block)
{
    record *r = unlink_record(block);
    if (r != NULL) {
        pim_sub_relaxed(&pim_poisoned_extents, 1);
        pim_sub_relaxed(&pim_poisoned.poisoned_blocks, 1);
        pim_sub_relaxed(&pim_poisoned.poisoned_bytes, r->about.bytes);
        pim_add_relaxed(&pim_poisoned.late_frees, 1);
        pim_os->unmap(r->map, r->map_bytes);
        r->waits = NULL;
    }
    return r != NULL;
}

bool
pim_poison_find_extent(const void *address, pim_poisoned_block *about)
{
    const record *r = pim_load_acquire(&all);
    for (; r != NULL; r = r->next) {
        if (pim_load_acquire(&r->block) != NULL &&
            (uintptr_t)address - (uintptr_t)r->map < r->map_bytes) {
            *about = r->about;
            return true;
        }
    }
    return false;
}

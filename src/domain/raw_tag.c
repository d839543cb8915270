// raw_tag.c -- tags at the ends of blocks; see raw_tag.h.
//
//   63             32 31              0
//  | check           | life of a heap  |  0: of no interpreter (lives.h)

#define _GNU_SOURCE

#include "domain/raw_tag.h"

#include <string.h>
#include <sys/auxv.h>

#include "domain/raw_count.h"
#include "heap/remote.h"
#include "heap/sampled.h"
#include "interp/lives.h"

#define WHO_BITS 32

_Static_assert(WHO_BITS == 8 * sizeof(pim_process_heap.life),
               "a life's number fits");

static uint64_t secret;

// Random bytes that the kernel gave the process.
void
pim_raw_tag_start(void)
{
    const void *random = (const void *)getauxval(AT_RANDOM);
    if (random != NULL) {
        memcpy(&secret, random, sizeof(secret));
    }
}

static uint32_t
who_of(pim_raw_tag tag)
{
    return (uint32_t)tag;
}

static pim_raw_tag
tag_of(const void *block, uint32_t who)
{
    uint64_t x = ((uint64_t)(uintptr_t)block >> 4 ^ secret) +
                 who * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    return (x * UINT64_C(0xd6e8feb86659fd93) >> WHO_BITS << WHO_BITS) | who;
}

static char *
place_of(void *block, size_t bytes)
{
    return (char *)block + bytes - PIM_RAW_TAG_BYTES;
}

void
pim_raw_tag_restore(void *block, size_t bytes, pim_raw_tag tag)
{
    if (tag != PIM_RAW_NO_TAG) {
        memcpy(place_of(block, bytes), &tag, sizeof(tag));
    }
}

pim_raw_tag
pim_raw_tag_take(void *block, size_t bytes)
{
    pim_raw_tag tag;
    if (bytes < PIM_RAW_TAG_BYTES) {
        return PIM_RAW_NO_TAG;
    }
    char *place = place_of(block, bytes);
    memcpy(&tag, place, sizeof(tag));
    if (tag != tag_of(block, who_of(tag))) {
        return PIM_RAW_NO_TAG;
    }
    memset(place, 0, sizeof(tag));
    return tag;
}

void
pim_raw_tag_put(pim_heap *heap, void *block, size_t bytes)
{
    size_t usable = bytes - PIM_RAW_TAG_BYTES;
    uint32_t who = heap != NULL ? pim_load_relaxed(&heap->life) : 0;
    if (who != 0) {
        pim_account_add(&heap->account[PIM_DOMAIN_INDEX(PIM_RAW)],
                        PIM_CLASS_LARGE, usable);
        pim_heap_skip_sample(heap, PIM_RAW); // no header could bear a mark
    } else {
        pim_raw_count_alloc(usable);
    }
    pim_raw_tag_restore(block, bytes, tag_of(block, who));
}

// Of a heap whose life is over the process took the account over.
static void
uncount(const pim_heap *caller, uint32_t life, size_t bytes)
{
    pim_gate_enter();
    pim_heap *heap = pim_life_heap(life);
    uint64_t serial = heap != NULL ? pim_load_relaxed(&heap->serial) : 0;
    if (serial == 0) { // is about to be over
        heap = &pim_process_heap;
    }
    pim_heap_uncount(caller, heap, serial, PIM_RAW, bytes);
    pim_gate_exit();
}

void
pim_raw_tag_uncount(const pim_heap *caller, pim_raw_tag tag, size_t bytes)
{
    uint32_t who = who_of(tag);
    size_t usable = bytes - PIM_RAW_TAG_BYTES;
    if (tag == PIM_RAW_NO_TAG) {
        return;
    }
    if (who == 0) {
        pim_raw_count_free(usable);
    } else {
        uncount(caller, who, usable);
    }
}

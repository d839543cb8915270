// binding.c -- see binding.h.

#include "interp/binding.h"

#include <string.h>

#include "base/bits.h"
#include "platform/os.h"

#define BUCKET_BITS 8

pim_bindings pim_registry;

static PIM_LOCK(registry_lock);
static pim_binding *buckets[1 << BUCKET_BITS];
static pim_binding *pool;

void
pim_registry_lock(void)
{
    pim_gate_enter();
    pim_lock_acquire(&registry_lock);
}

void
pim_registry_unlock(void)
{
    pim_lock_release(&registry_lock);
    pim_gate_exit();
}

pim_binding *
pim_binding_take(void)
{
    if (pool == NULL) {
        size_t bytes = pim_os_page_size();
        pim_binding *chunk = pim_os->map(bytes);
        for (size_t i = 0; chunk != NULL && i < bytes / sizeof(*chunk); i++) {
            chunk[i].next = pool;
            pool = &chunk[i];
        }
    }
    pim_binding *b = pool;
    if (b != NULL) {
        pool = b->next;
    }
    return b;
}

void
pim_binding_give(pim_binding *b)
{
    b->next = pool;
    pool = b;
}

static pim_binding **
bucket_of(const void *interp)
{
    uint64_t key = (uint64_t)(uintptr_t)interp >> 4;
    return &buckets[pim_hash(key, BUCKET_BITS)];
}

pim_binding *
pim_binding_find(const void *interp)
{
    pim_binding *b = *bucket_of(interp);
    while (b != NULL && b->interp != interp) {
        b = b->next;
    }
    return b;
}

void
pim_binding_link(pim_binding *b)
{
    pim_binding **bucket = bucket_of(b->interp);
    b->next = *bucket;
    *bucket = b;
    b->younger = NULL;
    b->older = pim_registry.youngest;
    if (pim_registry.youngest != NULL) {
        pim_registry.youngest->younger = b;
    } else {
        pim_registry.oldest = b;
    }
    pim_registry.youngest = b;
}

void
pim_binding_unlink(pim_binding *b)
{
    pim_binding **at = bucket_of(b->interp);
    while (*at != b) {
        at = &(*at)->next;
    }
    *at = b->next;
    if (b->older != NULL) {
        b->older->younger = b->younger;
    } else {
        pim_registry.oldest = b->younger;
    }
    if (b->younger != NULL) {
        b->younger->older = b->older;
    } else {
        pim_registry.youngest = b->older;
    }
}

// Ids may repeat: the newest wins.  Under the lock.
const pim_binding *
pim_binding_of_id(int64_t id)
{
    const pim_binding *b = pim_registry.youngest;
    while (b != NULL && b->id != id) {
        b = b->older;
    }
    return b;
}

void
pim_binding_forget_all(void)
{
    memset(buckets, 0, sizeof(buckets));
    pim_registry.oldest = pim_registry.youngest = pool = NULL;
}

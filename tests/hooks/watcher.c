// watcher.c -- see watcher.h.

#include "hooks/watcher.h"

#include <string.h>

#include "support/expect.h"

static void **
place_of(watcher *w, const void *block)
{
    for (unsigned i = 0; i < WATCHER_BLOCKS; i++) {
        if (w->block[i] == block) {
            return &w->block[i];
        }
    }
    return NULL;
}

static void
lock(watcher *w)
{
    while (atomic_flag_test_and_set(&w->lock)) {
    }
}

static void
unlock(watcher *w)
{
    atomic_flag_clear(&w->lock);
}

static void
note(watcher *w, void *old, void *new)
{
    lock(w);
    if (old != NULL) {
        void **place = place_of(w, old);
        if (place != NULL) {
            *place = NULL;
            w->live--;
        } else {
            w->unknown++;
        }
    }
    if (new != NULL) {
        void **place = place_of(w, NULL);
        if (place != NULL) {
            *place = new;
            w->live++;
        }
    }
    unlock(w);
}

static void *
see_alloc(void *ctx, const pimalloc_next *next, size_t size, int zero)
{
    watcher *w = ctx;
    w->allocs++;
    w->zeroed += zero != 0;
    w->interp = pimalloc_next_interp(next);
    w->domains[pimalloc_next_domain(next)] = 1;
    void *block = pimalloc_next_alloc(next, size, zero);
    note(w, NULL, block);
    return block;
}

static void *
see_resize(void *ctx, const pimalloc_next *next, void *block, size_t size)
{
    watcher *w = ctx;
    w->resizes++;
    void *resized = pimalloc_next_resize(next, block, size);
    if (resized != NULL) {
        note(w, block, resized);
    }
    return resized;
}

static void
see_free(void *ctx, const pimalloc_next *next, void *block)
{
    watcher *w = ctx;
    w->frees++;
    note(w, block, NULL);
    pimalloc_next_free(next, block);
}

static void
see_born(void *ctx, int64_t interp)
{
    ((watcher *)ctx)->born++;
    ((watcher *)ctx)->interp = interp;
}

static void
see_ended(void *ctx, int64_t interp, int kept)
{
    (void)kept;
    ((watcher *)ctx)->ended++;
    ((watcher *)ctx)->interp = interp;
}

static void
see_forked(void *ctx)
{
    ((watcher *)ctx)->forked++;
}

void
watcher_begin(watcher *w, int64_t interp)
{
    memset(w, 0, sizeof(*w));
    pimalloc_hook hook = {.size = sizeof(hook),
                          .name = "watcher",
                          .ctx = w,
                          .alloc = see_alloc,
                          .resize = see_resize,
                          .free = see_free,
                          .interp_born = see_born,
                          .interp_ended = see_ended,
                          .forked = see_forked};
    w->handle = pimalloc_hook_push(&hook, interp);
    EXPECT(w->handle > 0);
}

void
watcher_end(watcher *w)
{
    EXPECT_EQ(pimalloc_hook_pop(w->handle), 0);
}

bool
watcher_has(watcher *w, const void *block)
{
    lock(w);
    bool found = place_of(w, block) != NULL;
    unlock(w);
    return found;
}

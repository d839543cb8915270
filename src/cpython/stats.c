// stats.c -- the figures of pimalloc.h.

#include "cpython/stats.h"

#include <errno.h>

#include "domain/domain.h"
#include "domain/raw_small.h"
#include "heap/registry.h"

_Static_assert(PIMALLOC_PROCESS == PIM_PROCESS_ID &&
                   PIMALLOC_DOMAINS == (int)PIM_DOMAINS,
               "the public constants are the internal ones");

size_t
pimalloc_interpreters(int64_t *ids, size_t capacity)
{
    return pim_registry_ids(ids, capacity);
}

// Raw's live figures may be negative (raw.c).
static uint64_t
not_negative(uint64_t n)
{
    return n <= INT64_MAX ? n : 0;
}

// Blocks that were in no interpreter's account, beside what ended ones left.
static void
add_raw(pimalloc_usage *out)
{
    pim_raw_usage raw;
    pim_raw_figures(&raw);
    out->live_bytes += not_negative(raw.live_bytes);
    out->live_blocks += not_negative(raw.live_blocks);
    out->peak_bytes += raw.peak_bytes;
    out->peak_blocks += raw.peak_blocks;
}

// The process answers for what the raw heap holds, too.
static void
add_raw_heap(pimalloc_snapshot *out)
{
    pim_figures raw;
    pim_heap_figures(&pim_raw_heap, &raw);
    out->arenas += raw.arenas;
    out->pages += raw.pages;
    out->committed_bytes += raw.committed_bytes;
}

static void
copy_figures(const pim_figures *in, pimalloc_snapshot *out)
{
    *out = (pimalloc_snapshot){
        .size = sizeof(*out),
        .interp = in->id,
        .state = in->ended ? PIMALLOC_ENDED : PIMALLOC_ALIVE,
        .generation = in->generation,
        .arenas = in->arenas,
        .pages = in->pages,
        .committed_bytes = in->committed_bytes,
        .remote_frees = in->remote_frees,
    };
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        out->domain[PIM_SLOT_DOMAIN(slot)] = (pimalloc_usage){
            .live_bytes = in->slot[slot].live_bytes,
            .live_blocks = in->slot[slot].live_blocks,
            .peak_bytes = in->slot[slot].peak_bytes,
            .peak_blocks = in->slot[slot].peak_blocks,
        };
    }
    if (in->id == PIM_PROCESS_ID) {
        add_raw(&out->domain[PIM_RAW]);
        add_raw_heap(out);
        out->raw_is_libc = pim_raw_get_source() == PIM_RAW_LIBC;
    }
}

int
pimalloc_stats(int64_t interp, pimalloc_snapshot *out)
{
    pim_figures figures;
    if (out == NULL || out->size != sizeof(*out)) {
        return -EINVAL;
    }
    if (pim_region.base == NULL || !pim_registry_figures(interp, &figures)) {
        return -ENOENT;
    }
    copy_figures(&figures, out);
    return 0;
}

typedef struct collection {
    pimalloc_snapshot *out;
    size_t capacity;
    size_t count;
} collection;

static void
collect(void *arg, const pim_figures *figures)
{
    collection *c = arg;
    if (c->count < c->capacity) {
        copy_figures(figures, &c->out[c->count]);
    }
    c->count++;
}

size_t
pim_stats_all(pimalloc_snapshot *out, size_t capacity)
{
    collection c = {.out = out, .capacity = capacity};
    pim_registry_each(collect, &c);
    return c.count;
}

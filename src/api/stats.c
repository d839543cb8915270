// stats.c -- the figures of pimalloc.h.

#include "api/stats.h"

#include <errno.h>

#include "account/ledger.h"
#include "domain/domain.h"
#include "domain/raw_small.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "pimalloc/tenants.h"

_Static_assert(PIMALLOC_PROCESS == PIM_PROCESS_ID &&
                   PIMALLOC_DOMAINS == (int)PIM_DOMAINS,
               "the public constants are the internal ones");

const char *const pim_domain_names[PIMALLOC_DOMAINS] = {"raw", "mem", "obj"};

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

static pimalloc_usage
usage_of(const pim_usage *in)
{
    return (pimalloc_usage){
        .live_bytes = in->live_bytes,
        .live_blocks = in->live_blocks,
        .peak_bytes = in->peak_bytes,
        .peak_blocks = in->peak_blocks,
        .total_bytes = in->total_bytes,
        .total_blocks = in->total_blocks,
    };
}

// Blocks that were in no interpreter's account, beside what ended ones left.
static void
add_raw(pimalloc_usage *out)
{
    pim_usage raw;
    pim_raw_figures(&raw);
    out->live_bytes += not_negative(raw.live_bytes);
    out->live_blocks += not_negative(raw.live_blocks);
    out->peak_bytes += raw.peak_bytes;
    out->peak_blocks += raw.peak_blocks;
    out->total_bytes += raw.total_bytes;
    out->total_blocks += raw.total_blocks;
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
        .parent = in->parent,
        .tree_bytes = in->tree_bytes,
    };
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        out->domain[PIM_INDEX_DOMAIN(domain_index)] =
            usage_of(&in->by_domain[domain_index]);
    }
    if (in->id == PIM_PROCESS_ID) {
        add_raw(&out->domain[PIM_RAW]);
        out->tree_bytes = 0; // it has no limit
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

// Raw blocks of nobody's have no account by class.  Those in the raw heap are
// counted there, with what threads have at hand.
static void
add_raw_classes(pim_class_figures *out)
{
    pim_class_figures raw;
    pim_heap_class_figures(&pim_raw_heap, PIM_DOMAIN_INDEX(PIM_RAW), &raw);
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        out->live[c] += raw.live[c];
        out->peak[c] += raw.peak[c];
        out->total[c] += raw.total[c];
    }
}

int
pimalloc_classes(int64_t interp, int domain, pimalloc_class *out,
                 size_t capacity)
{
    pim_class_figures figures;
    if (domain < PIM_RAW || domain >= PIM_DOMAINS ||
        (capacity != 0 && (out == NULL || out->size != sizeof(*out)))) {
        return -EINVAL;
    }
    if (pim_region.base == NULL) {
        return -ENOENT;
    }
    if (!pim_registry_class_figures(interp, PIM_DOMAIN_INDEX((unsigned)domain),
                                    &figures)) {
        return -ENOENT;
    }
    if (interp == PIM_PROCESS_ID && domain == PIM_RAW) {
        add_raw_classes(&figures);
    }
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES && c < capacity; c++) {
        pim_usage usage = pim_class_usage(&figures, c);
        out[c] = (pimalloc_class){
            .size = sizeof(*out),
            .block_bytes = c < PIM_CLASSES ? pim_classes[c].block_size : 0,
            .usage = usage_of(&usage),
        };
    }
    return PIM_ACCOUNT_CLASSES;
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

// stats.c -- the figures of pimalloc.h, and the table for people.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpython/api.h"
#include "cpython/table.h"
#include "cpython/tstate.h"
#include "domain/domain.h"
#include "heap/registry.h"
#include "pimalloc/pimalloc.h"

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

static void
copy_raw(pimalloc_usage *out)
{
    pim_raw_usage raw;
    pim_raw_figures(&raw);
    out->live_bytes = not_negative(raw.live_bytes);
    out->live_blocks = not_negative(raw.live_blocks);
    out->peak_bytes = raw.peak_bytes;
    out->peak_blocks = raw.peak_blocks;
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
        out->domain[slot + PIM_MEM] = (pimalloc_usage){
            .live_bytes = in->slot[slot].live_bytes,
            .live_blocks = in->slot[slot].live_blocks,
            .peak_bytes = in->slot[slot].peak_bytes,
            .peak_blocks = in->slot[slot].peak_blocks,
        };
    }
    if (in->id == PIM_PROCESS_ID) {
        copy_raw(&out->domain[PIM_RAW]);
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

// --- the table -------------------------------------------------------------

// A number with separators between thousands; room for any uint64_t.
typedef struct number_text {
    char text[32];
} number_text;

static number_text
grouped(uint64_t n)
{
    number_text out;
    char digits[24];
    int length =
        snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    char *to = out.text;
    for (int i = 0; i < length; i++) {
        if (i != 0 && (length - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

static void
print_usage(FILE *out, const char *who, const char *domain,
            const pimalloc_usage *u)
{
    fprintf(out, "%-16s %-4s %16s %12s %16s %12s\n", who, domain,
            grouped(u->live_bytes).text, grouped(u->live_blocks).text,
            grouped(u->peak_bytes).text, grouped(u->peak_blocks).text);
}

static void
print_snapshot(FILE *out, const pimalloc_snapshot *s)
{
    static const char *const names[PIMALLOC_DOMAINS] = {"raw", "mem", "obj"};
    char who[32];
    if (s->interp == PIMALLOC_PROCESS) {
        snprintf(who, sizeof(who), "process");
    } else {
        snprintf(who, sizeof(who), "interp %lld%s", (long long)s->interp,
                 s->state == PIMALLOC_ENDED ? " ended" : "");
    }
    bool is_process = s->interp == PIMALLOC_PROCESS;
    for (unsigned d = is_process ? PIMALLOC_RAW : PIMALLOC_MEM;
         d < PIMALLOC_DOMAINS; d++) {
        print_usage(out, who, names[d], &s->domain[d]);
        who[0] = '\0';
    }
    fprintf(out,
            "%16s %s arenas, %s pages, %s bytes committed, %s remote frees\n",
            "", grouped(s->arenas).text, grouped(s->pages).text,
            grouped(s->committed_bytes).text, grouped(s->remote_frees).text);
}

static void
print_one(FILE *out, int64_t interp)
{
    pimalloc_snapshot s = {.size = sizeof(s)};
    if (pimalloc_stats(interp, &s) == 0) {
        print_snapshot(out, &s);
    }
}

void
pimalloc_stats_print(FILE *out)
{
    if (out == NULL) {
        out = stderr;
    }
    if (pim_region.base == NULL) {
        fprintf(out, "pimalloc: not installed, so there are no figures\n");
        return;
    }
    fprintf(out, "pimalloc %d.%d.%d, %s, thread state: %s\n",
            PIMALLOC_VERSION_MAJOR, PIMALLOC_VERSION_MINOR,
            PIMALLOC_VERSION_PATCH,
            pim_table_is_installed() ? "active" : "not active any more",
            pim_tstate_describe());
    fprintf(out, "%-16s %-4s %16s %12s %16s %12s\n", "interpreter", "dom",
            "live bytes", "live blocks", "peak bytes", "peak blocks");

    // From the C library, not from a domain that is being reported.
    size_t known = pimalloc_interpreters(NULL, 0);
    int64_t *ids = calloc(known + 1, sizeof(*ids));
    if (ids != NULL) {
        size_t n = pimalloc_interpreters(ids, known);
        for (size_t i = 0; i < (n < known ? n : known); i++) {
            print_one(out, ids[i]);
        }
        free(ids);
    }
    print_one(out, PIMALLOC_PROCESS);
    if (pim_raw_get_source() == PIM_RAW_LIBC) {
        fprintf(out,
                "raw is served by libc's malloc: this Python swaps its raw "
                "allocator at times, so raw figures are approximate\n");
    }
    uint64_t foreign = pim_load_relaxed(&pim_foreign_frees);
    if (foreign != 0) {
        fprintf(out, "%s blocks of other allocators were left alone\n",
                grouped(foreign).text);
    }
}

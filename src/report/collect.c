// collect.c -- the figures of a report.

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/stats.h"
#include "cpython/bind.h"
#include "cpython/identity.h"
#include "cpython/symbols.h"
#include "cpython/table.h"
#include "cpython/tstate.h"
#include "domain/domain.h"
#include "heap/large.h"
#include "interp/registry.h"
#include "mi/mi.h"
#include "report/report.h"

static pim_version_text
version_text(int version)
{
    pim_version_text out = {""};
    if (version > 0) {
        snprintf(out.text, sizeof(out.text), "%d.%d.%d",
                 PIM_VERSION_PARTS(version));
    }
    return out;
}

// From PY_VERSION_HEX; 0 is no CPython.
static pim_version_text
python_text(unsigned long hex)
{
    pim_version_text out = {""};
    unsigned level = (unsigned)(hex >> 4 & 0xf);
    const char *stage = level == 0xa   ? "a"
                        : level == 0xb ? "b"
                        : level == 0xc ? "rc"
                                       : "";
    if (hex != 0) {
        int n = snprintf(out.text, sizeof(out.text), "%lu.%lu.%lu%s", hex >> 24,
                         hex >> 16 & 0xff, hex >> 8 & 0xff, stage);
        if (*stage != '\0') {
            snprintf(out.text + n, sizeof(out.text) - (size_t)n, "%lu",
                     hex & 0xf);
        }
    }
    return out;
}

// Interpreters may be born between counting and copying.
static int
collect_interps(pim_report *report)
{
    size_t room = 0;
    size_t known = pim_stats_all(NULL, 0);
    while (known > room) {
        free(report->interps);
        room = known + 8;
        report->interps = calloc(room, sizeof(*report->interps));
        if (report->interps == NULL) {
            return -ENOMEM;
        }
        known = pim_stats_all(report->interps, room);
    }
    report->count = known;
    return 0;
}

int
pim_report_collect(pim_report *report)
{
    pim_tstate_threads threads = pim_tstate_count();
    *report = (pim_report){
        .installed = pim_region.base != NULL,
        .active = pimalloc_active() == 1,
        .raw_is_anothers = pim_interp_is_served() && !pim_table_was_reset() &&
                           !pim_identity_raw_is_ours(),
        .raw_is_ours = pim_raw_get_source() == PIM_RAW_OWN,
        .raw_source = pim_raw_source_name(),
        .raw_is_bypassed = pim_py_swaps_raw(),
        .reads_word = pim_tstate_is_word(),
        .reason = pim_tstate_describe(),
        .word_threads = threads.by_word,
        .call_threads = threads.by_call,
        .pimalloc = version_text(pimalloc_version()),
        .mimalloc = version_text(pim_mi_version()),
        .python = python_text(pim_py.hexversion),
        .pid = (long)getpid(),
        .region_bytes = pim_region_bytes(),
        .foreign_frees = pim_load_relaxed(&pim_foreign_frees),
        .process = {.size = sizeof(report->process)},
    };
    if (!report->installed) {
        return 0;
    }
    int err = collect_interps(report);
    return err != 0 ? err : pimalloc_stats(PIMALLOC_PROCESS, &report->process);
}

void
pim_report_release(pim_report *report)
{
    free(report->interps);
    report->interps = NULL;
    report->count = 0;
}

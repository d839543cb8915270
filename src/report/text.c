// text.c -- the table for people.

#include "report/report.h"

static void
put_count(pim_out *out, const char *before, uint64_t n, const char *noun)
{
    pim_out_text(out, before);
    pim_out_count(out, n, noun);
}

static void
put_usage(pim_out *out, const char *who, const char *domain,
          const pimalloc_usage *u)
{
    pim_out_printf(out, "%-16s %-4s %16s %12s %16s %12s %18s %14s\n", who,
                   domain, pim_number_grouped(u->live_bytes).text,
                   pim_number_grouped(u->live_blocks).text,
                   pim_number_grouped(u->peak_bytes).text,
                   pim_number_grouped(u->peak_blocks).text,
                   pim_number_grouped(u->total_bytes).text,
                   pim_number_grouped(u->total_blocks).text);
}

// `runtime` is 0 where all are of one.
static void
put_snapshot(pim_out *out, const pimalloc_snapshot *s, const char *who,
             unsigned runtime)
{
    for (unsigned d = 0; d < PIMALLOC_DOMAINS; d++) {
        put_usage(out, who, pim_domain_names[d], &s->domain[d]);
        who = "";
    }
    pim_out_printf(out, "%16s", "");
    put_count(out, " ", s->arenas, "arena");
    put_count(out, ", ", s->pages, "page");
    put_count(out, ", ", s->committed_bytes, "byte");
    put_count(out, " committed, ", s->remote_frees, "remote free");
    if (s->parent != PIMALLOC_PROCESS) {
        pim_out_printf(out, ", counts for interp %lld", (long long)s->parent);
    }
    if (runtime != 0) {
        pim_out_printf(out, ", runtime %u", runtime);
    }
    pim_out_text(out, "\n");
}

// Ids repeat when Python was initialised again.
static bool
has_several_runtimes(const pim_report *report)
{
    for (size_t i = 1; i < report->count; i++) {
        if (report->interps[i].generation != report->interps[0].generation) {
            return true;
        }
    }
    return false;
}

static void
put_interp(pim_out *out, const pimalloc_snapshot *s, bool names_runtime)
{
    char who[48];
    snprintf(who, sizeof(who), "interp %lld%s", (long long)s->interp,
             s->state == PIMALLOC_ENDED ? " ended" : "");
    put_snapshot(out, s, who, names_runtime ? s->generation : 0);
}

static void
put_heading(pim_out *out, const pim_report *report)
{
    pim_out_printf(out, "pimalloc %s, %s, thread state: %s",
                   report->pimalloc.text,
                   report->active            ? "active"
                   : report->raw_is_anothers ? "active but for raw"
                                             : "not active any more",
                   report->reason);
    put_count(out, " (read by ", report->word_threads, "thread");
    put_count(out, ", asked for by ", report->call_threads, "thread");
    pim_out_text(out, ")\n");
    pim_out_printf(out, "CPython %s, mimalloc %s, pid %ld, ",
                   report->python.text, report->mimalloc.text, report->pid);
    put_count(out, "address space of arenas: ", report->region_bytes, "byte");
    pim_out_printf(out, "\n%-16s %-4s %16s %12s %16s %12s %18s %14s\n",
                   "interpreter", "dom", "live bytes", "live blocks",
                   "peak bytes", "peak blocks", "total bytes", "total blocks");
}

void
pim_report_text(const pim_report *report, pim_out *out)
{
    if (!report->installed) {
        pim_out_text(out, "pimalloc: not installed, so there are no figures\n");
        return;
    }
    put_heading(out, report);
    bool names_runtime = has_several_runtimes(report);
    for (size_t i = 0; i < report->count; i++) {
        put_interp(out, &report->interps[i], names_runtime);
    }
    put_snapshot(out, &report->process, "process", 0);
    if (report->raw_is_anothers) {
        pim_out_text(out,
                     "another raw allocator was set after pimalloc: an "
                     "interpreter that ends is taken to live until another "
                     "one is at its address\n");
    } else if (!report->raw_is_ours) {
        pim_out_printf(out, "raw is served by %s's malloc%s\n",
                       report->raw_source,
                       report->raw_is_bypassed
                           ? ": this Python swaps its raw allocator at times, "
                             "so raw figures are approximate"
                           : "");
    }
    if (report->foreign_frees != 0) {
        put_count(out, "", report->foreign_frees, "block");
        pim_out_printf(out, " of other allocators %s left alone\n",
                       report->foreign_frees == 1 ? "was" : "were");
    }
}

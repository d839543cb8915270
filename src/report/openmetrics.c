// openmetrics.c -- the figures for monitoring: OpenMetrics 1.0, text
// exposition.
//
//   # TYPE pimalloc_live_bytes gauge
//   # UNIT pimalloc_live_bytes bytes
//   # HELP pimalloc_live_bytes Bytes allocated and not freed.
//   pimalloc_live_bytes{interp="0",generation="1",state="alive",domain="obj"} 1
//
// All samples of a family follow its head, so each family walks over all
// interpreters.  Ids repeat when Python is initialised again; with the
// generation no two label sets are the same.
//
// Prometheus's older text format is read by more programs, node exporter's
// textfile collector among them.  So that they can read this, too, there are no
// types that it does not have (info), no escapes in HELP, no timestamps.

#include "report/report.h"

// Where in a snapshot, or in one of its usages, a family's value lies.
typedef struct family {
    const char *name;
    const char *type;
    const char *unit; // NULL: none
    const char *help;
    size_t offset;
} family;

static const family of_domains[] = {
    {"pimalloc_live_bytes", "gauge", "bytes",
     "Usable bytes of blocks allocated and not freed.",
     offsetof(pimalloc_usage, live_bytes)},
    {"pimalloc_live_blocks", "gauge", NULL, "Blocks allocated and not freed.",
     offsetof(pimalloc_usage, live_blocks)},
    {"pimalloc_peak_bytes", "gauge", "bytes",
     "Highest live bytes since the interpreter began.",
     offsetof(pimalloc_usage, peak_bytes)},
    {"pimalloc_peak_blocks", "gauge", NULL,
     "Highest live blocks since the interpreter began.",
     offsetof(pimalloc_usage, peak_blocks)},
    {"pimalloc_allocated_bytes", "counter", "bytes",
     "Usable bytes allocated since the interpreter began, freed or not.",
     offsetof(pimalloc_usage, total_bytes)},
    {"pimalloc_allocated_blocks", "counter", NULL,
     "Blocks allocated since the interpreter began, freed or not.",
     offsetof(pimalloc_usage, total_blocks)},
};

static const family of_heaps[] = {
    {"pimalloc_arenas", "gauge", NULL, "Small-block arenas held.",
     offsetof(pimalloc_snapshot, arenas)},
    {"pimalloc_pages", "gauge", NULL, "Small-block pages open.",
     offsetof(pimalloc_snapshot, pages)},
    {"pimalloc_committed_bytes", "gauge", "bytes",
     "Arena memory not given back to the system, plus live large blocks.",
     offsetof(pimalloc_snapshot, committed_bytes)},
    {"pimalloc_remote_frees", "counter", NULL,
     "Blocks freed by threads that did not own the heap.",
     offsetof(pimalloc_snapshot, remote_frees)},
};

// The process has no limit.
static const family of_trees = {
    "pimalloc_tree_bytes", "gauge", "bytes",
    "Live bytes of all that counts for an interpreter's limit.",
    offsetof(pimalloc_snapshot, tree_bytes)};

static const family active = {"pimalloc_active", "gauge", NULL,
                              "Whether pimalloc serves Python now.", 0};
static const family region = {"pimalloc_region_bytes", "gauge", "bytes",
                              "Address space taken by arenas.", 0};
static const family foreign = {
    "pimalloc_foreign_frees", "counter", NULL,
    "Blocks of other allocators that were passed to free and left alone.", 0};
static const family threads = {
    "pimalloc_threads", "gauge", NULL,
    "Threads that made a request, by how they find their thread state.", 0};
static const family build = {"pimalloc_build_info", "gauge", NULL,
                             "Versions, and what was chosen for this process.",
                             0};

static void
put_head(pim_out *out, const family *f)
{
    pim_out_printf(out, "# TYPE %s %s\n", f->name, f->type);
    if (f->unit != NULL) {
        pim_out_printf(out, "# UNIT %s %s\n", f->name, f->unit);
    }
    pim_out_printf(out, "# HELP %s %s\n", f->name, f->help);
}

static void
put_name(pim_out *out, const family *f)
{
    pim_out_printf(out, "%s%s", f->name, f->type[0] == 'c' ? "_total" : "");
}

static void
put_pid(const pim_report *report, pim_out *out)
{
    pim_out_printf(out, "pid=\"%ld\"", report->pid);
}

// A family with one sample.
static void
put_single(const pim_report *report, pim_out *out, const family *f,
           uint64_t value)
{
    put_head(out, f);
    put_name(out, f);
    if (report->names_pid) {
        pim_out_text(out, "{");
        put_pid(report, out);
        pim_out_text(out, "}");
    }
    pim_out_printf(out, " %llu\n", (unsigned long long)value);
}

// Of a sample that has more labels.
static void
open_labels(const pim_report *report, pim_out *out)
{
    pim_out_text(out, "{");
    if (report->names_pid) {
        put_pid(report, out);
        pim_out_text(out, ",");
    }
}

static void
put_threads(const pim_report *report, pim_out *out)
{
    put_head(out, &threads);
    for (int word = 1; word >= 0; word--) {
        put_name(out, &threads);
        open_labels(report, out);
        pim_out_printf(out, "thread_state=\"%s\"} %llu\n",
                       pim_report_found_by(word),
                       (unsigned long long)(word ? report->word_threads
                                                 : report->call_threads));
    }
}

static void
put_sample(const pim_report *report, pim_out *out, const family *f,
           const pimalloc_snapshot *s, const char *domain, const void *value)
{
    put_name(out, f);
    open_labels(report, out);
    if (s->interp == PIMALLOC_PROCESS) {
        pim_out_text(out, "interp=\"process\"");
    } else {
        pim_out_printf(out, "interp=\"%lld\"", (long long)s->interp);
    }
    pim_out_printf(out, ",generation=\"%u\",state=\"%s\"", s->generation,
                   pim_report_state(s));
    if (domain != NULL) {
        pim_out_printf(out, ",domain=\"%s\"", domain);
    }
    pim_out_printf(out, "} %llu\n",
                   (unsigned long long)*(const uint64_t *)value);
}

// The snapshot at place i; after the interpreters' the process's.
static const pimalloc_snapshot *
snapshot_at(const pim_report *report, size_t i)
{
    return i < report->count ? &report->interps[i] : &report->process;
}

// Of the first `count` snapshots.
static void
put_heap_family(const pim_report *report, pim_out *out, const family *f,
                size_t count)
{
    put_head(out, f);
    for (size_t i = 0; i < count; i++) {
        const pimalloc_snapshot *s = snapshot_at(report, i);
        put_sample(report, out, f, s, NULL, (const char *)s + f->offset);
    }
}

static void
put_domain_family(const pim_report *report, pim_out *out, const family *f)
{
    put_head(out, f);
    for (size_t i = 0; i <= report->count; i++) {
        const pimalloc_snapshot *s = snapshot_at(report, i);
        for (unsigned d = 0; d < PIMALLOC_DOMAINS; d++) {
            put_sample(report, out, f, s, pim_domain_names[d],
                       (const char *)&s->domain[d] + f->offset);
        }
    }
}

// An empty value is no label, so what is not known needs no rule of its own.
static void
put_build(const pim_report *report, pim_out *out)
{
    put_head(out, &build);
    put_name(out, &build);
    pim_out_text(out, "{");
    put_pid(report, out);
    pim_out_printf(out, ",version=\"%s\",mimalloc=\"%s\",python=\"%s\"",
                   report->pimalloc.text, report->mimalloc.text,
                   report->python.text);
    pim_out_printf(out, ",thread_state=\"%s\",raw_source=\"%s\"} 1\n",
                   pim_report_found_by(report->reads_word),
                   report->installed ? report->raw_source : "");
}

void
pim_report_openmetrics(const pim_report *report, pim_out *out)
{
    put_build(report, out);
    put_single(report, out, &active, report->active);
    if (report->installed) {
        put_single(report, out, &region, report->region_bytes);
        put_single(report, out, &foreign, report->foreign_frees);
        put_threads(report, out);
        for (size_t i = 0; i < PIM_ARRAY_LEN(of_domains); i++) {
            put_domain_family(report, out, &of_domains[i]);
        }
        for (size_t i = 0; i < PIM_ARRAY_LEN(of_heaps); i++) {
            put_heap_family(report, out, &of_heaps[i], report->count + 1);
        }
        put_heap_family(report, out, &of_trees, report->count);
    }
    pim_out_text(out, "# EOF\n");
}

// json.c -- the figures for programs; docs/statistics.schema.json has the form.
//
// One interpreter a line.  All integers are exact; they may exceed 2^53.

#include "report/report.h"

#define SCHEMA_VERSION 1

// `what` is a member's name with all that goes before it.
static void
put_string(pim_out *out, const char *what, const char *value)
{
    pim_out_printf(out, "%s: ", what);
    pim_out_json_string(out, value);
}

// An unknown version is null.
static void
put_version(pim_out *out, const char *what, const pim_version_text *version)
{
    if (version->text[0] == '\0') {
        pim_out_printf(out, "%s: null", what);
    } else {
        put_string(out, what, version->text);
    }
}

static void
put_number(pim_out *out, const char *what, uint64_t n)
{
    pim_out_printf(out, "%s: %llu", what, (unsigned long long)n);
}

static void
put_bool(pim_out *out, const char *what, bool value)
{
    pim_out_printf(out, "%s: %s", what, value ? "true" : "false");
}

static void
put_figures(pim_out *out, const pimalloc_snapshot *s)
{
    put_number(out, "\"arenas\"", s->arenas);
    put_number(out, ", \"pages\"", s->pages);
    put_number(out, ", \"committed_bytes\"", s->committed_bytes);
    put_number(out, ", \"remote_frees\"", s->remote_frees);
    pim_out_text(out, ", \"domains\": {");
    for (unsigned d = 0; d < PIMALLOC_DOMAINS; d++) {
        const pimalloc_usage *u = &s->domain[d];
        pim_out_printf(out, "%s\"%s\": {", d == 0 ? "" : ", ",
                       pim_domain_names[d]);
        put_number(out, "\"live_bytes\"", u->live_bytes);
        put_number(out, ", \"live_blocks\"", u->live_blocks);
        put_number(out, ", \"peak_bytes\"", u->peak_bytes);
        put_number(out, ", \"peak_blocks\"", u->peak_blocks);
        put_number(out, ", \"total_bytes\"", u->total_bytes);
        put_number(out, ", \"total_blocks\"", u->total_blocks);
        pim_out_text(out, "}");
    }
    pim_out_text(out, "}}");
}

static void
put_heading(pim_out *out, const pim_report *report)
{
    pim_out_text(out, "{\"schema\": \"pimalloc-stats\"");
    put_number(out, ", \"version\"", SCHEMA_VERSION);
    put_version(out, ",\n \"pimalloc\"", &report->pimalloc);
    put_version(out, ", \"mimalloc\"", &report->mimalloc);
    put_version(out, ", \"python\"", &report->python);
    put_number(out, ", \"pid\"", (uint64_t)report->pid);
    put_bool(out, ",\n \"installed\"", report->installed);
    put_bool(out, ", \"active\"", report->active);
    put_string(out, ",\n \"thread_state\": {\"found_by\"",
               pim_report_found_by(report->reads_word));
    put_string(out, ", \"reason\"", report->reason);
    put_number(out, ", \"threads\": {\"word\"", report->word_threads);
    put_number(out, ", \"call\"", report->call_threads);
    pim_out_text(out, "}}");
    if (report->installed) {
        put_string(out, ",\n \"raw_source\"", report->raw_source);
    } else {
        pim_out_text(out, ",\n \"raw_source\": null");
    }
    put_number(out, ", \"region_bytes\"", report->region_bytes);
    put_number(out, ", \"foreign_frees\"", report->foreign_frees);
}

void
pim_report_json(const pim_report *report, pim_out *out)
{
    put_heading(out, report);
    pim_out_text(out, ",\n \"process\": ");
    if (report->installed) {
        pim_out_text(out, "{");
        put_figures(out, &report->process);
    } else {
        pim_out_text(out, "null");
    }
    pim_out_text(out, ",\n \"interpreters\": [");
    for (size_t i = 0; i < report->count; i++) {
        const pimalloc_snapshot *s = &report->interps[i];
        pim_out_printf(out, "%s\n  {\"id\": %lld, \"generation\": %u",
                       i == 0 ? "" : ",", (long long)s->interp, s->generation);
        put_string(out, ", \"state\"", pim_report_state(s));
        if (s->parent == PIMALLOC_PROCESS) {
            pim_out_text(out, ", \"parent\": null");
        } else {
            pim_out_printf(out, ", \"parent\": %lld", (long long)s->parent);
        }
        put_number(out, ", \"tree_bytes\"", s->tree_bytes);
        pim_out_text(out, ", ");
        put_figures(out, s);
    }
    pim_out_text(out, "]}\n");
}

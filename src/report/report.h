// report.h -- one set of figures, and its three forms.
//
//   collect.c   takes the figures, all interpreters' at one moment
//   text.c      a table for people            docs/statistics.md describes
//   json.c      for programs                  all three; what changes there
//   openmetrics.c  for monitoring             changes the documented formats
//   write.c     one of them, of figures that it collects
//   save.c      the same into a file that is whole at any moment

#ifndef PIM_REPORT_REPORT_H
#define PIM_REPORT_REPORT_H

#include "api/stats.h"
#include "platform/out.h"

// A version as text, for example 3.13.0 or 3.15.0rc1.
typedef struct pim_version_text {
    char text[48];
} pim_version_text;

typedef struct pim_report {
    bool installed; // ever; if not, there are no figures and no interpreters
    bool active;    // the three tables are ours now
    bool raw_is_ours;
    const char *raw_source;    // libc, mimalloc or pimalloc
    bool raw_is_anothers;      // set after us; then not active
    bool raw_is_bypassed;      // this Python swaps the raw table at moments
    bool reads_word;           // how the thread state is found
    const char *reason;        // why so, a sentence
    uint64_t word_threads;     // how many threads read a word
    uint64_t call_threads;     // and how many call CPython
    pim_version_text pimalloc; // versions; "" where it is not known
    pim_version_text mimalloc;
    pim_version_text python;
    long pid;
    bool names_pid; // OpenMetrics: every sample has a label for it
    uint64_t region_bytes;
    uint64_t foreign_frees;
    pimalloc_snapshot process;
    pimalloc_snapshot *interps; // the ended ones first, as in pimalloc.h
    size_t count;
} pim_report;

// Fills *report; 0 or -ENOMEM.  Its memory is libc's, not a domain's.
int pim_report_collect(pim_report *report);
void pim_report_release(pim_report *report);

void pim_report_text(const pim_report *report, pim_out *out);
void pim_report_json(const pim_report *report, pim_out *out);
void pim_report_openmetrics(const pim_report *report, pim_out *out);

// How a thread state is found, in all formats that programs read.
PIM_INLINE const char *
pim_report_found_by(bool word)
{
    return word ? "word" : "call";
}

PIM_INLINE const char *
pim_report_state(const pimalloc_snapshot *s)
{
    return s->state == PIMALLOC_ENDED ? "ended" : "alive";
}

#endif // PIM_REPORT_REPORT_H

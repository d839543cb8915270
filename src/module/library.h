// library.h -- the pimalloc that is in this process, if there is one.
//
// The module does not link to libpimalloc: the process has it already, as a
// preload library or linked to the program, or has none, and then the module
// must load all the same.

#ifndef PIM_MODULE_LIBRARY_H
#define PIM_MODULE_LIBRARY_H

#include <stdbool.h>

#include "module/limited.h"
#include "pimalloc/hooks.h"
#include "pimalloc/record.h"
#include "pimalloc/profile.h"
#include "pimalloc/tenants.h"
#include "pimalloc/trace.h"

// What the module calls; all NULL if `found` is not set.
typedef struct pim_library {
    bool found;
    __typeof__(pimalloc_version) *version;
    __typeof__(pimalloc_active) *active;
    __typeof__(pimalloc_interpreters) *interpreters;
    __typeof__(pimalloc_stats) *stats;
    __typeof__(pimalloc_stats_print) *stats_print;
    __typeof__(pimalloc_classes) *classes;
    __typeof__(pimalloc_owner) *owner;
    __typeof__(pimalloc_trim) *trim;
    __typeof__(pimalloc_limit_set) *limit_set;
    __typeof__(pimalloc_limit_get) *limit_get;
    __typeof__(pimalloc_limit_count_for) *limit_count_for;
    __typeof__(pimalloc_limit_count_made) *limit_count_made;
    __typeof__(pimalloc_prefork_freeze) *prefork_freeze;
    __typeof__(pimalloc_fault_add) *fault_add;
    __typeof__(pimalloc_fault_remove) *fault_remove;
    __typeof__(pimalloc_fault_counts) *fault_counts;
    __typeof__(pimalloc_fault_refusal) *fault_refusal;
    __typeof__(pimalloc_record_start) *record_start;
    __typeof__(pimalloc_record_stop) *record_stop;
    __typeof__(pimalloc_profile_start) *profile_start;
    __typeof__(pimalloc_profile_stop) *profile_stop;
    __typeof__(pimalloc_profile_why) *profile_why;
    __typeof__(pimalloc_profile_get) *profile_get;
    __typeof__(pimalloc_profile_save) *profile_save;
    __typeof__(pimalloc_profile_mark) *profile_mark;
    __typeof__(pimalloc_profile_walk) *profile_walk;
    __typeof__(pimalloc_trace_start) *trace_start;
    __typeof__(pimalloc_trace_stop) *trace_stop;
    __typeof__(pimalloc_trace_clear) *trace_clear;
    __typeof__(pimalloc_trace_why) *trace_why;
    __typeof__(pimalloc_trace_get) *trace_get;
    __typeof__(pimalloc_trace_reset_peak) *trace_reset_peak;
    __typeof__(pimalloc_trace_walk) *trace_walk;
    __typeof__(pimalloc_trace_find) *trace_find;
    __typeof__(pimalloc_trace_stack) *trace_stack;
    __typeof__(pimalloc_trace_hold) *trace_hold;
    __typeof__(pimalloc_trace_release) *trace_release;
    __typeof__(pimalloc_trace_relabel) *trace_relabel;
} pim_library;

// Looks the functions up.  No pimalloc in the process is no error.  -1 with
// ImportError set: one that this module does not fit.
int pim_library_find(pim_library *library);

// Whether Python is served by it.
bool pim_library_is_active(const pim_library *library);

#endif // PIM_MODULE_LIBRARY_H

// library.c -- finding the pimalloc in this process.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <string.h>

#include "module/library.h"

#define REMEDY                                                                 \
    "; use the module that was installed with the library (pimalloc-run "      \
    "--with-module finds it)"

static void
refuse_version(int theirs)
{
    PyErr_Format(PyExc_ImportError,
                 "this is the Python module of pimalloc %d.%d.%d, but the "
                 "library in this process is pimalloc %d.%d.%d" REMEDY,
                 PIMALLOC_VERSION_MAJOR, PIMALLOC_VERSION_MINOR,
                 PIMALLOC_VERSION_PATCH, theirs / 10000, theirs / 100 % 100,
                 theirs % 100);
}

// A function pointer is copied out, since C has no cast for it.
static bool
find(const char *name, void *function)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

int
pim_library_find(pim_library *library)
{
    *library = (pim_library){.found = false};
    pim_library in = {.found = true};
    if (!find("pimalloc_version", &in.version)) {
        return 0;
    }
    int version = in.version();
    if (version != PIMALLOC_VERSION) {
        refuse_version(version);
        return -1;
    }
    const struct {
        const char *name;
        void *function;
    } wanted[] = {
        {"pimalloc_active", &in.active},
        {"pimalloc_interpreters", &in.interpreters},
        {"pimalloc_stats", &in.stats},
        {"pimalloc_stats_print", &in.stats_print},
        {"pimalloc_classes", &in.classes},
        {"pimalloc_owner", &in.owner},
        {"pimalloc_trim", &in.trim},
        {"pimalloc_limit_set", &in.limit_set},
        {"pimalloc_limit_get", &in.limit_get},
        {"pimalloc_limit_count_for", &in.limit_count_for},
        {"pimalloc_limit_count_made", &in.limit_count_made},
        {"pimalloc_prefork_freeze", &in.prefork_freeze},
        {"pimalloc_fault_add", &in.fault_add},
        {"pimalloc_fault_remove", &in.fault_remove},
        {"pimalloc_fault_counts", &in.fault_counts},
        {"pimalloc_fault_refusal", &in.fault_refusal},
        {"pimalloc_record_start", &in.record_start},
        {"pimalloc_record_stop", &in.record_stop},
        {"pimalloc_profile_start", &in.profile_start},
        {"pimalloc_profile_stop", &in.profile_stop},
        {"pimalloc_profile_why", &in.profile_why},
        {"pimalloc_profile_get", &in.profile_get},
        {"pimalloc_profile_save", &in.profile_save},
        {"pimalloc_profile_mark", &in.profile_mark},
        {"pimalloc_trace_start", &in.trace_start},
        {"pimalloc_trace_stop", &in.trace_stop},
        {"pimalloc_trace_clear", &in.trace_clear},
        {"pimalloc_trace_why", &in.trace_why},
        {"pimalloc_trace_get", &in.trace_get},
        {"pimalloc_trace_reset_peak", &in.trace_reset_peak},
        {"pimalloc_trace_walk", &in.trace_walk},
        {"pimalloc_trace_find", &in.trace_find},
        {"pimalloc_trace_stack", &in.trace_stack},
        {"pimalloc_trace_hold", &in.trace_hold},
        {"pimalloc_trace_release", &in.trace_release},
        {"pimalloc_trace_relabel", &in.trace_relabel},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (!find(wanted[i].name, wanted[i].function)) {
            PyErr_Format(PyExc_ImportError,
                         "the pimalloc library in this process has no "
                         "%s()" REMEDY
                         ", and link a static library whole (--whole-archive)",
                         wanted[i].name);
            return -1;
        }
    }
    *library = in;
    return 0;
}

bool
pim_library_is_active(const pim_library *library)
{
    return library->found && library->active() != 0;
}

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

// The functions of the library, and where their pointers belong.
#define WANTED(name)                                                           \
    {                                                                          \
        "pimalloc_" #name, offsetof(pim_library, name)                         \
    }
static const struct {
    const char *name;
    size_t place;
} wanted[] = {
    WANTED(active),
    WANTED(interpreters),
    WANTED(stats),
    WANTED(stats_print),
    WANTED(classes),
    WANTED(owner),
    WANTED(trim),
    WANTED(limit_set),
    WANTED(limit_get),
    WANTED(limit_count_for),
    WANTED(limit_count_made),
    WANTED(prefork_freeze),
    WANTED(fault_add),
    WANTED(fault_remove),
    WANTED(fault_counts),
    WANTED(fault_refusal),
    WANTED(record_start),
    WANTED(record_stop),
    WANTED(profile_start),
    WANTED(profile_stop),
    WANTED(profile_why),
    WANTED(profile_get),
    WANTED(profile_save),
    WANTED(profile_mark),
    WANTED(profile_walk),
    WANTED(trace_start),
    WANTED(trace_stop),
    WANTED(trace_clear),
    WANTED(trace_why),
    WANTED(trace_get),
    WANTED(trace_reset_peak),
    WANTED(trace_walk),
    WANTED(trace_find),
    WANTED(trace_stack),
    WANTED(trace_hold),
    WANTED(trace_release),
    WANTED(trace_relabel),
};

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
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (!find(wanted[i].name, (char *)&in + wanted[i].place)) {
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

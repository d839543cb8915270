// exit.c -- what a process tells when it ends: its figures and what it left, or
// why there is nothing to tell.
//
// Figures are told only of a Python that we served.  Whether we did is not what
// was installed, since Python may have replaced that, but whether its main
// interpreter ever asked us for memory.

#define _GNU_SOURCE

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cpython/symbols.h"
#include "cpython/bind.h"
#include "api/faults.h"
#include "api/leaks.h"
#include "pimalloc/pimalloc.h"
#include "platform/path.h"
#include "platform/say.h"
#include "preload/preload.h"

void
pim_preload_tell_figures(void)
{
    const pim_options *o = &pim_preload_options;
    int format = o->stats_format < 0 ? PIMALLOC_TEXT : o->stats_format;
    if (!pim_interp_is_served()) {
        return;
    }
    if (o->stats_file == NULL) {
        pimalloc_stats_write(pim_say_fd(), format);
        return;
    }
    int err = pimalloc_stats_save(o->stats_file, format);
    if (err != 0) {
        char path[PATH_MAX];
        bool has_pid;
        bool expands = pim_path_expand(o->stats_file, path, &has_pid) == 0;
        pim_say("pimalloc: the figures could not be written to %s: %s; name a "
                "file in a folder that this process may write to\n",
                expands ? path : o->stats_file, strerror(-err));
    }
}

// We were installed, and Python did not use us.
static void
say_why_not_served(void)
{
    const char *choice = pim_preload_other_choice(NULL);
    if (pim_py.interp_main() == NULL && pimalloc_active()) {
        pim_preload_say_why_not("Python was not started");
        return;
    }
    if (choice == NULL) {
        choice = "-X dev, the program's PyPreConfig or its own allocator took "
                 "our place";
    }
    pim_preload_not_served(choice);
}

static void
tell_leaks(void)
{
    if (!pim_leaks_of_main()) {
        pim_say("pimalloc: Python had not ended when process %ld did, so what "
                "its main interpreter left is not known\n",
                (long)getpid());
    }
}

__attribute__((destructor)) static void
process_ends(void)
{
    bool served = pim_preload_installed && pim_interp_is_served();
    if (pim_preload_installed && !served) {
        say_why_not_served();
    }
    if (served && pim_preload_options.stats_format >= 0) {
        pim_preload_tell_figures();
    }
    if (served) {
        pim_preload_end_profile();
    }
    if (served && pim_preload_options.leaks != PIM_LEAKS_UNTOLD) {
        tell_leaks();
    }
    if (served && pim_preload_options.verbose) {
        pim_faults_tell();
    }
    pim_preload_leaks_told();
}

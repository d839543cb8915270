// exit.c -- what a process tells when it ends: its figures, or why there are none.
//
// Figures are told only of a Python that we served.  Whether we did is not what
// was installed, since Python may have replaced that, but whether its main
// interpreter ever asked us for memory.

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpython/api.h"
#include "cpython/interp.h"
#include "pimalloc/pimalloc.h"
#include "preload/preload.h"
#include "report/out.h"

static bool stderr_was_closed;

void
pim_preload_look_at_stderr(bool has_python)
{
    if (has_python || getenv("PIMALLOC_STATS") != NULL ||
        getenv("PIMALLOC_STATS_SIGNAL") != NULL ||
        getenv("PIMALLOC_VERBOSE") != NULL) {
        stderr_was_closed = fcntl(STDERR_FILENO, F_GETFD) < 0;
    }
}

int
pim_preload_stderr(void)
{
    return stderr_was_closed ? -1 : STDERR_FILENO;
}

static void
say_unwritten(const char *file, int err)
{
    pim_out out;
    pim_out_open_fd(&out, pim_preload_stderr());
    pim_out_text(&out, "pimalloc: the figures could not be written to ");
    pim_out_text(&out, file);
    pim_out_text(&out, ": ");
    pim_out_text(&out, strerror(err));
    pim_out_text(&out, "; name a file in a folder that this process may write "
                       "to\n");
    pim_out_finish(&out);
}

void
pim_preload_tell_figures(void)
{
    const pim_options *o = &pim_preload_options;
    int format = o->stats_format < 0 ? PIMALLOC_TEXT : o->stats_format;
    if (!pim_interp_is_served()) {
        return;
    }
    if (o->stats_file == NULL) {
        pimalloc_stats_write(pim_preload_stderr(), format);
        return;
    }
    int err = pimalloc_stats_save(o->stats_file, format);
    if (err != 0) {
        say_unwritten(o->stats_file, -err);
    }
}

// We were installed, and Python did not use us.
static void
say_why_not_served(void)
{
    const char *choice = pim_preload_other_choice(NULL);
    if (pim_py.interp_main() == NULL && pimalloc_active()) {
        choice = "Python was not started";
    } else if (choice == NULL) {
        choice = "-X dev, the program's PyPreConfig or its own allocator took "
                 "our place";
    }
    pim_preload_say_why_not(choice);
}

__attribute__((destructor)) static void
process_ends(void)
{
    if (!pim_preload_installed) {
        return;
    }
    if (!pim_interp_is_served()) {
        say_why_not_served();
    } else if (pim_preload_options.stats_format >= 0) {
        pim_preload_tell_figures();
    }
}

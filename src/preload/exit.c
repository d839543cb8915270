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

#include "api/leaks.h"
#include "cpython/bind.h"
#include "cpython/symbols.h"
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

<<<<<<< HEAD
// musl has none (foreign.c); there it is not called.
extern __typeof__(on_exit) on_exit __attribute__((weak));

// Whether the process's status is known, and what was left was told; handlers
// that libc calls at exit come before or after our destructor, depending on
// when they were registered.
static bool status_is_known;
static bool leaks_are_told;
static bool leaks_are_unknown;
static int exit_status;

static void
fail_for_leaks(void)
{
    if (pim_preload_options.leaks == PIM_LEAKS_FAIL && status_is_known &&
        leaks_are_told && exit_status == 0 &&
        (leaks_are_unknown || pim_leaks_found() != 0)) {
        fflush(NULL); // what libc does when all handlers are through
        _exit(PIM_PRELOAD_LEAKS_STATUS);
    }
}

static void
process_exits(int status, void *ignored)
{
    (void)ignored;
    exit_status = status;
    status_is_known = true;
    fail_for_leaks();
}

void
pim_preload_watch_exit(void)
{
    static bool watches;
    if (pim_preload_options.leaks == PIM_LEAKS_FAIL && !watches) {
        watches = on_exit(process_exits, NULL) == 0;
    }
}

void
pim_preload_leaks_unknown(void)
{
    leaks_are_unknown = true;
    pim_preload_watch_exit();
}

=======
>>>>>>> circles
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
    if (served && pim_preload_options.leaks != PIM_LEAKS_UNTOLD) {
        tell_leaks();
    }
    pim_preload_leaks_told();
}

// status.c -- the exit status with PIMALLOC_LEAKS=fail.
//
// Two things have to be over before it is changed, and either may come last:
// libc tells the status to a handler (on_exit), and exit.c tells what was left.

#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/leaks.h"
#include "preload/preload.h"

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

void
pim_preload_leaks_told(void)
{
    leaks_are_told = true;
    fail_for_leaks();
}

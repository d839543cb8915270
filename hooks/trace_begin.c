// trace_begin.c -- see trace_begin.h.
//
//   install            a hook of main is pushed, which sees its birth only
//   main's first heap  CPython is asked for a pending call
//   eval loop          the call: the hook goes, and the trace begins
//
// The call is made between two instructions of Python code, in no request, which
// is where stacks can be proven (frames.h).

#include "hooks/trace_begin.h"

#include <errno.h>
#include <string.h>

#include "cpython/symbols.h"
#include "hooks/frames.h"
#include "pimalloc/trace.h"
#include "platform/say.h"

#define MAIN ((int64_t)0)

// Somebody may run pending calls where no Python code runs.
#define TRIES_MAX 1000

static unsigned wanted; // frames; 0: no trace
static unsigned tries;
static int herald;

static int begin(void *arg);

static bool
ask_for_call(void)
{
    int (*add)(int (*call)(void *), void *arg);
    void *symbol = pim_py_symbol("Py_AddPendingCall");
    memcpy(&add, &symbol, sizeof(add));
    return symbol != NULL && add(begin, NULL) == 0;
}

static int
begin(void *arg)
{
    (void)arg;
    int err = pimalloc_trace_start(PIMALLOC_EACH, wanted);
    if (err == -ENOTSUP && ++tries < TRIES_MAX && ask_for_call()) {
        return 0;
    }
    pimalloc_hook_pop(herald);
    if (err != 0 && err != -EALREADY) {
        const char *why = err == -ENOTSUP ? pim_frames_refusal() : NULL;
        pim_say("pimalloc: PIMALLOC_TRACE: there is no trace: %s\n",
                why != NULL ? why : strerror(-err));
    }
    return 0;
}

// Called inside a hook; the call is made later.
static void
main_born(void *ctx, int64_t interp)
{
    (void)ctx;
    (void)interp;
    ask_for_call();
}

void
pim_trace_when_python_runs(unsigned frames)
{
    if (frames == 0 || wanted != 0) {
        return;
    }
    wanted = frames;
    pimalloc_hook hook = {.size = sizeof(hook),
                          .name = "begin of a trace",
                          .interp_born = main_born};
    herald = pimalloc_hook_push(&hook, MAIN);
}

// faults.c -- the rules of PIMALLOC_FAULTS.
//
// A rule holds from the moment at which the program begins.  Of python itself
// CPython tells that by an audit event; of a program that embeds Python it
// is taken to be when Python is initialised.  What frames look like can be found
// out only once there are some, so each event is an occasion to try.

#include "api/faults.h"

#include <string.h>

#include "base/atomic.h"
#include "cpython/audit.h"
#include "cpython/symbols.h"
#include "hooks/fault.h"
#include "hooks/frames.h"
#include "platform/rules.h"
#include "platform/say.h"

#define PROGRAM_BEGINS "cpython.run_"

// Those of the last runtime; 0: none.
static int handles[PIMALLOC_HOOKS_MAX];

static _Atomic bool wants_frames;

static bool
is_in_main(void)
{
    PyThreadState *tstate = pim_py.tstate();
    return tstate != NULL &&
           pim_py.interp_id(pim_py.tstate_interp(tstate)) == 0;
}

// Under main's GIL, so one at a time.
static void
look_for_frames(void)
{
    bool has_frames = pim_frames_start();
    if (!has_frames && pim_frames_judged()) {
        pim_say("pimalloc: PIMALLOC_FAULTS: a rule with function= does "
                "nothing: %s\n",
                pim_frames_refusal());
    }
    pim_store_relaxed(&wants_frames, !has_frames && !pim_frames_judged());
}

static void
on_event(const char *event)
{
    if (strncmp(event, PROGRAM_BEGINS, strlen(PROGRAM_BEGINS)) == 0) {
        pim_fault_begin();
    }
    if (pim_load_relaxed(&wants_frames) && pim_py.is_initialized() &&
        is_in_main()) {
        look_for_frames();
    }
}

static void
add(size_t i, const pimalloc_fault *fault)
{
    handles[i] = pim_fault_add_waiting(fault);
    if (handles[i] < 0) {
        pim_say("pimalloc: PIMALLOC_FAULTS: there is no room for its rules\n");
        handles[i] = 0;
    }
}

void
pim_faults_start(const pim_options *options)
{
    const char *text = options->faults;
    bool needs_frames = false;
    for (size_t i = 0; i < PIM_ARRAY_LEN(handles); i++) {
        pimalloc_fault fault;
        char function[PIMALLOC_FAULT_NAME_MAX + 1];
        if (handles[i] != 0) {
            pimalloc_fault_remove(handles[i], NULL, NULL);
            handles[i] = 0;
        }
        if (text != NULL && *text != '\0' &&
            pim_rule_of(&text, &fault, function) == NULL) {
            needs_frames = needs_frames || fault.function != NULL;
            add(i, &fault);
        }
    }
    bool is_python = pim_py_is_program();
    pim_store_relaxed(&wants_frames, needs_frames);
    bool listens = options->faults != NULL && (is_python || needs_frames) &&
                   pim_audit_start(on_event);
    if (!listens || !is_python) {
        pim_fault_begin();
    }
}

void
pim_faults_tell(void)
{
    for (size_t i = 0; i < PIM_ARRAY_LEN(handles); i++) {
        uint64_t matched;
        uint64_t failed;
        if (handles[i] != 0 &&
            pimalloc_fault_counts(handles[i], &matched, &failed) == 0) {
            pim_say("pimalloc: rule %zu of PIMALLOC_FAULTS: %llu requests "
                    "matched, %llu of them failed\n",
                    i + 1, (unsigned long long)matched,
                    (unsigned long long)failed);
        }
    }
}

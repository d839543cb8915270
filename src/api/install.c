// install.c -- pimalloc_install() and what belongs to it.
//
// Everything that can fail comes first; the three tables are set last, so an
// error leaves Python's own allocator as it was.  What was acquired before the
// failure (the library, the region) is kept for the next attempt: it serves
// nobody and costs no memory.

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/install.h"

#include "api/env_options.h"
#include "api/faults.h"
#include "api/leaks.h"
#include "api/purge_thread.h"
#include "api/teardown.h"
#include "arena/region.h"
#include "cpython/bind.h"
#include "cpython/identity.h"
#include "cpython/symbols.h"
#include "cpython/table.h"
#include "cpython/tstate.h"
#include "cpython/wrapper.h"
#include "domain/check.h"
#include "domain/domain.h"
#include "hooks/chain.h"
#include "hooks/record.h"
#include "hooks/trace_begin.h"
#include "interp/registry.h"
#include "mi/mi.h"
#include "pimalloc/pimalloc.h"
#include "platform/cancel.h"
#include "platform/huge_page.h"
#include "platform/module.h"
#include "platform/privilege.h"
#include "platform/say.h"

#define REFUSED_RELEASE                                                        \
    "before CPython 3.14, memory of interpreters is used after their end; "    \
    "take keep, or poison to see by whom"
#define REFUSED_OF_3_14_0                                                      \
    "CPython 3.14.0 does not let the end of an interpreter be seen; take "     \
    "keep, or a later 3.14"

static PIM_LOCK(install_lock);
static char failure[PATH_MAX + 512]; // text of the last failure
static int failure_code;
static bool hooks_on_top; // PIMALLOC_DEBUG=1

static void
set_default_limit(const pim_options *options)
{
    const pim_limit_terms terms = {.soft_bytes = options->limit_soft,
                                   .hard_bytes = options->limit_hard};
    if (terms.soft_bytes != 0) {
        pim_limit_set_default(&terms, true);
    }
    if (options->limit_tree != PIM_TREE_UNSAID) {
        pim_limit_count_by_default(options->limit_tree != PIM_TREE_NONE, true);
        pim_limit_count_of_main(options->limit_tree == PIM_TREE_ALL);
    }
}

static int
fail(int err, const char *text)
{
    snprintf(failure, sizeof(failure), "pimalloc: %s", text);
    return err;
}

// The Python that is meant: what the process sees may be none, or another one,
// where the one that we serve came as somebody's private library.
static int
find_python(void *module, pim_py_api *out)
{
    if (module == NULL && pim_py.module != NULL) {
        *out = pim_py;
        return 0;
    }
    return pim_py_find(module, out);
}

// Whether this Python can be served at all; if so, it is pim_py from now on.
static int
check_python(void *module, bool unasked)
{
    pim_py_api found;
    if (pim_gate_is_adrift()) {
        return fail(-EBUSY, "this process was forked while a thread was inside "
                            "the allocator, and uses libc's malloc since");
    }
    int err = find_python(module, &found);
    if (found.free_threaded) {
        return fail(-ENOTSUP,
                    "this is a free-threaded build of Python, whose collector "
                    "needs Python's own heaps; use a build with the GIL");
    }
    if (err != 0) {
        return fail(err,
                    found.hexversion == 0
                        ? "no CPython can be seen in this process; link or "
                          "load libpython (RTLD_GLOBAL) before "
                          "pimalloc_install(), or link a program that contains "
                          "it with --export-dynamic (-rdynamic)"
                    : found.hexversion < PIM_VERSION_MIN
                        ? "this Python is older than 3.12; use CPython 3.12 or "
                          "newer"
                        : "this program hides a function of CPython's; link it "
                          "with --export-dynamic (-rdynamic)");
    }
    if (unasked && !pim_table_is_pythons_own(&found)) {
        return fail(-EBUSY, "the program has set an allocator of its own");
    }
    // Not over what other threads read, and hold to be constant.
    if (found.set_allocator != pim_py.set_allocator) {
        pim_py = found;
    }
    if (pim_table_is_installed()) {
        return fail(-EALREADY,
                    "it is installed already; if Python is to be initialised "
                    "again, call Py_PreInitialize() first and then install");
    }
    if (pim_py.is_initialized()) {
        return fail(-EBUSY,
                    "Python runs already and its blocks would get lost; call "
                    "pimalloc_install() before Py_InitializeFromConfig()");
    }
    return 0;
}

// What helps, where the program, the environment or nobody named a library.
static const char *
remedy(const char *named, bool by_program)
{
    return by_program ? "and name it in pimalloc_config.mimalloc_path, which "
                        "wins over PIMALLOC_MIMALLOC"
           : named != NULL ? "and name it in PIMALLOC_MIMALLOC, or unset that"
           : pim_is_privileged()
               ? "or name the library in pimalloc_config.mimalloc_path"
               : "or name the library in PIMALLOC_MIMALLOC";
}

static int
load_mimalloc(const pimalloc_config *config, const char *named)
{
    char why[PATH_MAX + 256] = "";
    char text[PATH_MAX + 384];
    bool by_program = config != NULL && config->mimalloc_path != NULL;
    const char *path = by_program ? config->mimalloc_path : named;
    int err = pim_mi_load(path, why, sizeof(why));
    if (err == -ENOMEM) {
        fail(err, why);
    } else if (err != 0) {
        snprintf(text, sizeof(text),
                 "%s; install libmimalloc3 (3.6 or newer) %s", why,
                 remedy(named, by_program));
        fail(err, text);
    }
    return err;
}

static const char *
why_refused(void)
{
    return pim_py_hides_ends() ? REFUSED_OF_3_14_0 : REFUSED_RELEASE;
}

// From the configuration, or else the environment; there a policy that is not
// to be had is told of and otherwise ignored.
static int
set_teardown(const pimalloc_config *config, int from_environment)
{
    if (config != NULL && config->teardown != 0) {
        int err = pim_policy_set_default(config->teardown);
        return err == 0 ? 0
               : err == -EINVAL
                   ? fail(err, "there is no policy like "
                               "pimalloc_config.teardown; take one "
                               "of enum pimalloc_policy")
               : err == -ENOTSUP
                   ? fail(err, why_refused())
                   : fail(err, "whoever touches poisoned memory could not be "
                               "told: the system refuses a signal handler");
    }
    if (from_environment != 0 &&
        pim_policy_set_default(from_environment) == -ENOTSUP) {
        pim_say("pimalloc: PIMALLOC_TEARDOWN=%s: %s\n",
                from_environment == PIMALLOC_RELEASE ? "release" : "poison",
                why_refused());
    }
    return 0;
}

// Up to 3.13, and in debug builds, CPython swaps the raw table for libc's at
// moments, so raw must be what libc's free understands.
static pim_raw_source
raw_source(bool unasked)
{
    return !pim_py_swaps_raw() && !unasked ? PIM_RAW_OWN
           : pim_mi_is_process_malloc()    ? PIM_RAW_MIMALLOC
                                           : PIM_RAW_LIBC;
}

// bytes: 0: the default.
static int
open_region(size_t bytes)
{
    return pim_region_init(bytes != 0 ? bytes : PIM_REGION_SIZE) == 0
               ? 0
               : fail(-ENOMEM, "no address space for an arena; raise the limit "
                               "of virtual memory (ulimit -v), and that of "
                               "locked memory (ulimit -l) if mlockall() locks "
                               "what is mapped");
}

// What the first installation chose stays: a layer that has not seen all blocks
// would report good ones.
static void
start_checks(bool asked)
{
    static bool decided;
    if (asked && !decided) {
        pim_check_start(!pim_py_swaps_raw());
    }
    decided = true;
}

static void
start_purging(const pim_options *options)
{
    if (options->purge_thread && pim_purge_start() != 0) {
        pim_say("pimalloc: PIMALLOC_PURGE_THREAD=1: the thread could not be "
                "started; memory goes back when the program allocates\n");
    }
}

static int
install(const pimalloc_config *config, void *python, bool unasked,
        pim_options *options)
{
    if (config != NULL && config->size != sizeof(*config)) {
        return fail(-EINVAL, "pimalloc_config.size is not the size of the "
                             "structure this library knows; set it to "
                             "sizeof(pimalloc_config) and build with this "
                             "library's header");
    }
    int err = check_python(python, unasked);
    if (err != 0) {
        return err;
    }
    pim_options_read(options);
    if (config != NULL && config->region_bytes != 0) {
        options->region_bytes = config->region_bytes;
    }
    err = load_mimalloc(config, options->mimalloc);
    err = err == 0 ? set_teardown(config, options->teardown) : err;
    err = err == 0 ? open_region(options->region_bytes) : err;
    if (err != 0) {
        return err;
    }
    start_checks(options->check);
    pim_huge_page_look(PIM_HUGE_PAGE_FILE);
    if (python == NULL) { // the preload library keeps what it names
        pim_py_keep_loaded();
    }
    pim_process_heap_init();
    pim_raw_set_source(raw_source(unasked), pim_table_replaced_raw());
    set_default_limit(options);
    pim_tstate_start(options->tstate_by_call);
    pim_interp_new_runtime(); // what threads know of the last one ends here
    pim_leaks_start(options);
    pim_table_install();
    pim_identity_start(options->verbose);
    pim_wrapper_start();
    pim_chain_start();
    start_purging(options);
    hooks_on_top = options->debug && pim_py.setup_debug_hooks != NULL;
    if (hooks_on_top) {
        pim_py.setup_debug_hooks();
        pim_table_note_hooks();
    }
    // Most programs need nothing more of it than its start and its trial.
    pim_module_forget_pages((const void *)(uintptr_t)pim_mi.umalloc);
    if (options->verbose) {
        pim_say(
            "pimalloc: installed, CPython %s, mimalloc %d.%d.%d, raw on %s%s\n",
            pim_py.get_version(), PIM_VERSION_PARTS(pim_mi_version()),
            pim_raw_source_name(), pim_check_is_on() ? ", checked" : "");
    }
    return 0;
}

int
pim_install(const pimalloc_config *config, void *python, bool unasked)
{
    PIM_NO_CANCEL;
    pim_options options;
    pim_gate_start();
    pim_gate_enter();
    pim_lock_acquire(&install_lock);
    int err = install(config, python, unasked, &options);
    failure_code = err; // a failure before a success explains nothing any more
    pim_lock_release(&install_lock);
    pim_gate_exit();
    if (err == 0) { // the chain is changed outside the gate
        pim_chain_new_runtime();
        pim_faults_start(&options);
        pim_record_begin(options.record);
        pim_trace_when_python_runs(options.trace);
    }
    return err;
}

int
pimalloc_install(const pimalloc_config *config)
{
    return pim_install(config, NULL, false);
}

int
pimalloc_active(void)
{
    if (pim_py.get_allocator == NULL || pim_gate_is_adrift()) {
        return 0;
    }
    // Under a debug layer, tracemalloc or a profiler we still serve; what was
    // reset by a new runtime serves itself.  In a debug build the two look
    // alike.  Where raw is somebody else's, the ends of interpreters are not
    // seen.  But the hooks of a debug build up to 3.13 have libc's raw below
    // them once CPython has swapped it, which is nobody's choice.
    bool hides = hooks_on_top && pim_py.debug_build;
    bool reset = pim_table_was_reset() && !hides;
    return pim_table_is_installed() || (pim_interp_is_served() && !reset &&
                                        (hides || pim_identity_raw_is_ours()));
}

int
pimalloc_version(void)
{
    return PIMALLOC_VERSION;
}

const char *
pimalloc_strerror(int err)
{
    if (err == failure_code && err != 0) {
        return failure;
    }
    switch (err) {
    case 0:
        return "pimalloc: no error";
    case -EALREADY:
        return "pimalloc: it is installed, or a profile runs, already; nothing "
               "is to be done";
    case -EBUSY:
        return "pimalloc: Python runs already; install before "
               "Py_InitializeFromConfig()";
    case -ENOTSUP:
        return "pimalloc: not with this Python or interpreter: free-threaded "
               "builds are not supported; the policy release needs CPython "
               "3.14; poison and release need to see the ends of interpreters, "
               "which neither CPython 3.14.0 nor a raw allocator that was set "
               "after pimalloc lets us; the main interpreter, and those that "
               "share its memory, have no policy";
    case -ENOSYS:
        return "pimalloc: no CPython 3.12 or newer can be seen in this process";
    case -ENOENT:
        return "pimalloc: there is no such library, interpreter, block or file";
    case -ESRCH:
        return "pimalloc: there is no profile; start one";
    case -EPROTO:
        return "pimalloc: the libmimalloc found is none that will do: 3.6 or "
               "newer, below 4";
    case -EINVAL:
        return "pimalloc: a structure's size member is not set to its size, or "
               "a value is none of those that are known";
    case -ENOMEM:
        return "pimalloc: no memory or address space";
    default:
        return "pimalloc: unknown error";
    }
}

// test_install.c -- when pimalloc_install() works, when it refuses, and what
// takes it away again.
//
// Dangerous facts covered: 8, PYTHONMALLOC and
// development mode remove an early install silently; part of 6.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/embed.h"

#include "support/child.h"

static void
use_python(void)
{
    embed_run("import json, re, collections, datetime\n"
              "d = {i: str(i) * 3 for i in range(20000)}\n"
              "assert json.loads(json.dumps(d))['77'] == '777777'\n");
}

// --- install orders --------------------------------------------------------

CASE(installs_between_preinit_and_init)
{
    EXPECT_EQ(pimalloc_active(), 0);
    embed_preinit();
    EXPECT_EQ(pimalloc_install(NULL), 0);
    EXPECT_EQ(pimalloc_active(), 1);
    embed_init();
    EXPECT_EQ(pimalloc_active(), 1);
    use_python();
    EXPECT_GT(embed_stats(0).domain[PIMALLOC_OBJ].live_blocks, 20000);
    EXPECT_EQ(embed_stats(0).state, PIMALLOC_ALIVE);
    embed_stop();
    EXPECT_EQ(pimalloc_active(), 1); // the tables stay until the next runtime
}

CASE(installs_before_preinit)
{
    EXPECT_EQ(pimalloc_install(NULL), 0);
    EXPECT_EQ(pimalloc_active(), 1);
    embed_preinit();
    EXPECT_EQ(pimalloc_active(), 1);
    embed_init();
    EXPECT_EQ(pimalloc_active(), 1);
    use_python();
    embed_stop();
}

// Py_Initialize() alone: preinitialises itself, reads the environment.
CASE(installs_before_plain_initialize)
{
    EXPECT_EQ(pimalloc_install(NULL), 0);
    Py_Initialize();
    EXPECT_EQ(pimalloc_active(), 1);
    embed_run("x = [str(i) for i in range(10000)]");
    embed_stop();
}

// With -E or isolated, PYTHONMALLOC is not read.  (env: PYTHONMALLOC=malloc)
CASE_ENV(isolated_python_ignores_pythonmalloc, "PYTHONMALLOC=malloc")
{
    EXPECT_EQ(pimalloc_install(NULL), 0);
    embed_preinit();
    embed_init();
    EXPECT_EQ(pimalloc_active(), 1);
    embed_stop();
}

CASE(install_takes_a_config)
{
    pimalloc_config config = {.size = sizeof(config),
                              .region_bytes = (size_t)1 << 30};
    embed_preinit();
    EXPECT_EQ(pimalloc_install(&config), 0);
    embed_init();
    use_python();
    embed_stop();
}

// A region that is used up: requests go to mimalloc, and figures stay exact.
CASE(region_may_run_out)
{
    pimalloc_config config = {.size = sizeof(config),
                              .region_bytes = (size_t)32 << 20};
    embed_preinit();
    EXPECT_EQ(pimalloc_install(&config), 0);
    embed_init();
    pimalloc_usage before = embed_stats(0).domain[PIMALLOC_OBJ];
    enum { BLOCKS = 1000 * 1000 };
    char **blocks = calloc(BLOCKS, sizeof(*blocks));
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = PyObject_Malloc(64);
        EXPECT(blocks[i] != NULL);
        memset(blocks[i], i, 64);
    }
    pimalloc_usage full = embed_stats(0).domain[PIMALLOC_OBJ];
    EXPECT_EQ(full.live_blocks - before.live_blocks, BLOCKS);
    EXPECT_GE(full.live_bytes - before.live_bytes, 64ull * BLOCKS);
    for (int i = 0; i < BLOCKS; i++) {
        EXPECT_EQ(blocks[i][63], (char)i);
        blocks[i] = PyObject_Realloc(blocks[i], 200);
        EXPECT_EQ(blocks[i][63], (char)i);
        PyObject_Free(blocks[i]);
    }
    pimalloc_usage after = embed_stats(0).domain[PIMALLOC_OBJ];
    EXPECT_EQ(after.live_blocks, before.live_blocks);
    EXPECT_EQ(after.live_bytes, before.live_bytes);
    free(blocks);
    use_python();
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    embed_run("import json");
    embed_return(&guest);
    embed_stop();
}

// --- refusals --------------------------------------------------------------

CASE(second_install_is_refused)
{
    embed_preinit();
    embed_install();
    EXPECT_EQ(pimalloc_install(NULL), -EALREADY);
    EXPECT_HAS(pimalloc_strerror(-EALREADY), "installed already");
    embed_init();
    EXPECT_EQ(pimalloc_install(NULL), -EALREADY);
    EXPECT_EQ(pimalloc_active(), 1);
    use_python();
    embed_stop();
}

CASE(install_after_initialize_is_refused)
{
    embed_preinit();
    embed_init();
    EXPECT_EQ(pimalloc_install(NULL), -EBUSY);
    EXPECT_EQ(pimalloc_active(), 0);
    EXPECT_HAS(pimalloc_strerror(-EBUSY), "before Py_InitializeFromConfig");
    pimalloc_snapshot s = {.size = sizeof(s)};
    EXPECT_EQ(pimalloc_stats(0, &s), -ENOENT);
    EXPECT_EQ(pimalloc_interpreters(NULL, 0), 0);
    char *text = embed_stats_text();
    EXPECT_HAS(text, "not installed");
    free(text);
    use_python();
    embed_stop();
}

// Refused, and Python runs on its own allocator; the next try may work.
static void
refused_then_python_runs(int expected, const char *remedy,
                         const pimalloc_config *config)
{
    embed_preinit();
    int err = pimalloc_install(config);
    EXPECT_EQ(err, expected);
    EXPECT_EQ(pimalloc_active(), 0);
    EXPECT_HAS(pimalloc_strerror(err), remedy);
    EXPECT_HAS(pimalloc_strerror(err), "pimalloc: ");
    embed_init();
    EXPECT_EQ(pimalloc_active(), 0);
    use_python();
    embed_stop();
}

CASE(missing_mimalloc_is_refused)
{
    const pimalloc_config config = {.size = sizeof(config),
                                    .mimalloc_path = "/nowhere/libmi.so"};
    refused_then_python_runs(-ENOENT, "install libmimalloc", &config);
    EXPECT_HAS(pimalloc_strerror(-ENOENT), "/nowhere/libmi.so");
    EXPECT_HAS(pimalloc_strerror(-ENOENT), "PIMALLOC_MIMALLOC");
}

CASE_ENV_OF(missing_mimalloc_of_environment_is_refused,
            refused_then_python_runs(-ENOENT, "/elsewhere/libmi.so", NULL),
            "PIMALLOC_MIMALLOC=/elsewhere/libmi.so")

// env: PIMALLOC_MIMALLOC=/elsewhere/libmi.so; the caller's word wins.
CASE_ENV(config_wins_over_environment, "PIMALLOC_MIMALLOC=/elsewhere/libmi.so")
{
    const pimalloc_config config = {.size = sizeof(config),
                                    .mimalloc_path = "/nowhere/libmi.so"};
    refused_then_python_runs(-ENOENT, "/nowhere/libmi.so", &config);
}

static void
old_mimalloc_is_refused(const char *version)
{
    const pimalloc_config config = {.size = sizeof(config),
                                    .mimalloc_path = PIM_TEST_OLD_MIMALLOC};
    refused_then_python_runs(-EPROTO, "needs version 3.6", &config);
    EXPECT_HAS(pimalloc_strerror(-EPROTO), version);
    EXPECT_HAS(pimalloc_strerror(-EPROTO), PIM_TEST_OLD_MIMALLOC);
    EXPECT_HAS(pimalloc_strerror(-EPROTO), "install libmimalloc");
}

CASE_ENV_OF(mimalloc_3_0_is_refused, old_mimalloc_is_refused("301"),
            "STUB_MI_VERSION=301")
CASE_ENV_OF(mimalloc_2_is_refused, old_mimalloc_is_refused("209"),
            "STUB_MI_VERSION=209")

// New enough by its word, but not mimalloc.
CASE_ENV(mimalloc_without_functions_is_refused, "STUB_MI_VERSION=30600")
{
    const pimalloc_config config = {.size = sizeof(config),
                                    .mimalloc_path = PIM_TEST_OLD_MIMALLOC};
    refused_then_python_runs(-EPROTO, PIM_TEST_OLD_MIMALLOC, &config);
    if (strstr(pimalloc_strerror(-EPROTO), "30600, and pimalloc needs") !=
        NULL) {
        FAIL("a text that is not absurd: %s", pimalloc_strerror(-EPROTO));
    }
}

CASE(wrong_config_size_is_refused)
{
    const pimalloc_config config = {.size = sizeof(config) - 1};
    refused_then_python_runs(-EINVAL, "sizeof(pimalloc_config)", &config);
}

CASE(refusal_may_be_followed_by_success)
{
    const pimalloc_config nowhere = {.size = sizeof(nowhere),
                                     .mimalloc_path = "/nowhere/libmi.so"};
    const pimalloc_config unset = {.size = 0};
    embed_preinit();
    EXPECT_EQ(pimalloc_install(&nowhere), -ENOENT);
    EXPECT_EQ(pimalloc_install(&unset), -EINVAL);
    EXPECT_EQ(pimalloc_install(NULL), 0);
    embed_init();
    EXPECT_EQ(pimalloc_active(), 1);
    use_python();
    embed_stop();
}

// --- address space ---------------------------------------------------------

static size_t
address_space(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    EXPECT(statm != NULL && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

// 0: runs; else what was returned, as a positive number.
static int
install_within(size_t headroom, bool run)
{
    size_t limit = address_space() + headroom;
    setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit});
    embed_preinit();
    int err = pimalloc_install(NULL);
    EXPECT_EQ(pimalloc_active(), err == 0);
    if (err == -ENOMEM) {
        EXPECT_HAS(pimalloc_strerror(err), "ulimit");
    }
    if (run) {
        embed_init();
        use_python();
        embed_stop();
    }
    return -err;
}

CASE(address_space_may_be_scarce)
{
#if defined(__SANITIZE_ADDRESS__)
    embed_skip("AddressSanitizer needs address space");
#endif
    static const size_t headroom_mib[] = {1,   8,   24,  40,  64,
                                          100, 300, 700, 3000};
    int installed = 0;
    for (size_t i = 0; i < sizeof(headroom_mib) / sizeof(headroom_mib[0]);
         i++) {
        size_t mib = headroom_mib[i];
        pid_t child = fork();
        if (child == 0) {
            _exit(install_within(mib << 20, mib >= 300));
        }
        int err = child_outcome(child);
        if (err < 0) {
            FAIL("no crash with %zu MiB of address space: signal %d", mib,
                 -err);
        }
        if (err != 0 && err != ENOMEM) {
            FAIL("-ENOMEM with %zu MiB, got %d", mib, err);
        }
        installed += err == 0;
    }
    EXPECT_GE(installed, 3); // a smaller region is found where there is room
}

// --- the environment -------------------------------------------------------

CASE_ENV(bad_options_are_reported_once, "PIMALLOC_TSTAT=call",
         "PIMALLOC_REGION=lots")
{
    embed_hear();
    embed_preinit();
    embed_install();
    EXPECT_EQ(pimalloc_install(NULL), -EALREADY);
    embed_init();
    embed_stop();
    embed_preinit();
    embed_install();
    char *text = embed_heard();
    EXPECT_HAS(text, "no option PIMALLOC_TSTAT;");
    EXPECT_HAS(text, "PIMALLOC_TSTATE"); // the valid names
    EXPECT_HAS(text, "PIMALLOC_REGION=lots");
    char *first = strstr(text, "PIMALLOC_TSTAT;");
    EXPECT(strstr(first + 1, "PIMALLOC_TSTAT;") == NULL);
    free(text);
}

// Whatever took the tables away, Python and our figures go on.
static void
runs_without_us(void)
{
    EXPECT_EQ(pimalloc_active(), 0);
    use_python();
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    embed_run("import json");
    embed_return(&guest);
    char *text = embed_stats_text();
    EXPECT_HAS(text, "not active any more");
    free(text);
    EXPECT_EQ(embed_stats(PIMALLOC_PROCESS).interp, PIMALLOC_PROCESS);
    EXPECT_EQ(pimalloc_install(NULL), -EBUSY);
    embed_stop();
    // And it can be had again.
    embed_preinit();
    embed_install();
    embed_init();
    EXPECT_EQ(pimalloc_active(), 1);
    use_python();
    embed_stop();
}

// env: PYTHONMALLOC=malloc, or PYTHONMALLOC=debug, or PYTHONDEVMODE=1
static void
early_install_is_removed(void)
{
    EXPECT_EQ(pimalloc_install(NULL), 0);
    EXPECT_EQ(pimalloc_active(), 1);
    embed_preinit_python();
    EXPECT_EQ(pimalloc_active(), 0);
    embed_init_python();
    runs_without_us();
}

CASE_ENV_OF(pythonmalloc_removes_early_install, early_install_is_removed(),
            "PYTHONMALLOC=malloc")
CASE_ENV_OF(pythonmalloc_debug_removes_early_install,
            early_install_is_removed(), "PYTHONMALLOC=debug")
CASE_ENV_OF(dev_mode_removes_early_install, early_install_is_removed(),
            "PYTHONDEVMODE=1")

CASE(preconfig_allocator_removes_early_install)
{
    EXPECT_EQ(pimalloc_install(NULL), 0);
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.allocator = PYMEM_ALLOCATOR_PYMALLOC;
    embed_check_status(Py_PreInitialize(&preconfig));
    EXPECT_EQ(pimalloc_active(), 0);
    embed_init();
    runs_without_us();
}

// In the documented window we win over the environment.
static void
window_wins_over_environment(void)
{
    embed_preinit_python();
    embed_install();
    embed_init_python();
    EXPECT_EQ(pimalloc_active(), 1);
    use_python();
    embed_stop();
}

CASE_ENV_OF(window_wins_over_pythonmalloc, window_wins_over_environment(),
            "PYTHONMALLOC=malloc")
CASE_ENV_OF(window_wins_over_dev_mode, window_wins_over_environment(),
            "PYTHONDEVMODE=1")

// --- raw blocks that are older than the install ----------------------------

// What an embedder's main() does: strings and a config first, then install.
CASE(strings_from_before_the_install)
{
    wchar_t *program = Py_DecodeLocale(PIM_TEST_PYTHON, NULL);
    EXPECT(program != NULL);
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    // Preinitialises Python.
    embed_check_status(
        PyConfig_SetString(&config, &config.program_name, program));
    char *grows = PyMem_RawMalloc(100);
    char *shrinks = PyMem_RawMalloc(100000);
    memset(grows, 'g', 100);
    memset(shrinks, 's', 100000);
    embed_install();
    grows = PyMem_RawRealloc(grows, 300000);
    shrinks = PyMem_RawRealloc(shrinks, 10);
    EXPECT(grows != NULL && grows[99] == 'g');
    EXPECT(shrinks != NULL && shrinks[9] == 's');
    embed_check_status(
        PyConfig_SetString(&config, &config.executable, program));
    embed_check_status(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
    PyMem_RawFree(program);
    PyMem_RawFree(grows);
    PyMem_RawFree(shrinks);
    use_python();
    embed_expect_sane(embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_RAW]);
    embed_stop();
}

// env: PYTHONMALLOC=debug: those strings have the debug layer's header.
CASE_ENV(strings_of_the_debug_layer_from_before_the_install,
         "PYTHONMALLOC=debug")
{
    embed_preinit_python();
    strings_from_before_the_install();
}

// More frees of older blocks than there are blocks of ours.
CASE(raw_figures_do_not_wrap)
{
    enum { BLOCKS = 1000 };
    void *blocks[BLOCKS];
    embed_preinit();
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = PyMem_RawMalloc(100);
    }
    embed_install();
    for (int i = 0; i < BLOCKS; i++) {
        PyMem_RawFree(blocks[i]);
    }
    embed_expect_sane(embed_stats(PIMALLOC_PROCESS).domain[PIMALLOC_RAW]);
}

CASE(every_error_has_a_text)
{
    static const int errors[] = {0,       -EALREADY, -EBUSY,  -ENOTSUP, -ENOSYS,
                                 -ENOENT, -EPROTO,   -EINVAL, -ENOMEM,  -12345};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        EXPECT(strlen(pimalloc_strerror(errors[i])) > 10);
    }
    EXPECT_EQ(pimalloc_version(), PIMALLOC_VERSION);
    pimalloc_snapshot s = {.size = 3};
    EXPECT_EQ(pimalloc_stats(0, &s), -EINVAL);
    EXPECT_EQ(pimalloc_stats(0, NULL), -EINVAL);
}

// embed.c -- expectations, and Python's life in few words.

#define _GNU_SOURCE

#include "support/embed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/child.h"

// --- expectations ----------------------------------------------------------

void
embed_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: expected ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    fflush(NULL);
    _exit(1);
}

void
embed_skip(const char *why)
{
    fprintf(stderr, "skipped: %s", why);
    fflush(NULL);
    _exit(EMBED_SKIPPED);
}

void
embed_has(const char *file, int line, const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        embed_fail(file, line, "'%s' in: %s", part, text);
    }
}

// --- Python ----------------------------------------------------------------

bool
embed_is_vanilla(void)
{
    return getenv("EMBED_VANILLA") != NULL;
}

void
embed_skip_if_vanilla(const char *why)
{
    if (embed_is_vanilla()) {
        embed_skip(why);
    }
}

void
embed_check_status(PyStatus status)
{
    if (PyStatus_Exception(status)) {
        FAIL("no error from %s: %s",
             status.func != NULL ? status.func : "Python",
             status.err_msg != NULL ? status.err_msg : "(exit)");
    }
}

void
embed_preinit(void)
{
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    embed_check_status(Py_PreInitialize(&preconfig));
}

void
embed_preinit_python(void)
{
    PyPreConfig preconfig;
    PyPreConfig_InitPythonConfig(&preconfig);
    embed_check_status(Py_PreInitialize(&preconfig));
}

static void
init_from(PyConfig *config)
{
    embed_check_status(PyConfig_SetBytesString(config, &config->program_name,
                                               PIM_TEST_PYTHON));
    embed_check_status(Py_InitializeFromConfig(config));
    PyConfig_Clear(config);
}

void
embed_init(void)
{
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    init_from(&config);
}

void
embed_init_python(void)
{
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.site_import = 0;
    init_from(&config);
}

void
embed_install(void)
{
    if (!embed_is_vanilla()) {
        int err = pimalloc_install(NULL);
        if (err != 0) {
            FAIL("pimalloc_install() to work: %s", pimalloc_strerror(err));
        }
        EXPECT_EQ(pimalloc_active(), 1);
    }
}

void
embed_start(void)
{
    embed_preinit();
    embed_install();
    embed_init();
    EXPECT_EQ(pimalloc_active(), !embed_is_vanilla());
}

void
embed_stop(void)
{
    EXPECT_EQ(Py_FinalizeEx(), 0);
}

void
embed_run(const char *code)
{
    if (PyRun_SimpleString(code) != 0) {
        FAIL("this code to work: %s", code);
    }
}

long long
embed_eval(const char *expression)
{
    PyObject *main_module = PyImport_AddModule("__main__"); // borrowed
    PyObject *globals = PyModule_GetDict(main_module);
    PyObject *value = PyRun_String(expression, Py_eval_input, globals, globals);
    long long n = value != NULL ? PyLong_AsLongLong(value) : -1;
    if (PyErr_Occurred()) {
        PyErr_Print();
        FAIL("this expression to work: %s", expression);
    }
    Py_DECREF(value);
    return n;
}

// --- interpreters ----------------------------------------------------------

PyThreadState *
embed_new_interp(embed_kind kind)
{
    PyThreadState *sub = NULL;
    if (kind == EMBED_LEGACY) {
        sub = Py_NewInterpreter();
        EXPECT(sub != NULL);
        return sub;
    }
    const PyInterpreterConfig config = {
        .use_main_obmalloc = 0,
        .allow_fork = 0,
        .allow_exec = 0,
        .allow_threads = 1,
        .allow_daemon_threads = 0,
        .check_multi_interp_extensions = 1,
        .gil = kind == EMBED_OWN_GIL ? PyInterpreterConfig_OWN_GIL
                                     : PyInterpreterConfig_SHARED_GIL,
    };
    embed_check_status(Py_NewInterpreterFromConfig(&sub, &config));
    return sub;
}

embed_guest
embed_visit(embed_kind kind)
{
    PyThreadState *outer = PyThreadState_Get();
    return (embed_guest){outer, embed_new_interp(kind)};
}

void
embed_return(const embed_guest *guest)
{
    Py_EndInterpreter(guest->sub);
    PyThreadState_Swap(guest->outer);
}

void
embed_enter(embed_guest *guest, embed_kind kind)
{
    PyThreadState *boot = PyThreadState_New(PyInterpreterState_Main());
    EXPECT(boot != NULL);
    PyEval_RestoreThread(boot);
    *guest = embed_visit(kind);
}

void
embed_leave(embed_guest *guest)
{
    embed_return(guest);
    PyThreadState_Clear(guest->outer);
    PyThreadState_DeleteCurrent();
}

int64_t
embed_interp_id(void)
{
    return PyInterpreterState_GetID(PyInterpreterState_Get());
}

// --- figures ---------------------------------------------------------------

pimalloc_snapshot
embed_stats(int64_t interp)
{
    pimalloc_snapshot s = {.size = sizeof(s)};
    if (embed_is_vanilla()) {
        embed_skip("figures are ours alone");
    }
    int err = pimalloc_stats(interp, &s);
    if (err != 0) {
        FAIL("figures of interpreter %lld, got %d", (long long)interp, err);
    }
    EXPECT_EQ(s.size, sizeof(s));
    return s;
}

void
embed_expect_sane(pimalloc_usage usage)
{
    const uint64_t absurd = (uint64_t)1 << 48;
    if (usage.live_bytes > absurd || usage.live_blocks > absurd ||
        usage.peak_bytes > absurd || usage.peak_blocks > absurd ||
        usage.peak_bytes < usage.live_bytes ||
        usage.peak_blocks < usage.live_blocks) {
        FAIL("sane figures: live %lld bytes, %lld blocks, peak %lld, %lld",
             (long long)usage.live_bytes, (long long)usage.live_blocks,
             (long long)usage.peak_bytes, (long long)usage.peak_blocks);
    }
}

pimalloc_limit
embed_limit(int64_t interp)
{
    pimalloc_limit limit = {.size = sizeof(limit)};
    EXPECT_EQ(pimalloc_limit_get(interp, &limit), 0);
    return limit;
}

char *
embed_stats_text(void)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    EXPECT(out != NULL);
    pimalloc_stats_print(out);
    fclose(out);
    return text;
}

// --- other processes, and what is said ---------------------------------------

static void
run_body(void *body)
{
    (*(void (**)(void))body)();
}

int
embed_in_child(void (*body)(void), char *text, size_t size)
{
    return child_run(run_body, &body, text, size);
}

static FILE *heard;
static int stderr_before;

void
embed_hear(void)
{
    fflush(stderr);
    heard = tmpfile();
    EXPECT(heard != NULL);
    stderr_before = dup(STDERR_FILENO);
    dup2(fileno(heard), STDERR_FILENO);
}

char *
embed_heard(void)
{
    char *text = NULL;
    size_t size = 0;
    fflush(stderr);
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    rewind(heard);
    EXPECT(getdelim(&text, &size, '\0', heard) > 0);
    fclose(heard);
    return text;
}

// --- threads ---------------------------------------------------------------

pthread_t
embed_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, run, arg), 0);
    return thread;
}

void
embed_join(pthread_t thread)
{
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

void
embed_sleep_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000,
                                 .tv_nsec = ms % 1000 * 1000000L},
              NULL);
}

uint32_t
embed_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

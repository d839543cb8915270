// embed.h -- what the embed tests share: cases in processes of their own, and
// Python's life and interpreters in few words.
//
// CPython's state belongs to the process and some cases end it badly when they
// fail, so the test program runs each case in a child:
//
//     embed_install_py3.13.0              all cases, one child each (cmocka)
//     embed_install_py3.13.0 NAME         one case, here: for a debugger
//
// A case is killed if it takes longer than patience() (support/patience.h).  In
// a case nothing is returned: EXPECT() and its kin print and exit.  With
// EMBED_VANILLA=1 in the environment nothing is installed and figures are not
// compared, which tells CPython's own failures from ours.

#ifndef PIM_TESTS_EMBED_H
#define PIM_TESTS_EMBED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <pimalloc/pimalloc.h>
#include <pimalloc/tenants.h>

// CASE(name) { ... } is a case of the program, CASE_ENV(name, "NAME=value") one
// with something in its environment.
typedef struct embed_case {
    const char *name;
    void (*run)(void);
    const char *env[3]; // for the child
    int line;
    struct embed_case *next;
} embed_case;

#define CASE(name) CASE_ENV(name, NULL)
#define CASE_ENV(name_, ...)                                                   \
    static void name_(void);                                                   \
    __attribute__((constructor)) static void name_##_lists(void)               \
    {                                                                          \
        static embed_case self = {.name = #name_,                              \
                                  .run = (name_),                              \
                                  .env = {__VA_ARGS__},                        \
                                  .line = __LINE__};                           \
        embed_list(&self);                                                     \
    }                                                                          \
    static void name_(void)

// Rows of a table: the case is one call.
#define CASE_OF(name, call) CASE_ENV_OF(name, call, NULL)
#define CASE_ENV_OF(name, call, ...)                                           \
    CASE_ENV(name, __VA_ARGS__)                                                \
    {                                                                          \
        call;                                                                  \
    }

void embed_list(embed_case *c);

// --- expectations ----------------------------------------------------------

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
_Noreturn void
embed_fail(const char *file, int line, const char *format, ...);

// The case does not apply here: it ends with this status.
#define EMBED_SKIPPED 77
_Noreturn void embed_skip(const char *why);

// Where pimalloc is not installed.
void embed_skip_if_vanilla(const char *why);

#define FAIL(...) embed_fail(__FILE__, __LINE__, __VA_ARGS__)

#define EXPECT(condition)                                                      \
    do {                                                                       \
        if (!(condition)) {                                                    \
            FAIL("%s", #condition);                                            \
        }                                                                      \
    } while (0)

#define EXPECT_COMPARE(a, op, b)                                               \
    do {                                                                       \
        long long embed_a = (long long)(a);                                    \
        long long embed_b = (long long)(b);                                    \
        if (!(embed_a op embed_b)) {                                           \
            FAIL("%s " #op " %s, but they are %lld and %lld", #a, #b, embed_a, \
                 embed_b);                                                     \
        }                                                                      \
    } while (0)

#define EXPECT_EQ(a, b) EXPECT_COMPARE(a, ==, b)
#define EXPECT_GE(a, b) EXPECT_COMPARE(a, >=, b)
#define EXPECT_GT(a, b) EXPECT_COMPARE(a, >, b)
#define EXPECT_LE(a, b) EXPECT_COMPARE(a, <=, b)
#define EXPECT_HAS(text, part) embed_has(__FILE__, __LINE__, text, part)

void embed_has(const char *file, int line, const char *text, const char *part);

// --- Python ----------------------------------------------------------------

#define PY_312 (PY_VERSION_HEX < 0x030d0000)
#define PY_313 (!PY_312 && PY_VERSION_HEX < 0x030e0000)
#define PY_314 (PY_VERSION_HEX >= 0x030e0000 && PY_VERSION_HEX < 0x030f0000)
#define PY_314_OR_NEWER (PY_VERSION_HEX >= 0x030e0000)

#ifdef Py_DEBUG
#    define PY_IS_DEBUG 1
#else
#    define PY_IS_DEBUG 0
#endif

bool embed_is_vanilla(void);

// Py_PreInitialize(): isolated, or as `python` does (reads the environment).
void embed_preinit(void);
void embed_preinit_python(void);

// Py_InitializeFromConfig() to match.
void embed_init(void);
void embed_init_python(void);

// Installs with the defaults, which must work.  Nothing if vanilla.
void embed_install(void);

// All three, and checks that Python runs on pimalloc.
void embed_start(void);

// Py_FinalizeEx(), which must work.
void embed_stop(void);

// Runs Python code in the current interpreter; it must not raise.
void embed_run(const char *code);

// The value of an int expression in the current interpreter's __main__.
long long embed_eval(const char *expression);

void embed_check_status(PyStatus status);

// --- interpreters ----------------------------------------------------------

typedef enum embed_kind {
    EMBED_OWN_GIL,    // own GIL, own obmalloc
    EMBED_SHARED_GIL, // main's GIL, own obmalloc
    EMBED_LEGACY,     // Py_NewInterpreter()
} embed_kind;

// Creates an interpreter and makes it current.  A thread state must be attached.
PyThreadState *embed_new_interp(embed_kind kind);

// The same, and the way back: the interpreter ends.
typedef struct embed_guest {
    PyThreadState *outer; // current before and after
    PyThreadState *sub;
} embed_guest;

embed_guest embed_visit(embed_kind kind);
void embed_return(const embed_guest *guest);

// For a thread that has no thread state yet; `outer` is one of the main interpreter.
void embed_enter(embed_guest *guest, embed_kind kind);
void embed_leave(embed_guest *guest);

// CPython's id of the current interpreter.
int64_t embed_interp_id(void);

// --- figures ---------------------------------------------------------------

// A snapshot that must be there.
pimalloc_snapshot embed_stats(int64_t interp);

// A limit that must be there.
pimalloc_limit embed_limit(int64_t interp);

// No figure has wrapped, and no peak is below its live figure.
void embed_expect_sane(pimalloc_usage usage);

// What pimalloc_stats_print() prints, as text; to be freed with free().
char *embed_stats_text(void);

// --- other processes, and what is said ---------------------------------------

// Runs `body` in a forked child.  Returns its exit status or minus the signal that
// ended it, and the beginning of its stderr.
int embed_in_child(void (*body)(void), char *text, size_t size);

// Keeps what goes to stderr until embed_heard(), which returns it, to be freed.
void embed_hear(void);
char *embed_heard(void);

// --- threads ---------------------------------------------------------------

pthread_t embed_thread(void *(*run)(void *), void *arg);
void embed_join(pthread_t thread);
void embed_sleep_ms(int ms);

// Random numbers, same in every run.
uint32_t embed_random(uint32_t *state);

#endif // PIM_TESTS_EMBED_H

// expect.c -- runs a suite's cases; how a failed expectation ends.

#define _GNU_SOURCE

#include "support/expect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t test_thread; // the thread that runs cmocka

__attribute__((constructor)) static void
remember_test_thread(void)
{
    test_thread = (pid_t)syscall(SYS_gettid);
}

static expect_case *cases; // by line

void
expect_list(expect_case *c)
{
    expect_case **at = &cases;
    while (*at != NULL && (*at)->line <= c->line) {
        at = &(*at)->next;
    }
    c->next = *at;
    *at = c;
}

int
expect_span(const expect_suite *suite)
{
    static struct CMUnitTest tests[64];
    size_t n = 0;
    for (const expect_case *c = cases; c != NULL; c = c->next) {
        if (n == sizeof(tests) / sizeof(tests[0])) {
            fprintf(stderr, "more than %zu cases in a suite\n", n);
            abort();
        }
        tests[n] = c->test;
        if (!c->own) {
            tests[n].setup_func = suite->begin;
            tests[n].teardown_func = suite->end;
        }
        n++;
    }
    return _cmocka_run_group_tests(suite->file, tests, n, suite->set_up,
                                   suite->tear_down);
}

_Noreturn void
expect_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: expected: %s\n", file, line, what);
    fflush(stderr);
    if ((pid_t)syscall(SYS_gettid) == test_thread) {
        _fail(file, line);
    }
    abort();
}

_Noreturn void
expect_differs(const char *file, int line, const char *what, intmax_t a,
               intmax_t b)
{
    char text[512];
    snprintf(text, sizeof(text),
             "%s; it is %" PRIdMAX " (0x%" PRIxMAX ") and %" PRIdMAX
             " (0x%" PRIxMAX ")",
             what, a, (uintmax_t)a, b, (uintmax_t)b);
    expect_failed(file, line, text);
}

// expect.h -- comparisons that print both values, for every suite.
//
// In the test's own thread a failure ends the test; in another thread or in a
// forked child, where cmocka cannot jump, it ends the process.

#ifndef PIM_TESTS_EXPECT_H
#define PIM_TESTS_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

// TEST(name_is_a_claim) { ... } is a case.  SUITE() runs those of the file in the
// order in which they stand there.
//
//     SUITE(.set_up = core_set_up, .begin = begin, .end = end)
typedef struct expect_suite {
    const char *file;
    CMFixtureFunction set_up; // once
    CMFixtureFunction tear_down;
    CMFixtureFunction begin; // for each TEST()
    CMFixtureFunction end;
} expect_suite;

#define TEST(name) TEST_FORM(name, EXPECT_LIST(name, name, false, NULL, NULL))

// A row of a table: the case is one call.
#define TEST_OF(name, call)                                                    \
    TEST(name)                                                                 \
    {                                                                          \
        call;                                                                  \
    }

// A case with a beginning and an end of its own, or with none.
#define TEST_WITH(name, begin, end)                                            \
    TEST_FORM(name, EXPECT_LIST(name, name, true, begin, end))

#define TEST_FORM(name, lists)                                                 \
    static void name(void **state);                                            \
    lists static void name(void **state __attribute__((unused)))

#define SUITE(...)                                                             \
    int main(void)                                                             \
    {                                                                          \
        return expect_span(                                                    \
            &(const expect_suite){.file = __FILE__, __VA_ARGS__});             \
    }

typedef struct expect_case {
    struct CMUnitTest test;
    int line;
    bool own; // its beginning and end are not the suite's
    struct expect_case *next;
} expect_case;

#define EXPECT_LIST(title, function, own, begin, end)                          \
    __attribute__((constructor)) static void title##_lists(void)               \
    {                                                                          \
        static expect_case self = {                                            \
            {#title, function, begin, end, NULL}, __LINE__, own, NULL};        \
        expect_list(&self);                                                    \
    }

void expect_list(expect_case *c);
int expect_span(const expect_suite *suite);

// Prints "file:line: what" and gives up.
_Noreturn void expect_failed(const char *file, int line, const char *what);

// Prints the expression with both values and gives up.
_Noreturn void expect_differs(const char *file, int line, const char *what,
                              intmax_t a, intmax_t b);

#define EXPECT_COMPARE(a, op, b)                                               \
    do {                                                                       \
        intmax_t a_ = (intmax_t)(a);                                           \
        intmax_t b_ = (intmax_t)(b);                                           \
        if (!(a_ op b_)) {                                                     \
            expect_differs(__FILE__, __LINE__, #a " " #op " " #b, a_, b_);     \
        }                                                                      \
    } while (0)

#define EXPECT_EQ(a, b) EXPECT_COMPARE(a, ==, b)
#define EXPECT_NE(a, b) EXPECT_COMPARE(a, !=, b)
#define EXPECT_LE(a, b) EXPECT_COMPARE(a, <=, b)
#define EXPECT_LT(a, b) EXPECT_COMPARE(a, <, b)
#define EXPECT_GE(a, b) EXPECT_COMPARE(a, >=, b)
#define EXPECT_GT(a, b) EXPECT_COMPARE(a, >, b)

#define EXPECT_PTR_EQ(a, b)                                                    \
    EXPECT_EQ((intptr_t)(const void *)(a), (intptr_t)(const void *)(b))
#define EXPECT_PTR_NE(a, b)                                                    \
    EXPECT_NE((intptr_t)(const void *)(a), (intptr_t)(const void *)(b))
#define EXPECT_NULL(p) EXPECT_PTR_EQ(p, NULL)
#define EXPECT_NOT_NULL(p) EXPECT_PTR_NE(p, NULL)

#define EXPECT(cond)                                                           \
    do {                                                                       \
        if (!(cond)) {                                                         \
            expect_failed(__FILE__, __LINE__, #cond);                          \
        }                                                                      \
    } while (0)

#endif // PIM_TESTS_EXPECT_H

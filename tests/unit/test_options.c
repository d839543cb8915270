// test_options.c -- the PIMALLOC_* variables.

#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>

#include "platform/options.h"
#include "support/core.h"
#include "support/expect.h"

// A variable as the test wants it, read in a child, as it is read once a process.
typedef struct variable {
    const char *name;
    const char *value;
    void (*check)(const pim_options *o);
} variable;

static void
read_options(void *arg)
{
    const variable *v = arg;
    pim_options o;
    clearenv();
    setenv("PIM", "1", 1);
    setenv("OTHER_PIMALLOC_X", "1", 1);
    if (v->name != NULL) {
        setenv(v->name, v->value, 1);
    }
    pim_options_read(&o);
    pim_options_read(&o); // says nothing more
    v->check(&o);
}

// Reads the variable and expects what it prints: nothing, or one line.
static void
expect_options(const char *name, const char *value,
               void (*check)(const pim_options *), const char *said)
{
    char text[1024];
    variable v = {name, value, check};
    EXPECT_EQ(core_in_child(read_options, &v, text, sizeof(text)), 0);
    if (said == NULL) {
        EXPECT_EQ(strlen(text), 0);
        return;
    }
    if (strstr(text, said) == NULL) {
        expect_failed(__FILE__, __LINE__, text);
    }
    EXPECT_PTR_EQ(strchr(text, '\n'), text + strlen(text) - 1);
}

static void
is_default(const pim_options *o)
{
    EXPECT_NULL(o->mimalloc);
    EXPECT_EQ(o->region_bytes, 0);
    EXPECT(!o->tstate_by_call);
    EXPECT(!o->verbose);
}

static void
has_library(const pim_options *o)
{
    EXPECT_EQ(strcmp(o->mimalloc, "/x/lib.so"), 0);
}

static void
has_64g(const pim_options *o)
{
    EXPECT_EQ(o->region_bytes, (size_t)64 << 30);
}

static void
has_12345(const pim_options *o)
{
    EXPECT_EQ(o->region_bytes, 12345);
}

static void
asks_getter(const pim_options *o)
{
    EXPECT(o->tstate_by_call);
}

static void
is_verbose(const pim_options *o)
{
    EXPECT(o->verbose);
}

TEST(nothing_set_is_the_default)
{
    expect_options(NULL, NULL, is_default, NULL);
}

TEST(each_option_is_read)
{
    expect_options("PIMALLOC_MIMALLOC", "/x/lib.so", has_library, NULL);
    expect_options("PIMALLOC_REGION", "64G", has_64g, NULL);
    expect_options("PIMALLOC_REGION", "65536M", has_64g, NULL);
    expect_options("PIMALLOC_REGION", "67108864K", has_64g, NULL);
    expect_options("PIMALLOC_REGION", "12345", has_12345, NULL);
    expect_options("PIMALLOC_TSTATE", "call", asks_getter, NULL);
    expect_options("PIMALLOC_TSTATE", "auto", is_default, NULL);
    expect_options("PIMALLOC_VERBOSE", "1", is_verbose, NULL);
    expect_options("PIMALLOC_VERBOSE", "0", is_default, NULL);
}

TEST(bad_values_are_reported_once_and_ignored)
{
    static const char *const sizes[] = {"",
                                        "0",
                                        "-1",
                                        "64X",
                                        "64GG",
                                        "G",
                                        " 64G",
                                        "1e9",
                                        "99999999999999999999",
                                        "17179869184G",
                                        "0x10"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        expect_options("PIMALLOC_REGION", sizes[i], is_default,
                       "a size such as 64G");
    }
    expect_options("PIMALLOC_TSTATE", "word", is_default, "auto or call");
    expect_options("PIMALLOC_VERBOSE", "yes", is_default, "0 or 1");
    expect_options("PIMALLOC_MIMALLOC", "", is_default, "bad value");
}

TEST(unknown_names_are_reported_with_the_valid_ones)
{
    expect_options("PIMALLOC_VERBOS", "1", is_default,
                   "no option PIMALLOC_VERBOS;");
    expect_options("PIMALLOC_REGIONS", "1G", is_default, "PIMALLOC_TSTATE");
    expect_options("PIMALLOC_", "1", is_default, "PIMALLOC_MIMALLOC");
    expect_options("PIMALLOC_region", "1G", is_default, "PIMALLOC_REGION");
}

int
main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(nothing_set_is_the_default),
        CASE(each_option_is_read),
        CASE(bad_values_are_reported_once_and_ignored),
        CASE(unknown_names_are_reported_with_the_valid_ones),
    };
    return RUN(cases, NULL, NULL);
}

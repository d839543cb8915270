// test_options.c -- the PIMALLOC_* variables.

#define _GNU_SOURCE

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "api/env_options.h"
#include "pimalloc/tenants.h"
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
    EXPECT_EQ(o->limit_soft, 0);
    EXPECT_EQ(o->limit_hard, 0);
    EXPECT_EQ(o->limit_tree, PIM_TREE_UNSAID);
    EXPECT(!o->tstate_by_call);
    EXPECT(!o->verbose);
    EXPECT(!o->debug);
    EXPECT(!o->check);
    EXPECT(!o->run_check);
    EXPECT(!o->purge_thread);
    EXPECT_EQ(o->teardown, 0);
    EXPECT_EQ(o->stats_format, -1);
    EXPECT_NULL(o->stats_file);
    EXPECT_EQ(o->stats_signal, 0);
    EXPECT_EQ(o->leaks, PIM_LEAKS_UNTOLD);
    EXPECT_NULL(o->leaks_file);
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
has_1234567(const pim_options *o)
{
    EXPECT_EQ(o->region_bytes, 1234567);
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

static void
is_debug(const pim_options *o)
{
    EXPECT(o->debug);
}

static void
is_check(const pim_options *o)
{
    EXPECT(o->check);
    EXPECT(!o->run_check);
}

static void
is_run_check(const pim_options *o)
{
    EXPECT(o->run_check);
    EXPECT(!o->check);
}

static void
wants_text(const pim_options *o)
{
    EXPECT_EQ(o->stats_format, PIMALLOC_TEXT);
    EXPECT_NULL(o->stats_file);
}

static void
wants_json(const pim_options *o)
{
    EXPECT_EQ(o->stats_format, PIMALLOC_JSON);
    EXPECT_NULL(o->stats_file);
}

static void
wants_json_in_file(const pim_options *o)
{
    EXPECT_EQ(o->stats_format, PIMALLOC_JSON);
    EXPECT_EQ(strcmp(o->stats_file, "/tmp/a:b %p.json"), 0);
}

static void
wants_openmetrics_in_file(const pim_options *o)
{
    EXPECT_EQ(o->stats_format, PIMALLOC_OPENMETRICS);
    EXPECT_EQ(strcmp(o->stats_file, "m.prom"), 0);
}

static void
has_usr1(const pim_options *o)
{
    EXPECT_EQ(o->stats_signal, SIGUSR1);
}

static void
has_hup(const pim_options *o)
{
    EXPECT_EQ(o->stats_signal, SIGHUP);
}

static void
has_rtmin_3(const pim_options *o)
{
    EXPECT_EQ(o->stats_signal, SIGRTMIN + 3);
}

static void
has_soft_limit(const pim_options *o)
{
    EXPECT_EQ(o->limit_soft, 64 << 20);
    EXPECT_EQ(o->limit_hard, 0);
}

static void
has_both_limits(const pim_options *o)
{
    EXPECT_EQ(o->limit_soft, 64 << 20);
    EXPECT_EQ(o->limit_hard, (uint64_t)1 << 30);
}

TEST(limits_are_one_size_or_two)
{
    expect_options("PIMALLOC_LIMIT", "64M", has_soft_limit, NULL);
    expect_options("PIMALLOC_LIMIT", "67108864", has_soft_limit, NULL);
    expect_options("PIMALLOC_LIMIT", "64M:1G", has_both_limits, NULL);
    static const char *const bad[] = {"0",    "x",     "64M:",     "64M:0",
                                      ":64M", "64M:x", "64M:63M",  "64M 65M",
                                      "-1",   "64MM",  "64M:65M:", "64M:-1",
                                      "64",   "1023K", "64MB",     "1.5G"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(bad); i++) {
        expect_options("PIMALLOC_LIMIT", bad[i], is_default, "SOFT:HARD");
    }
}

static void
counts_none(const pim_options *o)
{
    EXPECT_EQ(o->limit_tree, PIM_TREE_NONE);
}

static void
counts_tenants(const pim_options *o)
{
    EXPECT_EQ(o->limit_tree, PIM_TREE_TENANTS);
}

static void
counts_all(const pim_options *o)
{
    EXPECT_EQ(o->limit_tree, PIM_TREE_ALL);
}

TEST(children_count_or_not)
{
    expect_options("PIMALLOC_LIMIT_TREE", "none", counts_none, NULL);
    expect_options("PIMALLOC_LIMIT_TREE", "tenants", counts_tenants, NULL);
    expect_options("PIMALLOC_LIMIT_TREE", "all", counts_all, NULL);
    static const char *const bad[] = {"0", "1", "no", "All", "all "};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(bad); i++) {
        expect_options("PIMALLOC_LIMIT_TREE", bad[i], is_default,
                       "none, tenants or all");
    }
}

static void
keeps(const pim_options *o)
{
    EXPECT_EQ(o->teardown, PIMALLOC_KEEP);
}

static void
poisons(const pim_options *o)
{
    EXPECT_EQ(o->teardown, PIMALLOC_POISON);
}

static void
releases(const pim_options *o)
{
    EXPECT_EQ(o->teardown, PIMALLOC_RELEASE);
}

static void
has_purge_thread(const pim_options *o)
{
    EXPECT(o->purge_thread);
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
    expect_options("PIMALLOC_REGION", "1234567", has_1234567, NULL);
    expect_options("PIMALLOC_TSTATE", "call", asks_getter, NULL);
    expect_options("PIMALLOC_TSTATE", "auto", is_default, NULL);
    expect_options("PIMALLOC_VERBOSE", "1", is_verbose, NULL);
    expect_options("PIMALLOC_VERBOSE", "0", is_default, NULL);
    expect_options("PIMALLOC_DEBUG", "1", is_debug, NULL);
    expect_options("PIMALLOC_DEBUG", "0", is_default, NULL);
    expect_options("PIMALLOC_CHECK", "1", is_check, NULL);
    expect_options("PIMALLOC_CHECK", "0", is_default, NULL);
    expect_options("PIMALLOC_RUN_CHECK", "1", is_run_check, NULL);
    expect_options("PIMALLOC_RUN_CHECK", "0", is_default, NULL);
    expect_options("PIMALLOC_PURGE_THREAD", "1", has_purge_thread, NULL);
    expect_options("PIMALLOC_TEARDOWN", "keep", keeps, NULL);
    expect_options("PIMALLOC_TEARDOWN", "poison", poisons, NULL);
    expect_options("PIMALLOC_TEARDOWN", "release", releases, NULL);
}

TEST(statistics_have_a_form_and_may_have_a_file)
{
    expect_options("PIMALLOC_STATS", "1", wants_text, NULL);
    expect_options("PIMALLOC_STATS", "text", wants_text, NULL);
    expect_options("PIMALLOC_STATS", "json", wants_json, NULL);
    expect_options("PIMALLOC_STATS", "json:/tmp/a:b %p.json",
                   wants_json_in_file, NULL);
    expect_options("PIMALLOC_STATS", "openmetrics:m.prom",
                   wants_openmetrics_in_file, NULL);
    expect_options("PIMALLOC_STATS", "0", is_default, NULL);
}

static void
tells_leaks_as_text(const pim_options *o)
{
    EXPECT_EQ(o->leaks, PIM_LEAKS_TEXT);
    EXPECT_NULL(o->leaks_file);
}

static void
tells_leaks_as_json_in_file(const pim_options *o)
{
    EXPECT_EQ(o->leaks, PIM_LEAKS_JSON);
    EXPECT_EQ(strcmp(o->leaks_file, "left:%p"), 0);
}

static void
fails_for_leaks(const pim_options *o)
{
    EXPECT_EQ(o->leaks, PIM_LEAKS_FAIL);
    EXPECT_NULL(o->leaks_file);
}

TEST(leaks_have_a_form_and_may_have_a_file)
{
    expect_options("PIMALLOC_LEAKS", "1", tells_leaks_as_text, NULL);
    expect_options("PIMALLOC_LEAKS", "text", tells_leaks_as_text, NULL);
    expect_options("PIMALLOC_LEAKS", "json:left:%p",
                   tells_leaks_as_json_in_file, NULL);
    expect_options("PIMALLOC_LEAKS", "fail", fails_for_leaks, NULL);
    expect_options("PIMALLOC_LEAKS", "0", is_default, NULL);
    expect_options("PIMALLOC_LEAKS", "", is_default, NULL);
    expect_options("PIMALLOC_LEAKS", "openmetrics", is_default,
                   "text, json or fail");
    expect_options("PIMALLOC_LEAKS", "json:", is_default, "text, json or fail");
}

TEST(signals_have_names_and_numbers)
{
    expect_options("PIMALLOC_STATS_SIGNAL", "USR1", has_usr1, NULL);
    expect_options("PIMALLOC_STATS_SIGNAL", "SIGUSR1", has_usr1, NULL);
    expect_options("PIMALLOC_STATS_SIGNAL", "sigUsr1", has_usr1, NULL);
    expect_options("PIMALLOC_STATS_SIGNAL", "10", has_usr1, NULL);
    expect_options("PIMALLOC_STATS_SIGNAL", "HUP", has_hup, NULL);
    expect_options("PIMALLOC_STATS_SIGNAL", "RTMIN+3", has_rtmin_3, NULL);
    expect_options("PIMALLOC_STATS_SIGNAL", "SIGRTMIN+3", has_rtmin_3, NULL);
}

// setproctitle() writes over the environment that a process started with.
static void
read_and_overwrite(void *arg)
{
    char file[] = "PIMALLOC_STATS=json:/tmp/a:b %p.json";
    char library[] = "PIMALLOC_MIMALLOC=/x/lib.so";
    pim_options o;
    (void)arg;
    clearenv();
    putenv(file);
    putenv(library);
    pim_options_read(&o);
    const char *first = o.stats_file;
    pim_options_read(&o);
    EXPECT_PTR_EQ(o.stats_file, first); // the same text is kept once
    memset(file, 'x', sizeof(file));
    memset(library, 'x', sizeof(library));
    wants_json_in_file(&o);
    has_library(&o);
    clearenv();
}

TEST(texts_outlive_the_environment)
{
    char text[1024];
    EXPECT_EQ(core_in_child(read_and_overwrite, NULL, text, sizeof(text)), 0);
    EXPECT_EQ(strlen(text), 0);
}

// Not set, so not bad: scripts write VARIABLE="$choice".
TEST(empty_values_count_as_not_set)
{
    static const char *const names[] = {
        "PIMALLOC_MIMALLOC",  "PIMALLOC_REGION",    "PIMALLOC_TSTATE",
        "PIMALLOC_VERBOSE",   "PIMALLOC_DEBUG",     "PIMALLOC_STATS",
        "PIMALLOC_CHECK",     "PIMALLOC_X",         "PIMALLOC_STATS_SIGNAL",
        "PIMALLOC_RUN_CHECK", "PIMALLOC_LIMIT",     "PIMALLOC_PURGE_THREAD",
        "PIMALLOC_TEARDOWN",  "PIMALLOC_LIMIT_TREE"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(names); i++) {
        expect_options(names[i], "", is_default, NULL);
    }
}

TEST(bad_values_are_reported_once_and_ignored)
{
    static const char *const sizes[] = {"0",
                                        "-1",
                                        "64X",
                                        "64GG",
                                        "G",
                                        " 64G",
                                        "1e9",
                                        "99999999999999999999",
                                        "17179869184G",
                                        "0x10",
                                        "5",
                                        "1023K"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(sizes); i++) {
        expect_options("PIMALLOC_REGION", sizes[i], is_default,
                       "K, M, G or T such as 64G, 1M at least");
    }
    expect_options("PIMALLOC_TSTATE", "word", is_default, "auto or call");
    expect_options("PIMALLOC_VERBOSE", "yes", is_default, "0 or 1");
    expect_options("PIMALLOC_DEBUG", "on", is_default, "0 or 1");
    expect_options("PIMALLOC_CHECK", "2", is_default, "0 or 1");
    expect_options("PIMALLOC_RUN_CHECK", "2", is_default, "0 or 1");
    expect_options("PIMALLOC_CHILDREN", "0", is_default, NULL);
    expect_options("PIMALLOC_CHILDREN", "0:123", is_default, NULL);
    expect_options("PIMALLOC_CHILDREN", "1:123", is_default, "0 or 1");

    static const char *const stats[] = {
        "2",     "yes", "JSON",       "json:",        "text:",   ":file",
        "jsonx", "jso", "1:file",     "0:file",       " json",   "prometheus",
        "json ", ":",   "text,json:", "openmetrics:", "text :x", "-1"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(stats); i++) {
        expect_options("PIMALLOC_STATS", stats[i], is_default,
                       "text, json or openmetrics");
    }
}

TEST(signals_that_are_taken_are_refused)
{
    static const char *const signals[] = {
        "KILL",    "SIGKILL", "9",        "STOP",       "19",        "SEGV",
        "SIGSEGV", "11",      "BUS",      "FPE",        "ILL",       "TRAP",
        "ABRT",    "6",       "SYS",      "CHLD",       "PIPE",      "CONT",
        "TSTP",    "TTIN",    "TTOU",     "0",          "-1",        "32",
        "33",      "65",      "1000",     "USR",        "USR3",      "usr3",
        "SIG",     "SIG10",   "10x",      "+10",        " 10",       "RTMIN+",
        "RTMIN+x", "RTMIN-1", "RTMIN+99", "SIGSIGUSR1", "RTMIN+1000"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(signals); i++) {
        expect_options("PIMALLOC_STATS_SIGNAL", signals[i], is_default,
                       "a signal that is free");
    }
}

TEST(unknown_names_are_reported_with_the_valid_ones)
{
    expect_options("PIMALLOC_VERBOS", "1", is_default,
                   "no option PIMALLOC_VERBOS;");
    expect_options("PIMALLOC_REGIONS", "1G", is_default, "PIMALLOC_TSTATE");
    expect_options("PIMALLOC_", "1", is_default, "PIMALLOC_MIMALLOC");
    expect_options("PIMALLOC_region", "1G", is_default, "PIMALLOC_REGION");
    expect_options("PIMALLOC_X", "1", is_default,
                   "valid are PIMALLOC_CHECK, PIMALLOC_CHILDREN, "
                   "PIMALLOC_DEBUG, PIMALLOC_LEAKS, PIMALLOC_LIMIT, "
                   "PIMALLOC_LIMIT_TREE, PIMALLOC_MIMALLOC, "
                   "PIMALLOC_PURGE_THREAD, PIMALLOC_REGION, PIMALLOC_STATS, "
                   "PIMALLOC_STATS_SIGNAL, PIMALLOC_TEARDOWN, PIMALLOC_TSTATE, "
                   "PIMALLOC_VERBOSE\n");
}

SUITE()

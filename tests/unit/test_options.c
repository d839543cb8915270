// test_options.c -- the PIMALLOC_* variables.

#define _GNU_SOURCE

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "api/env_options.h"
#include "pimalloc/profile.h"
#include "pimalloc/tenants.h"
#include "platform/rules.h"
#include "support/core.h"

#define FILE_NAME "/tmp/a:b %p.json"

// --- options as text -------------------------------------------------------------

#define TEXT_MAX 256

static void
add(char *text, const char *name, long long value, long long otherwise)
{
    if (value != otherwise) {
        size_t length = strlen(text);
        snprintf(text + length, TEXT_MAX - length, " %s=%lld", name, value);
    }
}

static void
add_text(char *text, const char *name, const char *value)
{
    if (value != NULL) {
        size_t length = strlen(text);
        snprintf(text + length, TEXT_MAX - length, " %s=%s", name, value);
    }
}

// What is not the default.
static void
describe(const pim_options *o, char *text)
{
    text[0] = '\0';
    add_text(text, "mimalloc", o->mimalloc);
    add_text(text, "record", o->record);
    add(text, "region", (long long)o->region_bytes, 0);
    add(text, "soft", (long long)o->limit_soft, 0);
    add(text, "hard", (long long)o->limit_hard, 0);
    add_text(text, "faults", o->faults);
    add(text, "tree", o->limit_tree, PIM_TREE_UNSAID);
    add(text, "getter", o->tstate_by_call, false);
    add(text, "verbose", o->verbose, false);
    add(text, "debug", o->debug, false);
    add(text, "check", o->check, false);
    add(text, "run_check", o->run_check, false);
    add(text, "purge_thread", o->purge_thread, false);
    add(text, "teardown", o->teardown, 0);
    add(text, "trace", o->trace, 0);
    add(text, "stats", o->stats_format, -1);
    add_text(text, "stats_file", o->stats_file);
    add(text, "signal", o->stats_signal, 0);
    add(text, "leaks", o->leaks, PIM_LEAKS_UNTOLD);
    add_text(text, "leaks_file", o->leaks_file);
    add(text, "profile", o->profile_format, -1);
    add_text(text, "profile_file", o->profile_file);
    add(text, "period", (long long)o->profile_period, 0);
    add(text, "seconds", o->profile_seconds, 0);
    add(text, "keep", o->profile_keep, PIM_PROFILE_KEEP);
}

// What describe() says; valid until the next call.
static const char *
number(const char *name, long long value)
{
    static char text[TEXT_MAX];
    snprintf(text, sizeof(text), " %s=%lld", name, value);
    return text;
}

static const char *
in_file(const char *name, int form, const char *file)
{
    static char text[TEXT_MAX];
    snprintf(text, sizeof(text), " %s=%d %s_file=%s", name, form, name, file);
    return text;
}

// A variable as the test wants it, read in a child, as it is read once a process.
typedef struct variable {
    const char *name;
    const char *value;
    const char *options;
} variable;

static void
read_options(void *arg)
{
    const variable *v = arg;
    pim_options o;
    char found[TEXT_MAX];
    clearenv();
    setenv("PIM", "1", 1);
    setenv("OTHER_PIMALLOC_X", "1", 1);
    if (v->name != NULL) {
        setenv(v->name, v->value, 1);
    }
    pim_options_read(&o);
    pim_options_read(&o); // says nothing more
    describe(&o, found);
    if (strcmp(found, v->options) != 0) {
        expect_failed(__FILE__, __LINE__, found);
    }
}

// Such a variable gives such options and nothing is said.
static void
expect_read(const char *name, const char *value, const char *options)
{
    char text[1024];
    variable v = {name, value, options};
    EXPECT_EQ(core_in_child(read_options, &v, text, sizeof(text)), 0);
    EXPECT_EQ(strlen(text), 0);
}

// It changes nothing, and one line says why.
static void
expect_refused(const char *name, const char *value, const char *said)
{
    char text[1024];
    variable v = {name, value, ""};
    EXPECT_EQ(core_in_child(read_options, &v, text, sizeof(text)), 0);
    if (strstr(text, said) == NULL) {
        expect_failed(__FILE__, __LINE__, text);
    }
    EXPECT_PTR_EQ(strchr(text, '\n'), text + strlen(text) - 1);
}

// --- each of them ----------------------------------------------------------------

TEST(limits_are_one_size_or_two)
{
    expect_read("PIMALLOC_LIMIT", "64M", " soft=67108864");
    expect_read("PIMALLOC_LIMIT", "67108864", " soft=67108864");
    expect_read("PIMALLOC_LIMIT", "64M:1G", " soft=67108864 hard=1073741824");
    static const char *const bad[] = {"0",    "x",     "64M:",     "64M:0",
                                      ":64M", "64M:x", "64M:63M",  "64M 65M",
                                      "-1",   "64MM",  "64M:65M:", "64M:-1",
                                      "64",   "1023K", "64MB",     "1.5G"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(bad); i++) {
        expect_refused("PIMALLOC_LIMIT", bad[i], "SOFT:HARD");
    }
}

TEST(children_count_or_not)
{
    expect_read("PIMALLOC_LIMIT_TREE", "none", number("tree", PIM_TREE_NONE));
    expect_read("PIMALLOC_LIMIT_TREE", "tenants",
                number("tree", PIM_TREE_TENANTS));
    expect_read("PIMALLOC_LIMIT_TREE", "all", number("tree", PIM_TREE_ALL));
    static const char *const bad[] = {"0", "1", "no", "All", "all "};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(bad); i++) {
        expect_refused("PIMALLOC_LIMIT_TREE", bad[i], "none, tenants or all");
    }
}

TEST_OF(nothing_set_is_the_default, expect_read(NULL, NULL, ""))

TEST(each_option_is_read)
{
    expect_read("PIMALLOC_MIMALLOC", "/x/lib.so", " mimalloc=/x/lib.so");
    expect_read("PIMALLOC_RECORD", FILE_NAME, " record=" FILE_NAME);
    expect_read("PIMALLOC_REGION", "64G", number("region", 64LL << 30));
    expect_read("PIMALLOC_REGION", "65536M", number("region", 64LL << 30));
    expect_read("PIMALLOC_REGION", "67108864K", number("region", 64LL << 30));
    expect_read("PIMALLOC_REGION", "1234567", number("region", 1234567));
    expect_read("PIMALLOC_TSTATE", "call", " getter=1");
    expect_read("PIMALLOC_TSTATE", "auto", "");
    expect_read("PIMALLOC_VERBOSE", "1", " verbose=1");
    expect_read("PIMALLOC_VERBOSE", "0", "");
    expect_read("PIMALLOC_DEBUG", "1", " debug=1");
    expect_read("PIMALLOC_DEBUG", "0", "");
    expect_read("PIMALLOC_CHECK", "1", " check=1");
    expect_read("PIMALLOC_CHECK", "0", "");
    expect_read("PIMALLOC_RUN_CHECK", "1", " run_check=1");
    expect_read("PIMALLOC_RUN_CHECK", "0", "");
    expect_read("PIMALLOC_PURGE_THREAD", "1", " purge_thread=1");
    expect_read("PIMALLOC_TEARDOWN", "keep", number("teardown", PIMALLOC_KEEP));
    expect_read("PIMALLOC_TEARDOWN", "poison",
                number("teardown", PIMALLOC_POISON));
    expect_read("PIMALLOC_TEARDOWN", "release",
                number("teardown", PIMALLOC_RELEASE));
}

TEST(statistics_have_a_form_and_may_have_a_file)
{
    expect_read("PIMALLOC_STATS", "1", number("stats", PIMALLOC_TEXT));
    expect_read("PIMALLOC_STATS", "text", number("stats", PIMALLOC_TEXT));
    expect_read("PIMALLOC_STATS", "json", number("stats", PIMALLOC_JSON));
    expect_read("PIMALLOC_STATS", "json:" FILE_NAME,
                in_file("stats", PIMALLOC_JSON, FILE_NAME));
    expect_read("PIMALLOC_STATS", "openmetrics:m.prom",
                in_file("stats", PIMALLOC_OPENMETRICS, "m.prom"));
    expect_read("PIMALLOC_STATS", "0", "");
}

TEST(leaks_have_a_form_and_may_have_a_file)
{
    expect_read("PIMALLOC_LEAKS", "1", number("leaks", PIM_LEAKS_TEXT));
    expect_read("PIMALLOC_LEAKS", "text", number("leaks", PIM_LEAKS_TEXT));
    expect_read("PIMALLOC_LEAKS", "json:left:%p",
                in_file("leaks", PIM_LEAKS_JSON, "left:%p"));
    expect_read("PIMALLOC_LEAKS", "fail", number("leaks", PIM_LEAKS_FAIL));
    expect_read("PIMALLOC_LEAKS", "0", "");
    expect_read("PIMALLOC_LEAKS", "", "");
    expect_refused("PIMALLOC_LEAKS", "openmetrics", "text, json or fail");
    expect_refused("PIMALLOC_LEAKS", "json:", "text, json or fail");
}

TEST(profiles_have_a_form_and_may_have_a_file)
{
    expect_read("PIMALLOC_PROFILE", "1", number("profile", PIMALLOC_HTML));
    expect_read("PIMALLOC_PROFILE", "html", number("profile", PIMALLOC_HTML));
    expect_read("PIMALLOC_PROFILE", "pprof", number("profile", PIMALLOC_PPROF));
    expect_read("PIMALLOC_PROFILE", "folded:a:b%p-%n",
                in_file("profile", PIMALLOC_FOLDED, "a:b%p-%n"));
    expect_read("PIMALLOC_PROFILE", "speedscope:x",
                in_file("profile", PIMALLOC_SPEEDSCOPE, "x"));
    expect_read("PIMALLOC_PROFILE", "0", "");
    static const char *const bad[] = {
        "2", "HTML", "svg", "html:", ":file", "1:file", "htmlx", "json"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(bad); i++) {
        expect_refused("PIMALLOC_PROFILE", bad[i],
                       "html, pprof, folded or speedscope");
    }
}

TEST(profiles_have_a_period)
{
    expect_read("PIMALLOC_PROFILE_PERIOD", "1K", number("period", 1024));
    expect_read("PIMALLOC_PROFILE_PERIOD", "65536", number("period", 65536));
    expect_read("PIMALLOC_PROFILE_PERIOD", "1T", number("period", 1LL << 40));
    static const char *const bad[] = {"0",  "1023", "1025G",  "2T",  "64KB",
                                      "-1", "K",    "64K:1K", "1.5M"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(bad); i++) {
        expect_refused("PIMALLOC_PROFILE_PERIOD", bad[i], "from 1K to 1T");
    }
}

TEST(profiles_are_written_every_so_often)
{
    expect_read("PIMALLOC_PROFILE_EVERY", "60", number("seconds", 60));
    expect_read("PIMALLOC_PROFILE_EVERY", "1:1", " seconds=1 keep=1");
    expect_read("PIMALLOC_PROFILE_EVERY", "1000000:7",
                " seconds=1000000 keep=7");
    static const char *const bad[] = {"0",
                                      "-1",
                                      "x",
                                      "1:",
                                      "1:0",
                                      ":1",
                                      "1:-1",
                                      "1:2:3",
                                      "1s",
                                      "1000001",
                                      "99999999999999999999",
                                      " 1",
                                      "1 :2"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(bad); i++) {
        expect_refused("PIMALLOC_PROFILE_EVERY", bad[i], "SECONDS:KEEP");
    }
}

TEST(traces_have_a_number_of_frames)
{
    expect_read("PIMALLOC_TRACE", "1", number("trace", 1));
    expect_read("PIMALLOC_TRACE", "256", number("trace", 256));
    expect_read("PIMALLOC_TRACE", "0", "");
    expect_read("PIMALLOC_TRACE", "", "");
    expect_refused("PIMALLOC_TRACE", "257", "1 to 256");
    expect_refused("PIMALLOC_TRACE", "-1", "1 to 256");
    expect_refused("PIMALLOC_TRACE", "1x", "1 to 256");
    expect_refused("PIMALLOC_TRACE", "99999999999999999999", "1 to 256");
}

TEST(signals_have_names_and_numbers)
{
    expect_read("PIMALLOC_STATS_SIGNAL", "USR1", number("signal", SIGUSR1));
    expect_read("PIMALLOC_STATS_SIGNAL", "SIGUSR1", number("signal", SIGUSR1));
    expect_read("PIMALLOC_STATS_SIGNAL", "sigUsr1", number("signal", SIGUSR1));
    expect_read("PIMALLOC_STATS_SIGNAL", "10", number("signal", SIGUSR1));
    expect_read("PIMALLOC_STATS_SIGNAL", "HUP", number("signal", SIGHUP));
    expect_read("PIMALLOC_STATS_SIGNAL", "RTMIN+3",
                number("signal", SIGRTMIN + 3));
    expect_read("PIMALLOC_STATS_SIGNAL", "SIGRTMIN+3",
                number("signal", SIGRTMIN + 3));
}

// setproctitle() writes over the environment that a process started with.
static void
read_and_overwrite(void *arg)
{
    char file[] = "PIMALLOC_STATS=json:" FILE_NAME;
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
    EXPECT_EQ(strcmp(o.stats_file, FILE_NAME), 0);
    EXPECT_EQ(strcmp(o.mimalloc, "/x/lib.so"), 0);
    EXPECT_EQ(o.stats_format, PIMALLOC_JSON);
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
        "PIMALLOC_MIMALLOC",       "PIMALLOC_REGION",
        "PIMALLOC_TSTATE",         "PIMALLOC_VERBOSE",
        "PIMALLOC_DEBUG",          "PIMALLOC_STATS",
        "PIMALLOC_CHECK",          "PIMALLOC_X",
        "PIMALLOC_STATS_SIGNAL",   "PIMALLOC_RUN_CHECK",
        "PIMALLOC_LIMIT",          "PIMALLOC_PURGE_THREAD",
        "PIMALLOC_TEARDOWN",       "PIMALLOC_LIMIT_TREE",
        "PIMALLOC_PROFILE",        "PIMALLOC_PROFILE_EVERY",
        "PIMALLOC_PROFILE_PERIOD", "PIMALLOC_FAULTS",
        "PIMALLOC_RECORD"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(names); i++) {
        expect_read(names[i], "", "");
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
        expect_refused("PIMALLOC_REGION", sizes[i],
                       "K, M, G or T such as 64G, 1M at least");
    }
    expect_refused("PIMALLOC_TSTATE", "word", "auto or call");
    expect_refused("PIMALLOC_VERBOSE", "yes", "0 or 1");
    expect_refused("PIMALLOC_DEBUG", "on", "0 or 1");
    expect_refused("PIMALLOC_CHECK", "2", "0 or 1");
    expect_refused("PIMALLOC_RUN_CHECK", "2", "0 or 1");
    expect_read("PIMALLOC_CHILDREN", "0", "");
    expect_read("PIMALLOC_CHILDREN", "0:123", "");
    expect_refused("PIMALLOC_CHILDREN", "1:123", "0 or 1");

    static const char *const stats[] = {
        "2",     "yes", "JSON",       "json:",        "text:",   ":file",
        "jsonx", "jso", "1:file",     "0:file",       " json",   "prometheus",
        "json ", ":",   "text,json:", "openmetrics:", "text :x", "-1"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(stats); i++) {
        expect_refused("PIMALLOC_STATS", stats[i], "text, json or openmetrics");
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
        expect_refused("PIMALLOC_STATS_SIGNAL", signals[i],
                       "a signal that is free");
    }
}

TEST(rules_of_faults_are_kept_as_text)
{
    static const char *const good[] = {
        "every=1", "nth=18446744073709551615;every=2,", // the last is bad
    };
    expect_read("PIMALLOC_FAULTS", good[0], " faults=every=1");
    expect_refused("PIMALLOC_FAULTS", good[1], "KEY=VALUE");
    expect_refused("PIMALLOC_FAULTS", "nth=1;;nth=2", "KEY=VALUE");
}

// What is wrong with a rule; NULL: nothing.
static const char *
read_rule(const char *text, pimalloc_fault *out)
{
    static char function[PIMALLOC_FAULT_NAME_MAX + 1];
    return pim_rule_of(&text, out, function);
}

TEST(rules_say_what_they_mean)
{
    pimalloc_fault f;
    EXPECT_NULL(read_rule("every=12,domain=raw+obj,interp=3,min_size=2K,"
                          "max_size=1M,function=C.f.<locals>.g;nth=1",
                          &f));
    EXPECT_EQ(f.every, 12);
    EXPECT_EQ(f.domains, PIMALLOC_FAULT_RAW | PIMALLOC_FAULT_OBJ);
    EXPECT_EQ(f.interp, 3);
    EXPECT_EQ(f.min_size, 2048);
    EXPECT_EQ(f.max_size, 1 << 20);
    EXPECT_EQ(strcmp(f.function, "C.f.<locals>.g"), 0);
    EXPECT_NULL(read_rule("probability=0.125,seed=0", &f));
    EXPECT(f.probability == 0.125);
    EXPECT_EQ(f.interp, PIMALLOC_EACH);
    EXPECT_NULL(read_rule("probability=1", &f));
    EXPECT(f.probability == 1);
    EXPECT_NULL(read_rule("nth=1,interp=process", &f));
    EXPECT_EQ(f.interp, PIMALLOC_PROCESS);
}

TEST(rules_that_mean_nothing_are_refused)
{
    static const char *const bad[] = {"",
                                      "every",
                                      "every=",
                                      "every=-1",
                                      "every=1x",
                                      "every=0",
                                      "every=1,",
                                      ",every=1",
                                      "EVERY=1",
                                      "probability=0",
                                      "probability=.",
                                      "probability=1.1",
                                      "nth=1 ",
                                      "probability=1e",
                                      "nth=1,every=1",
                                      "seed=1",
                                      "every=1T",
                                      "nth=1,domain=",
                                      "nth=1,domain=+",
                                      "nth=1,domain=raw+",
                                      "nth=1,i=1",
                                      "nth=1,interp=x",
                                      "nth=1,function=",
                                      "nth=1,max_size=0",
                                      "every=99999999999999999999"};
    pimalloc_fault f;
    for (unsigned i = 0; i < PIM_ARRAY_LEN(bad); i++) {
        if (read_rule(bad[i], &f) == NULL) {
            expect_failed(__FILE__, __LINE__, bad[i]);
        }
    }
    EXPECT_NOT_NULL(pim_rules_lack("every=1;every=1;every=1;every=1;every=1;"
                                   "every=1;every=1;every=1;every=1;every=1;"
                                   "every=1;every=1;every=1;every=1;every=1;"
                                   "every=1;every=1"));
}

TEST(unknown_names_are_reported_with_the_valid_ones)
{
    expect_refused("PIMALLOC_VERBOS", "1", "no option PIMALLOC_VERBOS;");
    expect_refused("PIMALLOC_REGIONS", "1G", "PIMALLOC_TSTATE");
    expect_refused("PIMALLOC_", "1", "PIMALLOC_MIMALLOC");
    expect_refused("PIMALLOC_region", "1G", "PIMALLOC_REGION");
    expect_refused("PIMALLOC_X", "1",
                   "valid are PIMALLOC_CHECK, PIMALLOC_CHILDREN, "
                   "PIMALLOC_DEBUG, PIMALLOC_FAULTS, PIMALLOC_LEAKS, "
                   "PIMALLOC_LIMIT, PIMALLOC_LIMIT_TREE, PIMALLOC_MIMALLOC, "
                   "PIMALLOC_PROFILE, PIMALLOC_PROFILE_EVERY, "
                   "PIMALLOC_PROFILE_PERIOD, PIMALLOC_PURGE_THREAD, "
                   "PIMALLOC_RECORD, PIMALLOC_REGION, PIMALLOC_STATS, "
                   "PIMALLOC_STATS_SIGNAL, PIMALLOC_TEARDOWN, PIMALLOC_TRACE, "
                   "PIMALLOC_TSTATE, PIMALLOC_VERBOSE\n");
}

SUITE()

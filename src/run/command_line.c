// command_line.c -- a table of options.

#define _GNU_SOURCE

#include "run/command_line.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "pimalloc/pimalloc.h"
#include "platform/signals.h"
#include "platform/sizes.h"
#include "run/environment.h"
#include "run/form.h"
#include "run/status.h"
#include "run/text.h"

#define SEE_HELP "; \"pimalloc-run --help\" lists the options"

// --- values ------------------------------------------------------------------

// Each takes what follows the option's name, from its "=" or ":" on, or "".

static const char *
read_stats(const char *value)
{
    static const char *const forms[PIM_FORMS] = {"text", "json", "openmetrics"};
    return pim_form_read("--stats", value, forms);
}

static const char *
read_leaks(const char *value)
{
    static const char *const forms[PIM_FORMS] = {"text", "json", "fail"};
    return pim_form_read("--leaks", value, forms);
}

static const char *
read_signal(const char *value)
{
    if (*value != '=' || value[1] == '\0') {
        errx(PIM_RUN_FAILED,
             "--stats-signal needs a signal: --stats-signal=USR1");
    }
    int number = pim_signal_of(value + 1);
    if (number == 0) {
        errx(PIM_RUN_FAILED,
             "--stats-signal: there is no signal \"%s\"; valid are names and "
             "numbers such as USR1, SIGUSR1 and 10",
             value + 1);
    }
    if (!pim_signal_is_free(number)) {
        errx(PIM_RUN_FAILED,
             "--stats-signal: %s cannot be used for this; take USR1, USR2 or "
             "another that COMMAND does not use",
             value + 1);
    }
    return pim_text("%d", number);
}

static const char *
read_limit(const char *value)
{
    uint64_t soft;
    uint64_t hard;
    if (*value != '=') {
        errx(PIM_RUN_FAILED,
             "--limit needs SOFT or SOFT:HARD: --limit=64M:72M");
    }
    const char *lack = pim_limits_of(value + 1, &soft, &hard);
    if (lack != NULL) {
        errx(PIM_RUN_FAILED,
             "--limit: \"%s\" %s; SOFT and SOFT:HARD are sizes such as in "
             "--limit=64M:72M",
             value + 1, lack);
    }
    return value + 1;
}

static const char *
read_limit_tree(const char *value)
{
    pim_tree ignored;
    if (*value != '=' || !pim_tree_of(value + 1, &ignored)) {
        errx(PIM_RUN_FAILED, "--limit-tree needs none, tenants or all: "
                             "--limit-tree=all");
    }
    return value + 1;
}

// --- options -----------------------------------------------------------------

typedef struct option {
    const char *name;
    const char *variable; // NULL: none
    const char *fixed;    // its value if the option takes none
    const char *(*read)(const char *value);
} option;

static const option options[PIM_OPT_COUNT] = {
    [PIM_OPT_CHECK] = {"--check", .fixed = ""},
    [PIM_OPT_DEBUG] = {"--debug", "PIMALLOC_DEBUG", "1"},
    [PIM_OPT_HELP] = {"--help", .fixed = ""},
    [PIM_OPT_LEAKS] = {"--leaks", "PIMALLOC_LEAKS", .read = read_leaks},
    [PIM_OPT_LIMIT] = {"--limit", "PIMALLOC_LIMIT", .read = read_limit},
    [PIM_OPT_LIMIT_TREE] = {"--limit-tree", "PIMALLOC_LIMIT_TREE",
                            .read = read_limit_tree},
    [PIM_OPT_NO_CHILDREN] = {"--no-children", "PIMALLOC_CHILDREN", "0"},
    [PIM_OPT_STATS] = {"--stats", "PIMALLOC_STATS", .read = read_stats},
    [PIM_OPT_STATS_SIGNAL] = {"--stats-signal", "PIMALLOC_STATS_SIGNAL",
                              .read = read_signal},
    [PIM_OPT_VERBOSE] = {"--verbose", "PIMALLOC_VERBOSE", "1"},
    [PIM_OPT_VERSION] = {"--version", .fixed = ""},
    [PIM_OPT_WITH_MALLOC] = {"--with-malloc", .fixed = ""},
    [PIM_OPT_WITH_MODULE] = {"--with-module", .fixed = ""},
};

static const char usage[] = "\
Usage: pimalloc-run [OPTION]... [--] COMMAND [ARGUMENT]...\n\
Run COMMAND with pimalloc as the memory allocator of CPython 3.12 to 3.15, in\n\
COMMAND itself and in the programs that it starts.  Others run as always.\n\
\n\
  --stats[=FORMAT][:FILE]  when a process ends, write its statistics: FORMAT is\n\
                             text (default), json or openmetrics; to stderr, or\n\
                             to FILE, where %p stands for the process id\n\
                             and %% for a per cent sign\n\
  --stats-signal=SIGNAL    write them also whenever a process gets SIGNAL\n\
                             (USR1, SIGUSR1 or 10)\n\
  --leaks[=FORM][:FILE]    say what each interpreter left when it ended: FORM is\n\
                             text (default), json, or fail: as text, and the\n\
                             exit status is 23 instead of 0 if it is more than\n\
                             CPython itself leaves, or COMMAND is not served\n\
  --limit=SOFT[:HARD]      let each interpreter have SOFT of memory (64M, 1G,\n\
                             1M at least; units are K, M, G and T);\n\
                             then it gets a MemoryError, and small pieces up to\n\
                             HARD\n\
  --limit-tree=WHOSE       count what an interpreter makes for it, too: of none,\n\
                             tenants (default: all but the main one) or all\n\
  --debug                  put CPython's debug hooks on top of pimalloc\n\
  --verbose                say on stderr what is served, and what is not and why\n\
  --with-malloc            make mimalloc the malloc of COMMAND, too\n\
  --with-module            let Python import the module pimalloc\n\
  --no-children            leave the programs alone that COMMAND starts\n\
  --check                  do not run COMMAND; say whether its Python would be\n\
                             served, and if not, why (exit status 0: served;\n\
                             1: not served; 2: no Python in it at its start)\n\
  --help                   print this text\n\
  --version                print the version\n\
\n\
The exit status is COMMAND's; 125 if pimalloc-run itself fails, 126 if COMMAND\n\
cannot be executed, 127 if it is not found.\n\
\n\
  pimalloc-run --stats python3 app.py\n\
  pimalloc-run --stats=json:app-%p.json -- python3 app.py --verbose\n\
  pimalloc-run --check python3\n";

static _Noreturn void
print(const char *text)
{
    fputs(text, stdout);
    if (fflush(stdout) != 0) {
        err(PIM_RUN_FAILED, "stdout");
    }
    exit(0);
}

static void
read_one(const char *argument, pim_run_options *out)
{
    size_t length = strcspn(argument, "=:");
    const char *value = argument + length;
    size_t i = 0;
    while (i < PIM_OPT_COUNT &&
           (strlen(options[i].name) != length ||
            memcmp(options[i].name, argument, length) != 0)) {
        i++;
    }
    if (i == PIM_OPT_COUNT) {
        errx(PIM_RUN_FAILED, "there is no option %s" SEE_HELP, argument);
    }
    const option *o = &options[i];
    if (o->fixed != NULL && *value != '\0') {
        errx(PIM_RUN_FAILED, "%s takes no value" SEE_HELP, o->name);
    }
    out->given[i] = o->fixed != NULL ? o->fixed : o->read(value);
    if (i == PIM_OPT_HELP) {
        print(usage);
    }
    if (i == PIM_OPT_VERSION) {
        print(pim_text("pimalloc-run %d.%d.%d\n", PIMALLOC_VERSION_MAJOR,
                       PIMALLOC_VERSION_MINOR, PIMALLOC_VERSION_PATCH));
    }
}

// A process id behind the value tells of a parent process, not of COMMAND.
static void
read_variable(size_t i, pim_run_options *out)
{
    const option *o = &options[i];
    const char *value = secure_getenv(o->variable);
    if (value != NULL && value[0] == o->fixed[0] &&
        (value[1] == '\0' || value[1] == ':')) {
        out->given[i] = o->fixed;
    }
}

void
pim_run_options_read(char **argv, pim_run_options *out)
{
    *out = (pim_run_options){0};
    read_variable(PIM_OPT_VERBOSE, out);
    read_variable(PIM_OPT_NO_CHILDREN, out);
    char **next = argv + (argv[0] != NULL);
    for (; *next != NULL && (*next)[0] == '-'; next++) {
        if (strcmp(*next, "--") == 0) {
            next++;
            break;
        }
        read_one(*next, out);
    }
    if (*next == NULL) {
        errx(PIM_RUN_FAILED, "there is no COMMAND to run" SEE_HELP);
    }
    out->command = next;
}

void
pim_run_options_export(const pim_run_options *o)
{
    for (size_t i = 0; i < PIM_OPT_COUNT; i++) {
        if (options[i].variable != NULL && o->given[i] != NULL) {
            pim_environment_set(options[i].variable, o->given[i]);
        }
    }
}

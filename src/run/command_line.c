// command_line.c -- a table of options.

#define _GNU_SOURCE

#include "run/command_line.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pimalloc/pimalloc.h"
#include "platform/path.h"
#include "platform/signals.h"
#include "platform/sizes.h"
#include "run/common.h"

#define SEE_HELP "; \"pimalloc-run --help\" lists the options"

// --- [=FORM][:FILE] ----------------------------------------------------------

#define FORMS 3

static const char *
form_of(const char *option, const char *name, size_t length,
        const char *const forms[FORMS])
{
    for (int i = 0; i < FORMS; i++) {
        if (strlen(forms[i]) == length && memcmp(forms[i], name, length) == 0) {
            return forms[i];
        }
    }
    pim_fail("%s: there is no format \"%.*s\"; valid are %s, %s and %s, and a "
             "file follows a colon: %s=json:FILE",
             option, (int)length, name, forms[0], forms[1], forms[2], option);
}

static void
check_folder(const char *option, const char *folder)
{
    struct stat status;
    bool exists = stat(folder, &status) == 0;
    if (exists ? !S_ISDIR(status.st_mode) : errno == ENOENT) {
        pim_fail(
            "%s: %s is no directory, so no file in it can be written; create "
            "it first",
            option, folder);
    }
    if (!exists) {
        pim_fail(
            "%s: %s: %s; name a file in a folder that COMMAND may write to",
            option, folder, strerror(errno));
    }
}

// What cannot be written would be noticed only when COMMAND ends.  What depends on
// the process's id is not known yet.
static void
check_file(const char *option, const char *file)
{
    char path[PATH_MAX];
    struct stat status;
    bool has_pid;
    const char *folder = pim_text("%.*s", (int)pim_path_folder(file) - 1, file);
    if (folder[0] != '\0' && pim_path_expand(folder, path, &has_pid) == 0 &&
        !has_pid) {
        check_folder(option, path);
    }
    if (pim_path_expand(file, path, &has_pid) == 0 && !has_pid &&
        stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        pim_fail("%s: %s is a directory; name a file in it", option, path);
    }
}

// COMMAND may change the directory before it ends.  A per cent sign in ours is
// doubled, so that it stands for itself.
static const char *
absolute(const char *option, const char *file)
{
    char here[PATH_MAX];
    char escaped[2 * PATH_MAX];
    char *to = escaped;
    if (*file == '/') {
        return file;
    }
    if (getcwd(here, sizeof(here)) == NULL) {
        pim_fail(
            "%s: the current directory is not known (%s); give an absolute "
            "path",
            option, strerror(errno));
    }
    for (const char *at = strcmp(here, "/") != 0 ? here : ""; *at != '\0';
         at++) {
        if (*at == '%') {
            *to++ = '%';
        }
        *to++ = *at;
    }
    *to = '\0';
    return pim_text("%s/%s", escaped, file);
}

// Returns FORM or FORM:FILE as the library reads it, with an absolute FILE.  forms:
// the valid ones, of which the first is the default.
static const char *
read_form(const char *option, const char *value, const char *const forms[FORMS])
{
    const char *name = value + (*value == '=');
    size_t length = strcspn(name, ":");
    bool is_default = *value != '=' || name[0] == ':';
    const char *form =
        is_default ? forms[0] : form_of(option, name, length, forms);
    const char *file = name + length + 1;
    if (name[length] == '\0') {
        return form;
    }
    if (*file == '\0') {
        pim_fail(
            "%s: no file follows the colon; leave the colon out for stderr",
            option);
    }
    const char *path = absolute(option, file);
    if (strlen(path) >= PATH_MAX) {
        pim_fail("%s: the path %s is too long", option, file);
    }
    check_file(option, path);
    return pim_text("%s:%s", form, path);
}

// --- values ------------------------------------------------------------------

// Each takes what follows the option's name, from its "=" or ":" on, or "".

static const char *
read_stats(const char *value)
{
    static const char *const forms[FORMS] = {"text", "json", "openmetrics"};
    return read_form("--stats", value, forms);
}

static const char *
read_leaks(const char *value)
{
    static const char *const forms[FORMS] = {"text", "json", "fail"};
    return read_form("--leaks", value, forms);
}

static const char *
read_signal(const char *value)
{
    if (*value != '=' || value[1] == '\0') {
        pim_fail("--stats-signal needs a signal: --stats-signal=USR1");
    }
    int number = pim_signal_of(value + 1);
    if (number == 0) {
        pim_fail(
            "--stats-signal: there is no signal \"%s\"; valid are names and "
            "numbers such as USR1, SIGUSR1 and 10",
            value + 1);
    }
    if (!pim_signal_is_free(number)) {
        pim_fail(
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
        pim_fail("--limit needs SOFT or SOFT:HARD: --limit=64M:72M");
    }
    const char *lack = pim_limits_of(value + 1, &soft, &hard);
    if (lack != NULL) {
        pim_fail("--limit: \"%s\" %s; SOFT and SOFT:HARD are sizes such as in "
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
        pim_fail("--limit-tree needs none, tenants or all: "
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
        pim_fail("there is no option %s" SEE_HELP, argument);
    }
    const option *o = &options[i];
    if (o->fixed != NULL && *value != '\0') {
        pim_fail("%s takes no value" SEE_HELP, o->name);
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
        pim_fail("there is no COMMAND to run" SEE_HELP);
    }
    out->command = next;
}

void
pim_run_options_export(const pim_run_options *o)
{
    for (size_t i = 0; i < PIM_OPT_COUNT; i++) {
        if (options[i].variable != NULL && o->given[i] != NULL &&
            setenv(options[i].variable, o->given[i], 1) != 0) {
            err(PIM_RUN_FAILED, "%s", options[i].variable);
        }
    }
}

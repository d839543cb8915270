// options.c -- a table of options, each with a parser.

#define _GNU_SOURCE

#include "run/options.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "pimalloc/pimalloc.h"
#include "platform/signals.h"
#include "platform/sizes.h"
#include "run/status.h"

#define SEE_HELP "; \"pimalloc-run --help\" lists the options"

typedef struct option {
    const char *name;
    // value: what follows the name, from its "=" or ":" on; "" if nothing does.
    void (*parse)(const char *value, pim_run_options *out);
} option;

// --- --stats and --leaks -----------------------------------------------------

// An option with a form and a file.
typedef struct form_option {
    const char *name;
    const char *forms[4]; // the first is the default
    const char *valid;
} form_option;

static const form_option stats_option = {
    "--stats", {"text", "json", "openmetrics"}, "text, json and openmetrics"};

static const form_option leaks_option = {
    "--leaks", {"text", "json", "fail"}, "text, json and fail"};

static const char *
form_of(const form_option *o, const char *name, size_t length)
{
    for (const char *const *form = o->forms; *form != NULL; form++) {
        if (strlen(*form) == length && memcmp(*form, name, length) == 0) {
            return *form;
        }
    }
    errx(PIM_RUN_FAILED,
         "%s: there is no format \"%.*s\"; valid are %s, and a file "
         "follows a colon: %s=json:FILE",
         o->name, (int)length, name, o->valid, o->name);
}

// With each per cent sign twice, so that it stands for itself.
static void
escape(const char *path, char out[2 * PATH_MAX])
{
    for (; *path != '\0'; path++) {
        *out++ = *path;
        if (*path == '%') {
            *out++ = *path;
        }
    }
    *out = '\0';
}

// The file that the library makes of FILE; false if it depends on the process.
static bool
expand(const char *file, char out[PATH_MAX])
{
    for (; *file != '\0'; file++) {
        if (file[0] == '%' && file[1] == 'p') {
            return false;
        }
        file += file[0] == '%' && file[1] == '%';
        *out++ = *file;
    }
    *out = '\0';
    return true;
}

static void
check_folder(const char *asked_by, const char *folder)
{
    struct stat status;
    int error = stat(folder, &status) != 0 ? errno : 0;
    if (error == ENOENT || (error == 0 && !S_ISDIR(status.st_mode))) {
        errx(PIM_RUN_FAILED,
             "%s: %s is no directory, so no file in it can be "
             "written; create it first",
             asked_by, folder);
    }
    if (error != 0) {
        errx(PIM_RUN_FAILED,
             "%s: %s: %s; name a file in a folder that COMMAND may "
             "write to",
             asked_by, folder, strerror(error));
    }
}

// What cannot be written would be noticed only when COMMAND ends.
static void
check_file(const char *asked_by, const char *file)
{
    char path[PATH_MAX];
    char folder[PATH_MAX];
    struct stat status;
    snprintf(path, sizeof(path), "%.*s", (int)(strrchr(file, '/') - file),
             file);
    if (path[0] != '\0' && expand(path, folder)) {
        check_folder(asked_by, folder);
    }
    if (expand(file, path) && stat(path, &status) == 0 &&
        S_ISDIR(status.st_mode)) {
        errx(PIM_RUN_FAILED, "%s: %s is a directory; name a file in it",
             asked_by, path);
    }
}

// COMMAND may change the directory before it ends.
static void
make_absolute(const char *asked_by, const char *file, char *out, size_t size)
{
    char here[PATH_MAX] = "";
    char escaped[2 * PATH_MAX];
    if (file[0] != '/' && getcwd(here, sizeof(here)) == NULL) {
        errx(PIM_RUN_FAILED,
             "%s: the current directory is not known (%s); give an "
             "absolute path",
             asked_by, strerror(errno));
    }
    escape(strcmp(here, "/") == 0 ? "" : here, escaped);
    int n =
        snprintf(out, size, "%s%s%s", escaped, file[0] != '/' ? "/" : "", file);
    if (n < 0 || (size_t)n >= size) {
        errx(PIM_RUN_FAILED, "%s: the path %s is too long", asked_by, file);
    }
    check_file(asked_by, out);
}

static void
parse_form(const form_option *o, const char *value, char out[PIM_RUN_FORM_MAX])
{
    const char *name = value + (*value == '=');
    size_t length = strcspn(name, ":");
    const char *form = length == 0 && (*value != '=' || name[0] == ':')
                           ? o->forms[0]
                           : form_of(o, name, length);
    char file[PATH_MAX] = "";
    if (name[length] == ':') {
        if (name[length + 1] == '\0') {
            errx(PIM_RUN_FAILED,
                 "%s: no file follows the colon; leave the colon out "
                 "for stderr",
                 o->name);
        }
        make_absolute(o->name, name + length + 1, file, sizeof(file));
    }
    snprintf(out, PIM_RUN_FORM_MAX, "%s%s%s", form, file[0] != '\0' ? ":" : "",
             file);
}

static void
parse_stats(const char *value, pim_run_options *out)
{
    parse_form(&stats_option, value, out->stats);
}

static void
parse_leaks(const char *value, pim_run_options *out)
{
    parse_form(&leaks_option, value, out->leaks);
}

// --- --stats-signal ----------------------------------------------------------

static void
parse_signal(const char *value, pim_run_options *out)
{
    if (*value != '=' || value[1] == '\0') {
        errx(PIM_RUN_FAILED,
             "--stats-signal needs a signal: --stats-signal=USR1");
    }
    out->signal = pim_signal_of(value + 1);
    if (out->signal == 0) {
        errx(PIM_RUN_FAILED,
             "--stats-signal: there is no signal \"%s\"; valid are "
             "names and numbers such as USR1, SIGUSR1 and 10",
             value + 1);
    }
    if (!pim_signal_is_free(out->signal)) {
        errx(PIM_RUN_FAILED,
             "--stats-signal: %s cannot be used for this; take USR1, "
             "USR2 or another that COMMAND does not use",
             value + 1);
    }
}

// --- --limit -----------------------------------------------------------------

static void
parse_limit(const char *value, pim_run_options *out)
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
             "--limit: \"%s\" %s; SOFT and SOFT:HARD are sizes such as "
             "in --limit=64M:72M",
             value + 1, lack);
    }
    out->limit = value + 1;
}

static void
parse_limit_tree(const char *value, pim_run_options *out)
{
    pim_tree ignored;
    if (*value != '=' || !pim_tree_of(value + 1, &ignored)) {
        errx(PIM_RUN_FAILED, "--limit-tree needs none, tenants or all: "
                             "--limit-tree=all");
    }
    out->limit_tree = value + 1;
}

// --- the others --------------------------------------------------------------

static void
parse_check(const char *value, pim_run_options *out)
{
    (void)value;
    out->check = true;
}

static void
parse_debug(const char *value, pim_run_options *out)
{
    (void)value;
    out->debug = true;
}

static void
parse_verbose(const char *value, pim_run_options *out)
{
    (void)value;
    out->verbose = true;
}

static void
parse_no_children(const char *value, pim_run_options *out)
{
    (void)value;
    out->no_children = true;
}

static void
parse_with_malloc(const char *value, pim_run_options *out)
{
    (void)value;
    out->with_malloc = true;
}

static void
parse_with_module(const char *value, pim_run_options *out)
{
    (void)value;
    out->with_module = true;
}

static _Noreturn void
finish_output(void)
{
    if (fflush(stdout) != 0) {
        err(PIM_RUN_FAILED, "stdout");
    }
    exit(0);
}

static void
print_help(const char *value, pim_run_options *out)
{
    (void)value;
    (void)out;
    fputs("\
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
  pimalloc-run --check python3\n",
          stdout);
    finish_output();
}

static void
print_version(const char *value, pim_run_options *out)
{
    (void)value;
    (void)out;
    printf("pimalloc-run %d.%d.%d\n", PIMALLOC_VERSION_MAJOR,
           PIMALLOC_VERSION_MINOR, PIMALLOC_VERSION_PATCH);
    finish_output();
}

static const option options_with_value[] = {
    {"--leaks", parse_leaks},           {"--limit", parse_limit},
    {"--limit-tree", parse_limit_tree}, {"--stats", parse_stats},
    {"--stats-signal", parse_signal},
};

static const option options_plain[] = {
    {"--check", parse_check},
    {"--debug", parse_debug},
    {"--help", print_help},
    {"--no-children", parse_no_children},
    {"--verbose", parse_verbose},
    {"--version", print_version},
    {"--with-malloc", parse_with_malloc},
    {"--with-module", parse_with_module},
};

static const option *
find(const option *table, size_t n, const char *name, size_t length)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(table[i].name) == length &&
            memcmp(table[i].name, name, length) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

static void
read_one(const char *argument, pim_run_options *out)
{
    size_t length = strcspn(argument, "=:");
    const char *value = argument + length;
    const option *found =
        find(options_with_value, PIM_ARRAY_LEN(options_with_value), argument,
             length);
    if (found == NULL) {
        found =
            find(options_plain, PIM_ARRAY_LEN(options_plain), argument, length);
        if (found != NULL && *value != '\0') {
            errx(PIM_RUN_FAILED, "%s takes no value" SEE_HELP, found->name);
        }
    }
    if (found == NULL) {
        errx(PIM_RUN_FAILED, "there is no option %s" SEE_HELP, argument);
    }
    found->parse(value, out);
}

void
pim_run_options_read(char **argv, pim_run_options *out)
{
    *out = (pim_run_options){0};
    const char *verbose = secure_getenv("PIMALLOC_VERBOSE");
    out->verbose = verbose != NULL && strcmp(verbose, "1") == 0;
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

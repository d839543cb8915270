// command_line.c -- a table of options.

#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pimalloc/pimalloc.h"
#include "platform/path.h"
#include "platform/rules.h"
#include "platform/signals.h"
#include "platform/values.h"
#include "run/run.h"

#define SEE_HELP "; \"pimalloc-run --help\" lists the options"

typedef struct option {
    const char *name;
    const char *variable; // NULL: none
    const char *flag;     // its value if the option takes none
    const char *forms[4]; // of [=FORM][:FILE]; the first is the default
    const char *usual;    // where it writes without FILE
    const char *file;     // else of [=FILE], the default
    const char *needs;    // else what it needs behind =
    const char *bare;     // and its value without that; NULL: it must be there
} option;

// --- [=FORM][:FILE] ----------------------------------------------------------

// What cannot be written would be noticed only when COMMAND ends.  A folder
// with the process's id in its name may come later.
static void
check_file(const option *o, const char *file)
{
    char path[PATH_MAX];
    struct stat status;
    bool has_pid;
    int length = (int)pim_path_folder(file) - 1;
    const char *folder = length == 0 ? "/" : pim_text("%.*s", length, file);
    if (pim_path_expand(file, path, &has_pid) != 0) {
        pim_fail("%s: the path %s is too long", o->name, file);
    }
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        pim_fail("%s: %s is a directory; name a file in it", o->name, path);
    }
    pim_path_expand(folder, path, &has_pid);
    int err = has_pid || stat(path, &status) == 0 ? 0 : errno;
    bool is_none = has_pid    ? false
                   : err == 0 ? !S_ISDIR(status.st_mode)
                              : err == ENOENT;
    if (is_none || err != 0) {
        pim_fail("%s: %s%s; name a file in a folder that COMMAND may write to",
                 o->name, path,
                 is_none ? " is no directory"
                         : pim_text(": %s", strerror(err)));
    }
}

// COMMAND may change the directory before it ends.  A per cent sign in ours is
// doubled, so that it stands for itself.
static const char *
absolute(const option *o, const char *file)
{
    char *left = getcwd(NULL, 0);
    if (left == NULL) {
        pim_fail("%s: the current directory is not known (%s); give an "
                 "absolute path",
                 o->name, strerror(errno));
    }
    const char *here = strsep(&left, "%");
    while (left != NULL) {
        here = pim_text("%s%%%%%s", here, strsep(&left, "%"));
    }
    return pim_text("%s/%s", strcmp(here, "/") != 0 ? here : "", file);
}

// Returns FORM or FORM:FILE as the library reads it, with an absolute FILE.
static const char *
read_form(const option *o, const char *value)
{
    const char *name = value + (*value == '=');
    bool is_default = *value != '=' || *name == ':';
    const char *file = *name == ':' ? name + 1 : NULL;
    size_t count = o->forms[3] != NULL ? 4 : 3;
    int form = is_default ? 0 : pim_form_of(name, o->forms, count, &file);
    if (form < 0) {
        const char *last = o->forms[count - 1];
        pim_fail("%s: there is no format \"%.*s\"; valid are %s, %s%s%s and "
                 "%s, and a file follows a colon: %s=%s:FILE",
                 o->name, (int)strcspn(name, ":"), name, o->forms[0],
                 o->forms[1], count > 3 ? ", " : "",
                 count > 3 ? o->forms[2] : "", last, o->name, o->forms[1]);
    }
    if (file == NULL) {
        return o->forms[form];
    }
    if (*file == '\0') {
        pim_fail("%s: no file follows the colon; leave the colon out for %s",
                 o->name, o->usual);
    }
    file = *file != '/' ? absolute(o, file) : file;
    check_file(o, file);
    return pim_text("%s:%s", o->forms[form], file);
}

// --- [=FILE] -----------------------------------------------------------------

// Returns an absolute FILE.
static const char *
read_file(const option *o, const char *value)
{
    if (*value == ':' || strcmp(value, "=") == 0) {
        pim_fail("%s needs a file: %s=FILE; alone it means %s=%s", o->name,
                 o->name, o->name, o->file);
    }
    const char *file = *value == '=' ? value + 1 : o->file;
    file = *file != '/' ? absolute(o, file) : file;
    check_file(o, file);
    return file;
}

// --- options -----------------------------------------------------------------

static const option options[PIM_OPT_COUNT] = {
    [PIM_OPT_CHECK] = {"--check", .flag = ""},
    [PIM_OPT_DEBUG] = {"--debug", "PIMALLOC_DEBUG", .flag = "1"},
    [PIM_OPT_FAULTS] = {"--faults", "PIMALLOC_FAULTS",
                        .needs = "KEY=VALUE,... such as every=1000,domain=obj"},
    [PIM_OPT_HELP] = {"--help", .flag = ""},
    [PIM_OPT_LEAKS] = {"--leaks", "PIMALLOC_LEAKS",
                       .forms = {"text", "json", "fail"}, .usual = "stderr"},
    [PIM_OPT_LIMIT] = {"--limit", "PIMALLOC_LIMIT",
                       .needs = "SOFT or SOFT:HARD: --limit=64M:72M"},
    [PIM_OPT_LIMIT_TREE] = {"--limit-tree", "PIMALLOC_LIMIT_TREE",
                            .needs = "none, tenants or all: --limit-tree=all"},
    [PIM_OPT_NO_CHILDREN] = {"--no-children", "PIMALLOC_CHILDREN", .flag = "0"},
    [PIM_OPT_PROFILE] = {"--profile", "PIMALLOC_PROFILE",
                         .forms = {"html", "pprof", "folded", "speedscope"},
                         .usual = "a file in the current directory"},
    [PIM_OPT_PROFILE_EVERY] = {"--profile-every", "PIMALLOC_PROFILE_EVERY",
                               .needs =
                                   "SECONDS or SECONDS:KEEP, whole numbers: "
                                   "--profile-every=60:24"},
    [PIM_OPT_PROFILE_PERIOD] = {"--profile-period", "PIMALLOC_PROFILE_PERIOD",
                                .needs = "bytes from 1K to 1T: "
                                         "--profile-period=64K"},
    [PIM_OPT_RECORD] = {"--record", "PIMALLOC_RECORD",
                        .file = "pimalloc-%p.record"},
    [PIM_OPT_STATS] = {"--stats", "PIMALLOC_STATS",
                       .forms = {"text", "json", "openmetrics"},
                       .usual = "stderr"},
    [PIM_OPT_STATS_SIGNAL] = {"--stats-signal", "PIMALLOC_STATS_SIGNAL",
                              .needs = "a signal that COMMAND does not "
                                       "use, such as USR1, SIGUSR1 or 10"},
    [PIM_OPT_TRACE] = {"--trace", "PIMALLOC_TRACE",
                       .needs = "1 to 256 frames, or none: --trace=25",
                       .bare = "1"},
    [PIM_OPT_VERBOSE] = {"--verbose", "PIMALLOC_VERBOSE", .flag = "1"},
    [PIM_OPT_VERSION] = {"--version", .flag = ""},
    [PIM_OPT_WITH_MALLOC] = {"--with-malloc", .flag = ""},
    [PIM_OPT_WITH_MODULE] = {"--with-module", .flag = ""},
};

// What is wrong with the value, in words that follow it; NULL: nothing.
static const char *
lack_of(size_t i, const char *value)
{
    uint64_t soft;
    uint64_t hard;
    unsigned seconds;
    unsigned keep = 1;
    int number = pim_signal_of(value);
    return i == PIM_OPT_LIMIT            ? pim_limits_of(value, &soft, &hard)
           : i == PIM_OPT_FAULTS         ? pim_rules_lack(value)
           : i == PIM_OPT_PROFILE_EVERY  ? pim_every_of(value, &seconds, &keep)
           : i == PIM_OPT_PROFILE_PERIOD ? pim_period_of(value, &soft)
           : i == PIM_OPT_LIMIT_TREE
               ? (pim_tree_of(value) == PIM_TREE_UNSAID ? "is unknown" : NULL)
           : i == PIM_OPT_TRACE
               ? (pim_frames_of(value) < 1 ? "is no such number" : NULL)
           : number == 0 ? "is unknown: there is no signal of that name"
           : pim_signal_is_free(number) ? NULL
                                        : "cannot be used for this";
}

static const char *
read_needed(size_t i, const char *value)
{
    const option *o = &options[i];
    if (*value == '\0' && o->bare != NULL) {
        return o->bare;
    }
    if (*value++ != '=') {
        pim_fail("%s needs %s", o->name, o->needs);
    }
    const char *lack = lack_of(i, value);
    if (lack != NULL) {
        pim_fail("%s: \"%s\" %s; %s needs %s", o->name, value, lack, o->name,
                 o->needs);
    }
    return i == PIM_OPT_STATS_SIGNAL ? pim_text("%d", pim_signal_of(value))
                                     : value;
}

static const char usage[] = "\
Usage: pimalloc-run [OPTION]... [--] COMMAND [ARGUMENT]...\n\
Run COMMAND with pimalloc as the memory allocator of CPython 3.12 to 3.15, in\n\
COMMAND itself and in the programs that it starts.  Others run as always.\n\
\n\
  --stats[=FORMAT][:FILE]  when a process ends, write its statistics: FORMAT is\n\
                             text (default), json or openmetrics; to stderr, or\n\
                             to FILE, where %p is the process id and %% is %\n\
  --stats-signal=SIGNAL    write them also at SIGNAL (USR1, SIGUSR1 or 10)\n\
  --profile[=FORMAT][:FILE]\n\
                           find out where memory comes from, by samples: FORMAT\n\
                             is html (default), pprof, folded or speedscope;\n\
                             FILE is by default pimalloc-%p.html or the like;\n\
                             written when Python ends and at --stats-signal\n\
  --profile-every=SECONDS[:KEEP]\n\
                           write it every so often, too; %n in FILE is the\n\
                             number of the file, and the last KEEP (24) stay\n\
  --profile-period=BYTES   one sample in so many bytes (default: 512K)\n\
  --leaks[=FORM][:FILE]    say what each interpreter left when it ended: FORM is\n\
                             text (default), json, or fail: as text, and the\n\
                             exit status is 23 instead of 0 if it is more than\n\
                             CPython itself leaves, or COMMAND is not served\n\
  --limit=SOFT[:HARD]      let each interpreter have SOFT of memory (64M, 1G,\n\
                             1M at least; units are K, M, G and T), then raise\n\
                             MemoryError, and give small pieces up to HARD\n\
  --limit-tree=WHOSE       count what an interpreter makes for it, too: of none,\n\
                             tenants (default: all but the main one) or all\n\
  --faults=RULE[;RULE]...  let requests for memory fail, to test error paths:\n\
                             RULE is KEY=VALUE,... with nth, every or\n\
                             probability, and seed, min_size, max_size, domain,\n\
                             interp, function; every=1000,domain=obj\n\
  --record[=FILE]          log all requests for memory in FILE (default:\n\
                             pimalloc-%p.record, where %p is the process id)\n\
  --trace[=FRAMES]         trace what all interpreters allocate, with 1 to 256\n\
                             frames each (default 1): pimalloc.take_snapshot()\n\
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
  pimalloc-run --profile python3 app.py\n\
  pimalloc-run --check python3\n";

static void
read_one(const char *argument, pim_run_options *out)
{
    size_t length = strcspn(argument, "=:");
    const char *value = argument + length;
    size_t i = 0;
    while (i < PIM_OPT_COUNT &&
           !pim_is_word(options[i].name, argument, length)) {
        i++;
    }
    if (i == PIM_OPT_COUNT) {
        pim_fail("there is no option %s" SEE_HELP, argument);
    }
    const option *o = &options[i];
    if (o->flag != NULL && *value != '\0') {
        pim_fail("%s takes no value" SEE_HELP, o->name);
    }
    out->given[i] = o->flag != NULL    ? o->flag
                    : o->needs != NULL ? read_needed(i, value)
                    : o->file != NULL  ? read_file(o, value)
                                       : read_form(o, value);
    if (i == PIM_OPT_HELP) {
        fputs(usage, stdout);
        pim_exit(0);
    }
    if (i == PIM_OPT_VERSION) {
        printf("pimalloc-run %d.%d.%d\n", PIMALLOC_VERSION_MAJOR,
               PIMALLOC_VERSION_MINOR, PIMALLOC_VERSION_PATCH);
        pim_exit(0);
    }
}

// An option that its variable gives.  A process id behind the value tells of a
// parent process, not of COMMAND.
static const char *
read_variable(size_t i)
{
    const char *value = secure_getenv(options[i].variable);
    return value != NULL &&
                   pim_is_word(options[i].flag, value, strcspn(value, ":"))
               ? options[i].flag
               : NULL;
}

void
pim_run_options_read(char **argv, pim_run_options *out)
{
    *out = (pim_run_options){0};
    out->given[PIM_OPT_VERBOSE] = read_variable(PIM_OPT_VERBOSE);
    out->given[PIM_OPT_NO_CHILDREN] = read_variable(PIM_OPT_NO_CHILDREN);
    char **next = argv + (argv[0] != NULL);
    while (*next != NULL && **next == '-' && strcmp(*next, "--") != 0) {
        read_one(*next++, out);
    }
    next += *next != NULL && strcmp(*next, "--") == 0;
    if (*next == NULL) {
        pim_fail("there is no COMMAND to run" SEE_HELP);
    }
    out->command = next;
}

void
pim_run_options_export(const pim_run_options *o)
{
    for (size_t i = 0; i < PIM_OPT_COUNT; i++) {
        if (options[i].variable != NULL && o->given[i] != NULL) {
            pim_set_variable(options[i].variable, o->given[i]);
        }
    }
}

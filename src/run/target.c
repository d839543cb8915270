// target.c -- from COMMAND to the program that the kernel loads.
//
// COMMAND may be a script, whose interpreter is the program; that may be
// env(1), which looks for another.  Following them tells, without running any,
// whether the loader will honour LD_PRELOAD in the end.

#define _GNU_SOURCE

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/path.h"
#include "platform/values.h"
#include "run/run.h"

// The kernel follows five scripts; env and shims may be between them.
#define STEPS_MAX 16
#define PYENV_SECONDS 20

// --- finding -----------------------------------------------------------------

static bool
is_executable(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 && S_ISREG(file.st_mode) &&
           access(path, X_OK) == 0;
}

// Where execvp() would find `name`; NULL: nowhere.
static const char *
find_in_path(const char *name)
{
    const char *second = NULL; // exists, but is not executable
    const char *path = strchr(name, '/') ? "" : secure_getenv("PATH");
    char *rest = pim_text("%s", path != NULL ? path : "/bin:/usr/bin");
    while (rest != NULL && *name != '\0') {
        const char *folder = strsep(&rest, ":");
        const char *file =
            pim_text("%s%s%s", folder, *folder != '\0' ? "/" : "", name);
        if (is_executable(file)) {
            return file;
        }
        if (second == NULL && access(file, F_OK) == 0) {
            second = file;
        }
    }
    return second;
}

// --- judging -----------------------------------------------------------------

// False, so that callers stop.
static bool
conclude(pim_target *t, enum pim_run_status status, const char *why)
{
    t->status = status;
    t->why = why;
    return false;
}

static bool
is_named(const char *path, const char *name)
{
    return strcmp(pim_path_name(path), pim_path_name(name)) == 0;
}

static void
judge(pim_target *t, const pim_image *image)
{
    pim_image us;
    pim_image_read("/proc/self/exe", &us);
    const char *privilege = pim_image_privilege(t->file);
    bool has_loader = image->loader[0] != '\0';
    // ld-*.so.*, ld64.so.*, itself run as a program
    bool is_loader = strncmp(pim_path_name(t->file), "ld", 2) == 0 &&
                     strstr(pim_path_name(t->file), ".so") != NULL;
    t->status = PIM_RUN_NOT_SERVED;
    if (privilege != NULL) {
        t->why = pim_text("%s, and programs with raised privileges ignore "
                          "LD_PRELOAD; start pimalloc-run from within it "
                          "instead",
                          privilege);
    } else if (image->machine == 0) {
        t->status = PIM_RUN_FAILED;
        t->why = pim_text("%s: it could not be found out whether %s would be "
                          "served, whose format is not known here; run it with "
                          "--verbose --stats",
                          t->name, t->file);
    } else if (us.machine != 0 && image->machine != us.machine) {
        t->is_foreign = true;
        t->why = pim_text("it is built for another kind of machine (%s, "
                          "machine %u) than pimalloc; its child processes are "
                          "not served either",
                          image->machine >> 24 == 1 ? "32-bit" : "64-bit",
                          image->machine & 0xffff);
    } else if (!has_loader && !is_loader) {
        t->hands_on = t->with_children;
        t->why =
            pim_text("it is linked statically, so nothing can be "
                     "preloaded; use a dynamically linked one%s",
                     t->hands_on ? " (its child processes are served)" : "");
    } else if (has_loader && access(image->loader, F_OK) != 0) {
        t->status = PIM_RUN_NOT_STARTED;
        t->why = pim_text("%s: its loader %s does not exist on this system",
                          t->file, image->loader);
    } else if (has_loader && us.loader[0] != '\0' &&
               !is_named(image->loader, us.loader)) {
        t->is_foreign = true;
        t->why = pim_text("its loader is %s, so it uses another C library than "
                          "pimalloc; its child processes are not served either",
                          image->loader);
    } else {
        t->status = PIM_RUN_SERVED;
    }
}

// --- env(1), whose command line is read as env reads it: by getopt_long(3) ---

static const struct option env_options[] = {
    {"argv0", required_argument, NULL, 'a'},
    {"block-signal", optional_argument, NULL, 0},
    {"chdir", required_argument, NULL, 'C'},
    {"debug", no_argument, NULL, 'v'},
    {"default-signal", optional_argument, NULL, 0},
    {"ignore-environment", no_argument, NULL, 'i'},
    {"ignore-signal", optional_argument, NULL, 0},
    {"list-signal-handling", no_argument, NULL, 0},
    {"null", no_argument, NULL, '0'},
    {"split-string", required_argument, NULL, 'S'},
    {"unset", required_argument, NULL, 'u'},
    {0},
};

// env, the words of `text`, then `rest`.  NULL: quotes, escapes or too many
// words.
static char **
split(const char *env, char *text, char **rest)
{
    const char *words[256] = {env};
    size_t used = 1;
    for (char *word = strtok(pim_text("%s", text), PIM_BLANKS); word != NULL;
         word = strtok(NULL, PIM_BLANKS)) {
        if (used == PIM_ARRAY_LEN(words) || strpbrk(word, "'\"\\$#") != NULL) {
            return NULL;
        }
        words[used++] = word;
    }
    return pim_words(words, used, rest);
}

// entry: NAME=VALUE to set, or NAME to remove.
static void
change(pim_target *t, char *entry)
{
    size_t length = strcspn(entry, "=");
    if (pim_is_word("LD_PRELOAD", entry, length)) {
        t->is_cleared = true;
    } else if (t->for_check) {
        putenv(entry);
    }
}

// The command that env would execute, or where its arguments end.  NULL: that
// is not known, for an option that we do not know, or quotes or escapes in the
// string of -S.
static char **
follow_env(pim_target *t)
{
    const char *folder = NULL;
    char **argv = t->argv;
    int letter;
    opterr = 0;
    optind = 0; // getopt_long() starts anew
    while ((letter = getopt_long(pim_count(argv), argv, "+a:C:iS:u:v0",
                                 env_options, NULL)) != -1) {
        if (letter == 'S') {
            argv = split(argv[0], optarg, argv + optind);
            optind = 0;
        }
        if (letter == '?' || argv == NULL) {
            return NULL;
        }
        if (letter == 'C') {
            folder = optarg;
        } else if (letter == 'i') {
            t->is_cleared = true;
        } else if (letter == 'u') {
            change(t, optarg);
        }
    }
    argv += optind;
    if (*argv != NULL && strcmp(*argv, "-") == 0) {
        t->is_cleared = true; // as -i
        argv++;
    }
    for (; *argv != NULL && strchr(*argv, '=') != NULL; argv++) {
        change(t, *argv);
    }
    // Ours would change where COMMAND is looked for, unless it is not run.
    return folder == NULL || (t->for_check && chdir(folder) == 0) ? argv : NULL;
}

// --- scripts -----------------------------------------------------------------

// The program that `script`, one of pyenv's shims, would execute, or "" if
// pyenv finds none and has said so on stderr.  NULL: it is no shim.  pyenv
// itself is asked, which takes some tenths of a second.
static const char *
ask_pyenv(const char *script)
{
    char text[2048] = "";
    char pyenv[sizeof(text)];
    int end = 0;
    FILE *file = fopen(script, "re");
    if (file != NULL) {
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
    }
    // A shim ends with: exec "/where/it/is/pyenv" exec "$program" "$@"
    const char *last = strstr(text, "\nexec \"");
    sscanf(last != NULL ? last : "", " exec \"%[^\"]\" exec \"$program\"%n",
           pyenv, &end);
    if (end == 0 || !is_named(pyenv, "pyenv")) {
        return NULL;
    }
    const char *which[] = {pyenv, "which", pim_path_name(script)};
    char *none = NULL;
    pim_answer answer;
    pim_ask(pim_words(which, PIM_ARRAY_LEN(which), &none), PYENV_SECONDS,
            &answer);
    answer.text[strcspn(answer.text, "\n")] = '\0';
    return answer.status == 0 && answer.text[0] == '/'
               ? pim_text("%s", answer.text)
               : "";
}

// line: what follows #!.
static bool
follow_script(pim_target *t, const char *line)
{
    const char *program = t->for_check ? ask_pyenv(t->file) : NULL;
    if (program != NULL) {
        t->argv = pim_words(&program, 1, t->argv + 1);
        return *program != '\0' ||
               conclude(t, PIM_RUN_NOT_FOUND,
                        pim_text("%s: pyenv knows no program for this shim "
                                 "here; choose a version that has one with "
                                 "\"pyenv shell\" or PYENV_VERSION",
                                 t->name));
    }
    size_t length = strcspn(line, PIM_BLANKS);
    const char *argument = line + length + strspn(line + length, PIM_BLANKS);
    // Without a slash the kernel looks in the current directory, not in PATH.
    const char *folder = memchr(line, '/', length) != NULL ? "" : "./";
    const char *words[] = {pim_text("%s%.*s", folder, (int)length, line),
                           *argument != '\0' ? argument : NULL, t->file};
    t->is_script = true;
    t->argv = pim_words(words, PIM_ARRAY_LEN(words), t->argv + 1);
    return access(words[0], F_OK) == 0 ||
           conclude(t, PIM_RUN_NOT_STARTED,
                    pim_text("%s: its interpreter %s does not exist (#!%s)",
                             t->file, words[0], line));
}

// One step; false when there is nothing left to follow.
static bool
follow(pim_target *t)
{
    pim_image image;
    const char *found = find_in_path(t->argv[0]);
    t->file = found != NULL ? found : t->name;
    if (found == NULL) {
        const char *hint = "; to set a variable, write it in front of "
                           "pimalloc-run";
        return conclude(t, PIM_RUN_NOT_FOUND,
                        pim_text("%s: not found%s%s", t->name,
                                 strchr(t->name, '/') ? "" : " in PATH",
                                 strchr(t->name, '=') ? hint : ""));
    }
    if (!is_executable(found)) {
        return conclude(
            t, PIM_RUN_NOT_STARTED,
            pim_text("%s: cannot be executed: %s", found, strerror(EACCES)));
    }
    pim_image_read(found, &image);
    if (image.script[0] != '\0') {
        return follow_script(t, image.script);
    }
    bool is_env = image.machine != 0 && is_named(found, "env");
    char **command = is_env ? follow_env(t) : NULL;
    if (command != NULL && *command != NULL && find_in_path(*command) != NULL) {
        t->argv = command;
        return true;
    }
    judge(t, &image);
    return is_env && command == NULL && t->status == PIM_RUN_SERVED &&
           conclude(t, PIM_RUN_FAILED,
                    pim_text("%s: what env does with these options is not "
                             "known here; ask about the command that it runs",
                             t->name));
}

void
pim_target_follow(const pim_run_options *o, pim_target *out)
{
    *out = (pim_target){.why = "nothing is against it",
                        .name = o->command[0],
                        .argv = o->command,
                        .for_check = o->given[PIM_OPT_CHECK] != NULL,
                        .with_children = o->given[PIM_OPT_NO_CHILDREN] == NULL};
    for (int steps = 1; follow(out); steps++) {
        if (steps == STEPS_MAX) {
            conclude(out, PIM_RUN_NOT_STARTED,
                     pim_text("%s: too many scripts lead to its program",
                              out->name));
            return;
        }
    }
    if (out->is_cleared && out->status < PIM_RUN_NOT_STARTED) {
        out->hands_on = false;
        conclude(out, PIM_RUN_NOT_SERVED,
                 "env takes LD_PRELOAD away on the way to it; put pimalloc-run "
                 "between env and the command");
    }
}

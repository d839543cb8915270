// target.c -- from COMMAND to the program that the kernel loads.

#define _GNU_SOURCE

#include "run/target.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/path.h"
#include "run/ask.h"
#include "run/env.h"
#include "run/image.h"

// The kernel follows five scripts; env and shims may be between them.
#define STEPS_MAX 16

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
    char fallback[PATH_MAX];
    const char *second = NULL; // exists, but is not executable
    const char *path = secure_getenv("PATH");
    if (path == NULL) {
        confstr(_CS_PATH, fallback, sizeof(fallback));
        path = fallback;
    }
    char *rest = pim_text("%s", strchr(name, '/') != NULL ? "" : path);
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
__attribute__((format(printf, 3, 4))) static bool
conclude(pim_target *t, enum pim_run_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    t->status = status;
    vsnprintf(t->why, sizeof(t->why), format, arguments);
    va_end(arguments);
    return false;
}

static bool
is_named(const char *path, const char *name)
{
    return strcmp(pim_path_name(path), pim_path_name(name)) == 0;
}

static void
judge(pim_target *t, const pim_image *image, const pim_run_options *o)
{
    pim_image us;
    pim_image_read("/proc/self/exe", &us);
    const char *privilege = pim_image_privilege(t->file);
    bool has_loader = image->loader[0] != '\0';
    if (privilege != NULL) {
        conclude(t, PIM_RUN_NOT_SERVED,
                 "%s, and programs with raised privileges ignore LD_PRELOAD; "
                 "start pimalloc-run from within it instead",
                 privilege);
    } else if (image->kind != PIM_IMAGE_ELF) {
        conclude(t, PIM_RUN_FAILED,
                 "%s: it could not be found out whether %s would be served, "
                 "whose format is not known here; run it with --verbose "
                 "--stats",
                 o->command[0], t->file);
    } else if (us.kind == PIM_IMAGE_ELF && image->machine != us.machine) {
        t->is_foreign = true;
        conclude(t, PIM_RUN_NOT_SERVED,
                 "it is built for another kind of machine (%s, machine %u) "
                 "than pimalloc; its child processes are not served either",
                 image->machine >> 24 == 1 ? "32-bit" : "64-bit",
                 image->machine & 0xffff);
    } else if (!has_loader && !image->is_loader) {
        t->hands_on = o->given[PIM_OPT_NO_CHILDREN] == NULL;
        conclude(t, PIM_RUN_NOT_SERVED,
                 "it is linked statically, so nothing can be preloaded; use a "
                 "dynamically linked one%s",
                 t->hands_on ? " (its child processes are served)" : "");
    } else if (has_loader && access(image->loader, F_OK) != 0) {
        conclude(t, PIM_RUN_NOT_STARTED,
                 "%s: its loader %s does not exist on this system", t->file,
                 image->loader);
    } else if (has_loader && us.loader[0] != '\0' &&
               !is_named(image->loader, us.loader)) {
        t->is_foreign = true;
        conclude(t, PIM_RUN_NOT_SERVED,
                 "its loader is %s, so it uses another C library than "
                 "pimalloc; its child processes are not served either",
                 image->loader);
    } else {
        conclude(t, PIM_RUN_SERVED, "nothing is against it");
    }
}

// --- following ---------------------------------------------------------------

// line: what follows #!.
static bool
follow_script(pim_target *t, const char *line)
{
    size_t length = strcspn(line, " \t");
    const char *argument = line + length + strspn(line + length, " \t");
    // Without a slash the kernel looks in the current directory, not in PATH.
    const char *folder = memchr(line, '/', length) != NULL ? "" : "./";
    const char *words[3] = {pim_text("%s%.*s", folder, (int)length, line)};
    size_t used = 1;
    if (*argument != '\0') {
        words[used++] = argument;
    }
    words[used++] = t->file;
    t->is_script = true;
    t->argv = pim_words(words, used, t->argv + 1);
    return access(words[0], F_OK) == 0 ||
           conclude(t, PIM_RUN_NOT_STARTED,
                    "%s: its interpreter %s does not exist (#!%s)", t->file,
                    words[0], line);
}

// One step; false when there is nothing left to follow.
static bool
follow(pim_target *t, const pim_run_options *o, bool *clears)
{
    bool for_check = o->given[PIM_OPT_CHECK] != NULL;
    const char *name = o->command[0];
    pim_image image;
    const char *found = find_in_path(t->argv[0]);
    t->file = found != NULL ? found : name;
    if (found == NULL) {
        return conclude(
            t, PIM_RUN_NOT_FOUND, "%s: not found%s%s", name,
            strchr(name, '/') != NULL ? "" : " in PATH",
            strchr(name, '=') != NULL
                ? "; to set a variable, write it in front of pimalloc-run"
                : "");
    }
    if (!is_executable(found)) {
        return conclude(t, PIM_RUN_NOT_STARTED, "%s: cannot be executed: %s",
                        found, strerror(EACCES));
    }
    pim_image_read(found, &image);
    if (image.kind == PIM_IMAGE_SCRIPT) {
        const char *program = for_check ? pim_ask_pyenv(t->file) : NULL;
        if (program == NULL) {
            return follow_script(t, image.script);
        }
        t->argv = pim_words(&program, 1, t->argv + 1);
        return *program != '\0' ||
               conclude(t, PIM_RUN_NOT_FOUND,
                        "%s: pyenv knows no program for this shim here; choose "
                        "a version that has one with \"pyenv shell\" or "
                        "PYENV_VERSION",
                        name);
    }
    char **command = NULL;
    bool is_clear = image.kind != PIM_IMAGE_ELF || !is_named(t->file, "env") ||
                    pim_env_command(t->argv, for_check, clears, &command);
    if (command != NULL && find_in_path(command[0]) != NULL) {
        t->argv = command;
        return true;
    }
    judge(t, &image, o);
    if (t->status == PIM_RUN_SERVED && !is_clear) {
        conclude(t, PIM_RUN_FAILED,
                 "%s: what env does with these options is not known here; ask "
                 "about the command that it runs",
                 name);
    }
    return false;
}

void
pim_target_follow(const pim_run_options *o, pim_target *out)
{
    const char *name = o->command[0];
    bool clears = false;
    int steps = 0;
    *out = (pim_target){.argv = o->command};
    while (follow(out, o, &clears)) {
        if (++steps == STEPS_MAX) {
            conclude(out, PIM_RUN_NOT_STARTED,
                     "%s: too many scripts lead to its program", name);
            return;
        }
    }
    if (clears && out->status < PIM_RUN_NOT_STARTED) {
        out->hands_on = false;
        conclude(out, PIM_RUN_NOT_SERVED,
                 "env takes LD_PRELOAD away on the way to it; put pimalloc-run "
                 "between env and the command");
    }
}

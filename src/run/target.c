// target.c -- from COMMAND to the program that the kernel loads.

#define _GNU_SOURCE

#include "run/target.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/path.h"
#include "run/env.h"
#include "run/image.h"
#include "run/shim.h"
#include "run/text.h"

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

bool
pim_target_find(const char *name, char out[PATH_MAX])
{
    char folders[PATH_MAX] = "";
    char second[PATH_MAX] = ""; // exists, but is not executable
    const char *path = secure_getenv("PATH");
    if (strchr(name, '/') != NULL) {
        path = "";
    } else if (path == NULL) {
        confstr(_CS_PATH, folders, sizeof(folders));
        path = folders;
    }
    for (bool more = *name != '\0'; more;) {
        size_t length = strcspn(path, ":");
        int n = snprintf(out, PATH_MAX, "%.*s%s%s", (int)length, path,
                         length != 0 ? "/" : "", name);
        if (n < PATH_MAX && is_executable(out)) {
            return true;
        }
        if (n < PATH_MAX && second[0] == '\0' && access(out, F_OK) == 0) {
            memcpy(second, out, PATH_MAX);
        }
        more = path[length] != '\0';
        path += length + more;
    }
    memcpy(out, second, PATH_MAX);
    return second[0] != '\0';
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
    return strcmp(path + pim_path_folder(path), name) == 0;
}

static bool
judge(pim_target *t, const pim_image *image, const pim_run_options *o)
{
    pim_image us;
    pim_image_read("/proc/self/exe", &us);
    const char *privilege = pim_image_privilege(t->file);
    if (privilege != NULL) {
        return conclude(
            t, PIM_RUN_NOT_SERVED,
            pim_text("%s, and programs with raised privileges ignore "
                     "LD_PRELOAD; start pimalloc-run from within it instead",
                     privilege));
    }
    if (image->kind != PIM_IMAGE_ELF) {
        return conclude(
            t, PIM_RUN_FAILED,
            pim_text("%s: it could not be found out whether %s would be "
                     "served, whose format is not known here; run it with "
                     "--verbose --stats",
                     o->command[0], t->file));
    }
    if (us.kind == PIM_IMAGE_ELF &&
        (image->elf_class != us.elf_class || image->elf_data != us.elf_data ||
         image->elf_machine != us.elf_machine)) {
        t->is_foreign = true;
        return conclude(
            t, PIM_RUN_NOT_SERVED,
            pim_text("it is built for another kind of machine (%s, machine "
                     "%u) than pimalloc; its child processes are not served "
                     "either",
                     image->elf_class == 1 ? "32-bit" : "64-bit",
                     image->elf_machine));
    }
    if (image->loader[0] == '\0' && !image->is_loader) {
        t->hands_on = o->given[PIM_OPT_NO_CHILDREN] == NULL;
        return conclude(
            t, PIM_RUN_NOT_SERVED,
            pim_text("it is linked statically, so nothing can be preloaded; "
                     "use a dynamically linked one%s",
                     t->hands_on ? " (its child processes are served)" : ""));
    }
    if (image->loader[0] != '\0' && us.loader[0] != '\0' &&
        !is_named(image->loader, us.loader + pim_path_folder(us.loader))) {
        t->is_foreign = true;
        return conclude(
            t, PIM_RUN_NOT_SERVED,
            pim_text("its loader is %s, so it uses another C library than "
                     "pimalloc; its child processes are not served either",
                     image->loader));
    }
    return conclude(t, PIM_RUN_SERVED, "");
}

// --- following ---------------------------------------------------------------

// Puts `program`, and `argument` and `script` where not NULL, in place of argv[0].
static void
replace(pim_target *t, const char *program, const char *argument,
        const char *script)
{
    const char *words[] = {program, argument, script};
    size_t n = 0;
    while (t->argv[n] != NULL) {
        n++;
    }
    char **out = calloc(n + PIM_ARRAY_LEN(words), sizeof(*out));
    if (out == NULL) {
        err(PIM_RUN_FAILED, NULL);
    }
    size_t used = 0;
    for (size_t i = 0; i < PIM_ARRAY_LEN(words); i++) {
        if (words[i] != NULL) {
            out[used++] = pim_text("%s", words[i]);
        }
    }
    memcpy(out + used, t->argv + 1, (n - 1) * sizeof(*out));
    t->argv = out;
}

// line: what follows #!.
static void
follow_script(pim_target *t, const char *line)
{
    size_t length = strcspn(line, " \t");
    const char *argument = line + length + strspn(line + length, " \t");
    // Without a slash the kernel looks in the current directory, not in PATH.
    bool has_slash = memchr(line, '/', length) != NULL;
    t->is_script = true;
    replace(t, pim_text("%s%.*s", has_slash ? "" : "./", (int)length, line),
            *argument != '\0' ? argument : NULL, t->file);
}

static bool
find(pim_target *t, const char *command)
{
    if (!pim_target_find(t->argv[0], t->file)) {
        return t->is_script
                   ? conclude(t, PIM_RUN_NOT_STARTED,
                              pim_text("%s: its interpreter %s does not exist",
                                       command, t->argv[0]))
                   : conclude(t, PIM_RUN_NOT_FOUND,
                              pim_text("%s: not found%s", command,
                                       strchr(command, '/') != NULL
                                           ? ""
                                           : " in PATH"));
    }
    return is_executable(t->file) ||
           conclude(t, PIM_RUN_NOT_STARTED,
                    pim_text("%s: cannot be executed; it must be a file that "
                             "you may execute",
                             t->file));
}

// One step; false when there is nothing left to follow.
static bool
follow(pim_target *t, const pim_run_options *o, bool *clears)
{
    bool for_check = o->given[PIM_OPT_CHECK] != NULL;
    const char *name = o->command[0];
    pim_image image;
    pim_image_read(t->file, &image);
    if (image.kind == PIM_IMAGE_SCRIPT) {
        const char *program = for_check ? pim_shim_program(t->file) : NULL;
        if (program == NULL) {
            follow_script(t, image.script);
            return true;
        }
        replace(t, program, NULL, NULL);
        return *program != '\0' ||
               conclude(t, PIM_RUN_NOT_FOUND,
                        pim_text("%s: pyenv knows no program for this shim "
                                 "here; choose a version that has one with "
                                 "\"pyenv shell\" or PYENV_VERSION",
                                 name));
    }
    if (image.kind == PIM_IMAGE_TEXT) {
        t->is_script = true;
        replace(t, "/bin/sh", NULL, t->file);
        return true;
    }
    char **command = NULL;
    char found[PATH_MAX];
    bool is_clear = image.kind != PIM_IMAGE_ELF || !is_named(t->file, "env") ||
                    pim_env_command(t->argv, for_check, clears, &command);
    if (command != NULL && pim_target_find(command[0], found)) {
        t->argv = command;
        return true;
    }
    judge(t, &image, o);
    return t->status == PIM_RUN_SERVED && !is_clear
               ? conclude(t, PIM_RUN_FAILED,
                          pim_text("%s: what env does with these options is "
                                   "not known here; ask about the command "
                                   "that it runs",
                                   name))
               : false;
}

void
pim_target_follow(const pim_run_options *o, pim_target *out)
{
    bool clears = false;
    *out =
        (pim_target){.status = PIM_RUN_NOT_STARTED,
                     .why = pim_text("%s: too many scripts lead to its program",
                                     o->command[0]),
                     .argv = o->command};
    for (int i = 0; i < STEPS_MAX; i++) {
        if (!find(out, o->command[0])) {
            return;
        }
        if (!follow(out, o, &clears)) {
            break;
        }
    }
    if (clears) {
        out->hands_on = false;
        conclude(out, PIM_RUN_NOT_SERVED,
                 "env takes LD_PRELOAD away on the way to it; put pimalloc-run "
                 "between env and the command");
    }
}

// target.c -- from COMMAND to the program that the kernel loads.

#define _GNU_SOURCE

#include "run/target.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/env.h"
#include "run/image.h"
#include "run/status.h"
#include "run/shim.h"

// The kernel follows five scripts; env and shims may stand between them.
#define STEPS_MAX 16

// --- finding -----------------------------------------------------------------

static bool
is_executable(const char *path, bool *exists)
{
    struct stat file;
    *exists = stat(path, &file) == 0;
    return *exists && S_ISREG(file.st_mode) && access(path, X_OK) == 0;
}

bool
pim_target_find(const char *name, char out[PATH_MAX])
{
    bool exists = false;
    if (strchr(name, '/') != NULL) {
        int n = snprintf(out, PATH_MAX, "%s", name);
        is_executable(name, &exists);
        return n < PATH_MAX && exists;
    }
    char fallback[PATH_MAX] = "";
    const char *path = secure_getenv("PATH");
    if (path == NULL) {
        confstr(_CS_PATH, fallback, sizeof(fallback));
        path = fallback;
    }
    char second[PATH_MAX] = ""; // there, but not executable
    for (bool more = *name != '\0'; more;) {
        size_t length = strcspn(path, ":");
        int n = snprintf(out, PATH_MAX, "%.*s%s%s", (int)length, path,
                         length != 0 ? "/" : "", name);
        if (n < PATH_MAX && is_executable(out, &exists)) {
            return true;
        }
        if (n < PATH_MAX && exists && second[0] == '\0') {
            memcpy(second, out, PATH_MAX);
        }
        more = path[length] != '\0';
        path += length + more;
    }
    memcpy(out, second, PATH_MAX);
    return second[0] != '\0';
}

// --- following ---------------------------------------------------------------

static bool
is_named(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash != NULL ? slash + 1 : path, name) == 0;
}

// Puts up to two words in front: INTERPRETER [ARGUMENT] FILE arguments...
static void
interpose(pim_target *t, const char *interpreter, const char *argument)
{
    size_t n = 0;
    while (t->argv[n] != NULL) {
        n++;
    }
    char **out = calloc(n + 3, sizeof(*out));
    char *words[] = {strdup(interpreter), strdup(argument), strdup(t->file)};
    if (out == NULL || words[0] == NULL || words[1] == NULL ||
        words[2] == NULL) {
        errx(PIM_RUN_FAILED, "%s", strerror(ENOMEM));
    }
    size_t used = 0;
    for (int i = 0; i < 3; i++) {
        if (words[i][0] != '\0') {
            out[used++] = words[i];
        }
    }
    memcpy(out + used, t->argv + 1, (n - 1) * sizeof(*out));
    t->argv = out;
}

static void
follow_script(pim_target *t, const char *line)
{
    char interpreter[sizeof(((pim_image *)NULL)->script) + 2];
    size_t length = strcspn(line, " \t");
    // Without a slash the kernel looks in the current directory, not in PATH.
    bool has_slash = memchr(line, '/', length) != NULL;
    snprintf(interpreter, sizeof(interpreter), "%s%.*s", has_slash ? "" : "./",
             (int)length, line);
    const char *argument = line + length;
    argument += strspn(argument, " \t");
    t->is_script = true;
    interpose(t, interpreter, argument);
}

// --- judging -----------------------------------------------------------------

static void
judge(pim_target *t, const pim_image *image)
{
    pim_image us;
    pim_image_read("/proc/self/exe", &us);
    const char *privilege = pim_image_privilege(t->file);
    t->is_known = image->kind == PIM_IMAGE_ELF;
    if (privilege != NULL) {
        snprintf(t->why, sizeof(t->why),
                 "%s, and programs with raised privileges ignore LD_PRELOAD; "
                 "start pimalloc-run from within it instead",
                 privilege);
    } else if (t->is_known && us.kind == PIM_IMAGE_ELF &&
               (image->elf_class != us.elf_class ||
                image->elf_data != us.elf_data ||
                image->elf_machine != us.elf_machine)) {
        t->is_foreign = true;
        snprintf(t->why, sizeof(t->why),
                 "it is built for another kind of machine (%s, machine %u) "
                 "than pimalloc; its child processes are not served either",
                 image->elf_class == 1 ? "32-bit" : "64-bit",
                 image->elf_machine);
    } else if (t->is_known && image->loader[0] == '\0' && !image->is_loader) {
        t->hands_on = true;
        snprintf(t->why, sizeof(t->why),
                 "it is linked statically, so nothing can be preloaded; use a "
                 "dynamically linked one");
    } else if (image->loader[0] != '\0' && us.loader[0] != '\0' &&
               !is_named(image->loader, strrchr(us.loader, '/') + 1)) {
        t->is_foreign = true;
        snprintf(t->why, sizeof(t->why),
                 "its loader is %.200s, so it uses another C library than "
                 "pimalloc; its child processes are not served either",
                 image->loader);
    }
}

// One step; false when there is nothing left to follow.
static bool
follow(pim_target *t, bool for_check, bool *clears)
{
    pim_image image;
    pim_image_read(t->file, &image);
    if (image.kind == PIM_IMAGE_SCRIPT && image.script[0] != '\0') {
        char program[PATH_MAX];
        if (for_check && pim_shim_resolve(t->file, program)) {
            t->is_shim = true;
            if (program[0] == '\0') {
                t->file[0] = '\0';
                return false;
            }
            interpose(t, program, "");
            t->argv[1] = t->argv[0]; // the program instead of the shim
            t->argv++;
            return true;
        }
        follow_script(t, image.script);
        return true;
    }
    if (image.kind == PIM_IMAGE_TEXT) {
        t->is_script = true;
        interpose(t, "/bin/sh", "");
        return true;
    }
    char **command = NULL;
    t->is_unclear = image.kind == PIM_IMAGE_ELF && is_named(t->file, "env") &&
                    !pim_env_command(t->argv, for_check, clears, &command);
    char found[PATH_MAX];
    if (command != NULL && pim_target_find(command[0], found)) {
        t->argv = command;
        return true;
    }
    judge(t, &image);
    return false;
}

void
pim_target_follow(char **command, bool for_check, pim_target *out)
{
    memset(out, 0, sizeof(*out));
    out->argv = command;
    bool clears = false;
    for (int i = 0; i < STEPS_MAX; i++) {
        if (!pim_target_find(out->argv[0], out->file)) {
            out->file[0] = '\0';
            return;
        }
        if (!follow(out, for_check, &clears)) {
            break;
        }
    }
    if (clears) {
        snprintf(out->why, sizeof(out->why),
                 "env takes LD_PRELOAD away on the way to it; put pimalloc-run "
                 "between env and the command");
    }
}

const char *
pim_target_why(const pim_target *target, bool no_children)
{
    static char text[sizeof(target->why) + 64];
    snprintf(text, sizeof(text), "%s%s", target->why,
             target->hands_on && !no_children
                 ? " (its child processes are served)"
                 : "");
    return text;
}

// form.c -- see form.h.

#define _GNU_SOURCE

#include "run/form.h"

#include <err.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "platform/path.h"
#include "run/status.h"
#include "run/text.h"

static const char *
form_of(const char *option, const char *name, size_t length,
        const char *const forms[PIM_FORMS])
{
    for (int i = 0; i < PIM_FORMS; i++) {
        if (strlen(forms[i]) == length && memcmp(forms[i], name, length) == 0) {
            return forms[i];
        }
    }
    errx(PIM_RUN_FAILED,
         "%s: there is no format \"%.*s\"; valid are %s, %s and %s, and a "
         "file follows a colon: %s=json:FILE",
         option, (int)length, name, forms[0], forms[1], forms[2], option);
}

static void
check_folder(const char *option, const char *folder)
{
    struct stat status;
    bool exists = stat(folder, &status) == 0;
    if (exists ? !S_ISDIR(status.st_mode) : errno == ENOENT) {
        errx(PIM_RUN_FAILED,
             "%s: %s is no directory, so no file in it can be written; create "
             "it first",
             option, folder);
    }
    if (!exists) {
        errx(PIM_RUN_FAILED,
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
        errx(PIM_RUN_FAILED, "%s: %s is a directory; name a file in it", option,
             path);
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
        errx(PIM_RUN_FAILED,
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

const char *
pim_form_read(const char *option, const char *value,
              const char *const forms[PIM_FORMS])
{
    const char *name = value + (*value == '=');
    size_t length = strcspn(name, ":");
    bool is_default = *value != '=' || name[0] == ':';
    const char *form =
        is_default ? forms[0] : form_of(option, name, length, forms);
    if (name[length] == '\0') {
        return form;
    }
    const char *file = name + length + 1;
    if (*file == '\0') {
        errx(PIM_RUN_FAILED,
             "%s: no file follows the colon; leave the colon out for stderr",
             option);
    }
    const char *path = absolute(option, file);
    if (strlen(path) >= PATH_MAX) {
        errx(PIM_RUN_FAILED, "%s: the path %s is too long", option, file);
    }
    check_file(option, path);
    return pim_text("%s:%s", form, path);
}

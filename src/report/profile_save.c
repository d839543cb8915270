// profile_save.c -- a profile's file, in each form (platform/file.h).

#include <errno.h>
#include <string.h>

#include "platform/cancel.h"
#include "platform/file.h"
#include "report/profile.h"

static const struct form {
    const char *name;
    void (*write)(const pim_profile *profile, pim_out *out);
} forms[] = {
    {"pprof", pim_profile_pprof},
    {"folded", pim_profile_folded},
    {"speedscope", pim_profile_speedscope},
    {"html", NULL}, // compares, too
};

static const struct form *
find(const char *name)
{
    for (size_t i = 0; i < PIM_ARRAY_LEN(forms); i++) {
        if (strcmp(forms[i].name, name) == 0) {
            return &forms[i];
        }
    }
    return NULL;
}

int
pim_profile_save(const pim_profile *profile, const pim_profile *earlier,
                 const char *format, const char *path)
{
    PIM_NO_CANCEL;
    pim_file file;
    pim_out out;
    const struct form *form = find(format);
    if (form == NULL || (earlier != NULL && form->write != NULL) ||
        *path == '\0') {
        return -EINVAL;
    }
    int err = pim_file_open(&file, path, PIM_FILE_REPLACE);
    if (err != 0) {
        return err;
    }
    pim_out_open_fd(&out, file.fd);
    if (form->write != NULL) {
        form->write(profile, &out);
    } else {
        pim_profile_html(profile, earlier, &out);
    }
    return pim_file_close(&file, pim_out_finish(&out));
}

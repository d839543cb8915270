// save.c -- a statistics file that is whole at any moment (platform/file.h).

#include <errno.h>
#include <stddef.h>

#include "platform/cancel.h"
#include "platform/file.h"
#include "pimalloc/pimalloc.h"
#include "report/write.h"

int
pimalloc_stats_save(const char *path, int format)
{
    PIM_NO_CANCEL;
    pim_file file;
    pim_out out;
    if (path == NULL || *path == '\0') {
        return -EINVAL;
    }
    int err = pim_file_open(&file, path, PIM_FILE_REPLACE);
    if (err != 0) {
        return err;
    }
    pim_out_open_fd(&out, file.fd);
    return pim_file_close(&file, pim_report_write(&out, format, file.has_pid));
}

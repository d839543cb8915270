// write.c -- collects and writes a report, in each form.

#include "report/write.h"

#include <errno.h>
#include <stdio.h>

#include "report/report.h"

int
pim_report_write(pim_out *out, int format, bool names_pid)
{
    pim_report report;
    if (format < PIMALLOC_TEXT || format > PIMALLOC_OPENMETRICS) {
        return -EINVAL;
    }
    int err = pim_report_collect(&report);
    report.names_pid = names_pid;
    if (err == 0) {
        switch (format) {
        case PIMALLOC_JSON:
            pim_report_json(&report, out);
            break;
        case PIMALLOC_OPENMETRICS:
            pim_report_openmetrics(&report, out);
            break;
        default:
            pim_report_text(&report, out);
        }
        err = pim_out_finish(out);
    }
    pim_report_release(&report);
    return err;
}

int
pimalloc_stats_write(int fd, int format)
{
    pim_out out;
    pim_out_open_fd(&out, fd);
    return pim_report_write(&out, format, false);
}

void
pimalloc_stats_print(FILE *stream)
{
    pim_out out;
    pim_out_open_stream(&out, stream != NULL ? stream : stderr);
    (void)pim_report_write(&out, PIMALLOC_TEXT, false); // who prints looks
}

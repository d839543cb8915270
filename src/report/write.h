// write.h -- collects and writes a report.

#ifndef PIM_REPORT_WRITE_H
#define PIM_REPORT_WRITE_H

#include <stdbool.h>

#include "platform/out.h"

// Collects and writes in a public format.  0, or a negative errno; -EINVAL for
// a format that there is not.
int pim_report_write(pim_out *out, int format, bool names_pid);

#endif // PIM_REPORT_WRITE_H

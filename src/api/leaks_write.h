// leaks_write.h -- a leak report for people and for programs.

#ifndef PIM_API_LEAKS_WRITE_H
#define PIM_API_LEAKS_WRITE_H

#include <stdbool.h>

#include "pimalloc/tenants.h"

// Writes a report as a text for people, or as one line of JSON
// (docs/leaks.schema.json).  0 or a negative errno.
int pim_leaks_write(int fd, const pimalloc_leaks *leaks, bool as_json);

#endif // PIM_API_LEAKS_WRITE_H

// place.h -- where the parts of pimalloc lie, seen from the launcher's own file.
//
// Nothing is compiled in but the way from BINDIR to the others, so a tree that
// was moved works, and so does the build tree.

#ifndef PIM_RUN_PLACE_H
#define PIM_RUN_PLACE_H

#include <stddef.h>

// Each writes an absolute path to `out`, or exits with a message that says where
// it looked and what to do.

void pim_place_library(char *out, size_t size);

// The folder of the Python module.
void pim_place_module(char *out, size_t size);

// The libmimalloc that pimalloc would load, 3.6 or newer.  library: the preload
// library's path.
void pim_place_mimalloc(const char *library, char *out, size_t size);

#endif // PIM_RUN_PLACE_H

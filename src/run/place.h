// place.h -- where the parts of pimalloc are, seen from the launcher's own
// file.
//
// Only the way from BINDIR to the others is compiled in, so a tree that was
// moved works, and so does the build tree.

#ifndef PIM_RUN_PLACE_H
#define PIM_RUN_PLACE_H

// Each returns an absolute path, or exits with a message that says where it
// looked and what to do.

const char *pim_place_library(void);

// The folder of the Python module.
const char *pim_place_module(void);

// The libmimalloc, 3.6 or newer, that pimalloc would load.  library: the path
// of the preload library.
const char *pim_place_mimalloc(const char *library);

#endif // PIM_RUN_PLACE_H

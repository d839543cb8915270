// image.h -- what a file tells about the process that it would become.
//
// A loader preloads a library only if the program is linked dynamically, of the
// library's kind of machine and C library, and runs without raised privileges.
// The file tells all of this.

#ifndef PIM_RUN_IMAGE_H
#define PIM_RUN_IMAGE_H

#include <limits.h>

#include "base/compiler.h"

// With neither machine nor script the file cannot be read, or is of a format
// not known here.
typedef struct pim_image {
    uint32_t machine;      // of an ELF file: EI_CLASS, EI_DATA, e_machine
    char loader[PATH_MAX]; // PT_INTERP; "" in a static program
    char script[256];      // its interpreter with an argument: what follows #!
} pim_image;

void pim_image_read(const char *path, pim_image *out);

// What gives a process of this file privileges that its starter does not have,
// as a phrase ("it is setuid"); NULL if nothing does.
const char *pim_image_privilege(const char *path);

#endif // PIM_RUN_IMAGE_H

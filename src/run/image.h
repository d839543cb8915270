// image.h -- what a file tells about the process that it would become.
//
// A loader preloads a library only if the program is linked dynamically, of the
// library's kind of machine and C library, and runs without raised privileges.
// The file tells all of this.

#ifndef PIM_RUN_IMAGE_H
#define PIM_RUN_IMAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum pim_image_kind {
    PIM_IMAGE_UNKNOWN, // not readable, or of a format not known here
    PIM_IMAGE_ELF,
    PIM_IMAGE_SCRIPT, // begins with #!, or execvp() gives it to /bin/sh
};

typedef struct pim_image {
    enum pim_image_kind kind;
    uint32_t machine;      // EI_CLASS and EI_DATA above e_machine
    bool is_loader;        // ld.so itself, run as a program
    char loader[PATH_MAX]; // PT_INTERP; "" in a static program
    char script[256];      // its interpreter with an argument: what follows #!
} pim_image;

void pim_image_read(const char *path, pim_image *out);

// What gives a process of this file privileges that its starter does not have,
// as a phrase ("it is setuid"); NULL if nothing does.
const char *pim_image_privilege(const char *path);

#endif // PIM_RUN_IMAGE_H

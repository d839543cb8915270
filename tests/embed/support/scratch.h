// scratch.h -- a folder in /tmp for the files of a test.

#ifndef PIM_TESTS_EMBED_SCRATCH_H
#define PIM_TESTS_EMBED_SCRATCH_H

#include <stdbool.h>

#define SCRATCH_TEXT_MAX 1000000

// Creates it, or skips the test where there is no pimalloc.
void scratch_make(void);

const char *scratch_folder(void);

// The path of a file in it; valid until the next call but one.
const char *scratch_path(const char *name);

int scratch_count(void);

// Removes the folder, in which `files` must be.
void scratch_remove(int files);

// The whole file; valid until the next call.
const char *scratch_read(const char *path);

void scratch_write(const char *path, const char *text);

bool scratch_text_ends_with(const char *text, const char *end);

// Whether a text is a whole document, in JSON or OpenMetrics.
bool scratch_is_whole(const char *text);

#endif // PIM_TESTS_EMBED_SCRATCH_H

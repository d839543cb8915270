// text_of_str.h -- the text of a Python string, without CPython.

#ifndef PIM_HOOKS_TEXT_OF_STR_H
#define PIM_HOOKS_TEXT_OF_STR_H

#include "base/compiler.h"

// Copies the text of a str, or of an object of a subclass, in UTF-8; cut between
// characters to fit.  A surrogate becomes '?', as with Python's errors="replace".
// Returns the bytes written without the NUL.
size_t pim_text_of_str(const void *str, char *out, size_t size);

#endif // PIM_HOOKS_TEXT_OF_STR_H

// poison_text.h -- what the handler of faults says of memory that nobody may
// use.

#ifndef PIM_INTERP_POISON_TEXT_H
#define PIM_INTERP_POISON_TEXT_H

#include "base/compiler.h"

// Of which interpreter's block an address of a poisoned page is, and who asks,
// in words; for pim_fault_watch().  Any thread, in a signal handler too.
size_t pim_poison_describe(const void *address, char *text, size_t capacity);

#endif // PIM_INTERP_POISON_TEXT_H

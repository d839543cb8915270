// fault.h -- who is told of a memory fault before the process dies of it.

#ifndef PIM_PLATFORM_FAULT_H
#define PIM_PLATFORM_FAULT_H

#include "base/compiler.h"

// Asked in the signal handler, in the thread that faulted, with the address: is
// async-signal-safe.  Writes what it knows of the address and returns how much,
// or 0 if it is none of its own.
typedef size_t pim_fault_describe(const void *address, char *text,
                                  size_t capacity);

// From now on the text goes to stderr when a thread reads or writes memory that
// it must not, if `describe` knows the address.  In any case the handler that
// was there before is called, or the process ends as it would have.  Once;
// later calls do nothing.  0 or -errno.
int pim_fault_watch(pim_fault_describe *describe);

// The handler's text: appends to *length, stays below `capacity`.
void pim_fault_put(char *text, size_t capacity, size_t *length,
                   const char *what);
void pim_fault_put_number(char *text, size_t capacity, size_t *length,
                          int64_t n);
void pim_fault_put_address(char *text, size_t capacity, size_t *length,
                           const void *address);

#endif // PIM_PLATFORM_FAULT_H

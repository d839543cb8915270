// fault.h -- requests that fail on purpose: the functions of
// <pimalloc/hooks.h>, and the rules of PIMALLOC_FAULTS.

#ifndef PIM_HOOKS_FAULT_H
#define PIM_HOOKS_FAULT_H

#include "base/compiler.h"
#include "pimalloc/hooks.h"

// As pimalloc_fault_add(), but the rule matches nothing until
// pim_fault_begin(); frames need not be known either, and while they are not
// a rule with a function matches nothing.
int pim_fault_add_waiting(const pimalloc_fault *fault);

// All rules that wait begin.  Any thread.
void pim_fault_begin(void);

#endif // PIM_HOOKS_FAULT_H

// self_test.h -- whether a library is a mimalloc that pimalloc can use.

#ifndef PIM_MI_SELF_TEST_H
#define PIM_MI_SELF_TEST_H

#include "mi/ops.h"

// Binds the functions of a library opened with dlopen().  Returns NULL, or the
// name of one that it lacks; then `mi` is not to be used.
const char *pim_mi_bind(void *handle, pim_mi_ops *mi);

// Tries on two blocks what pimalloc takes for granted.  0; -ENOMEM: no memory
// to try it with; -EPROTO: then `fault` says in a few words what is wrong.
int pim_mi_self_test(const pim_mi_ops *mi, const char **fault);

// dlsym() into a function pointer of any type; ISO C has no such cast.
bool pim_mi_symbol(void *handle, const char *name, void *function);

#endif // PIM_MI_SELF_TEST_H

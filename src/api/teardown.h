// teardown.h -- what becomes of what interpreters leave, when pimalloc is
// installed.

#ifndef PIM_API_TEARDOWN_H
#define PIM_API_TEARDOWN_H

// Sets the policy of interpreters to come.  0; -EINVAL or -ENOTSUP if the Python
// that is served does not allow it; or what else stands against it.
int pim_policy_set_default(int policy);

#endif // PIM_API_TEARDOWN_H

// teardown.h -- what becomes of what interpreters leave, when pimalloc is
// installed.

#ifndef PIM_API_TEARDOWN_H
#define PIM_API_TEARDOWN_H

// Whether the Python that is served allows a policy: 0, -EINVAL, -ENOTSUP.
int pim_policy_check(int policy);

// Sets the policy of interpreters to come.  Returns like the above.
int pim_policy_set_default(int policy);

#endif // PIM_API_TEARDOWN_H

// teardown.c -- pimalloc_policy_set() and what belongs to it.

#include "api/teardown.h"

#include <errno.h>

#include "abandoned/poison.h"
#include "cpython/identity.h"
#include "cpython/symbols.h"
#include "interp/poison_text.h"
#include "interp/registry.h"
#include "pimalloc/tenants.h"
#include "platform/fault.h"

_Static_assert(PIMALLOC_KEEP == (int)PIM_KEEP &&
                   PIMALLOC_POISON == (int)PIM_POISON &&
                   PIMALLOC_RELEASE == (int)PIM_RELEASE,
               "the public constants are the internal ones");

// Whether the Python that is served allows it: 0, -EINVAL, -ENOTSUP.
static int
check(int policy)
{
    if (policy < PIMALLOC_KEEP || policy > PIMALLOC_RELEASE) {
        return -EINVAL;
    }
    bool refused = (policy == PIMALLOC_RELEASE && pim_py_outlives()) ||
                   (policy != PIMALLOC_KEEP && pim_py_hides_ends());
    return refused ? -ENOTSUP : 0;
}

// Who touches a poisoned block is to be named.
static int
prepare(int policy)
{
    int err = check(policy);
    return err == 0 && policy == PIMALLOC_POISON
               ? pim_fault_watch(pim_poison_describe)
               : err;
}

int
pim_policy_set_default(int policy)
{
    int err = prepare(policy);
    if (err == 0) {
        pim_store_relaxed(&pim_policy_of_new, policy);
    }
    return err;
}

int
pimalloc_policy_set(int64_t interp, int policy)
{
    if (pim_region.base == NULL) {
        return -ENOENT;
    }
    if ((policy == PIMALLOC_POISON || policy == PIMALLOC_RELEASE) &&
        !pim_identity_raw_is_ours()) {
        return -ENOTSUP; // no end is seen
    }
    if (interp == PIMALLOC_EACH) {
        return pim_policy_set_default(policy);
    }
    int err = prepare(policy);
    return err == 0 ? pim_registry_set_policy(interp, policy) : err;
}

int
pimalloc_teardown_stats(pimalloc_teardown *out)
{
    if (out == NULL || out->size != sizeof(*out)) {
        return -EINVAL;
    }
    const pim_poison_figures *p = &pim_poisoned;
    out->released_blocks = pim_load_relaxed(&p->released_blocks);
    out->released_bytes = pim_load_relaxed(&p->released_bytes);
    out->poisoned_blocks = pim_load_relaxed(&p->poisoned_blocks);
    out->poisoned_bytes = pim_load_relaxed(&p->poisoned_bytes);
    out->late_frees = pim_load_relaxed(&p->late_frees);
    return 0;
}

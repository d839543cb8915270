// test_py3140.c -- CPython 3.14.0, which never frees the state of an interpreter: what
// a later 3.14 says of its version is changed to that.

#include <errno.h>

#include "pimalloc/tenants.h"
#include "support/embed.h"

#if PY_314
const unsigned long Py_Version = 0x030e00f0; // in front of libpython's
#endif

static void
skip_if_no_3_14(void)
{
    if (!PY_314 || embed_is_vanilla()) {
        embed_skip("about CPython 3.14");
    }
}

CASE(policies_that_need_an_end_are_refused)
{
    skip_if_no_3_14();
    embed_preinit();
    pimalloc_config config = {.size = sizeof(config),
                              .teardown = PIMALLOC_POISON};
    EXPECT_EQ(pimalloc_install(&config), -ENOTSUP);
    EXPECT_HAS(pimalloc_strerror(-ENOTSUP), "3.14.0");
    config.teardown = PIMALLOC_RELEASE;
    EXPECT_EQ(pimalloc_install(&config), -ENOTSUP);
    config.teardown = PIMALLOC_KEEP;
    EXPECT_EQ(pimalloc_install(&config), 0);
    embed_init();
    EXPECT_EQ(pimalloc_active(), 1);
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_POISON), -ENOTSUP);
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_RELEASE), -ENOTSUP);
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_KEEP), 0);
    embed_stop();
}

CASE_ENV(policy_of_the_environment_is_told_of_and_ignored,
         "PIMALLOC_TEARDOWN=poison")
{
    skip_if_no_3_14();
    embed_hear();
    embed_start();
    char *text = embed_heard();
    EXPECT_HAS(text, "PIMALLOC_TEARDOWN=poison: CPython 3.14.0");
    free(text);
    embed_stop();
}

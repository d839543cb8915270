// test_check_ids.c -- the checked mode in a process that has had many interpreters.

#include "misuse/calls.h"

#define MANY ((int64_t)1 << 40)

static void
begin(fake_interp *interp, int64_t id)
{
    fake_interp_begin(interp, id);
    fake_interp_swap(interp);
    checked_free(PIM_OBJ, checked_malloc(PIM_OBJ, 1));
}

static void
free_twice(void *block)
{
    checked_free(PIM_OBJ, block);
    checked_free(PIM_OBJ, block);
}

// Beyond 2^20 an id did not fit, and the owner was taken for one that has ended.
TEST(regress_ids_of_many_interpreters_are_told_apart)
{
    static const int64_t bases[] = {1 << 20, MANY};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(bases); i++) {
        fake_interp a;
        fake_interp b;
        char text[100];
        begin(&b, bases[i] + 2);
        begin(&a, bases[i] + 1);
        void *block = checked_malloc(PIM_OBJ, 100);
        fake_interp_swap(&b);
        block = checked_realloc(PIM_OBJ, block, 3000);
        EXPECT_NOT_NULL(block);
        snprintf(text, sizeof(text), "of interpreter %" PRId64 " (0x",
                 bases[i] + 2);
        core_expect_fatal(free_twice, block, text);
        checked_free(PIM_OBJ, block);
        fake_interp_swap(NULL);
        fake_interp_end(&a);
        fake_interp_end(&b);
    }
}

SUITE(.set_up = core_set_up_checked)

// refusals.c -- see refusals.h.

#include "support/refusals.h"

#include "interp/roster.h"
#include "support/expect.h"

pimalloc_refusal last_refusal;
unsigned refusals;

void
note_refusal(void *arg, const pimalloc_refusal *refusal)
{
    EXPECT_PTR_EQ(arg, &refusals);
    EXPECT(!pim_gate_is_inside());
    last_refusal = *refusal;
    refusals++;
}

void
limit_heap(pim_heap *heap, uint64_t soft, uint64_t hard)
{
    const pim_limit_terms terms = {soft, hard, note_refusal, &refusals};
    EXPECT(pim_limit_terms_are_valid(&terms));
    pim_gate_enter();
    pim_limit_set(&heap->limit, &terms);
    pim_gate_exit();
}

// census.c -- counting on a walk.

#include "support/census.h"

#include "interp/figures.h"
#include "support/expect.h"
#include "support/fake_interp.h"

static int
count(void *arg, const pim_found *found)
{
    census *c = arg;
    EXPECT_LT(found->domain, PIM_DOMAINS);
    EXPECT_LT(found->size_class, PIM_WALK_CLASSES);
    c->blocks[found->domain]++;
    c->bytes[found->domain] += found->bytes;
    c->address_sum += (uintptr_t)found->address;
    uint64_t seen = 0;
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        seen += c->blocks[d];
    }
    return c->stop_after != 0 && seen >= c->stop_after ? 7 : 0;
}

int
census_take(pim_heap *heap, census *out)
{
    *out = (census){.stop_after = out->stop_after};
    return pim_heap_is_process(heap) ? pim_walk_process(count, out)
                                     : pim_walk_heap(heap, count, out);
}

void
census_expect_figures(pim_heap *heap, int64_t id)
{
    census c = {.stop_after = 0};
    EXPECT_EQ(census_take(heap, &c), 0);
    pim_figures f = fake_figures(id);
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        EXPECT_EQ(c.blocks[d], f.by_domain[PIM_DOMAIN_INDEX(d)].live_blocks);
        EXPECT_EQ(c.bytes[d], f.by_domain[PIM_DOMAIN_INDEX(d)].live_bytes);
    }
}

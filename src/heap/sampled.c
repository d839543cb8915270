// sampled.c -- see sampled.h.

#include "heap/sampled.h"

_Atomic(const pim_sampler *) pim_sampler_now;

void
pim_heap_skip_sample(pim_heap *heap, unsigned domain)
{
    pim_account *account = &heap->account[PIM_DOMAIN_INDEX(domain)];
    if (pim_account_sample_is_due(account, 0)) {
        pim_account_await_sample(account);
    }
}

uint64_t
pim_heap_take_sample(pim_heap *heap, unsigned domain, size_t bytes,
                     size_t ahead)
{
    pim_account *account = &heap->account[PIM_DOMAIN_INDEX(domain)];
    const pim_sampler *sampler = pim_load_acquire(&pim_sampler_now);
    if (!pim_account_sample_is_due(account, ahead) || sampler == NULL ||
        heap->id == PIM_PROCESS_ID) {
        return 0;
    }
    pim_account_await_sample(account);
    return sampler->take(heap, domain, bytes);
}

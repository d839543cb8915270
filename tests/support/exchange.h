// exchange.h -- where threads leave blocks for other threads to free.
//
// A slot holds one block.  Its first word says how long it is, and its last byte
// must still be what the giver wrote.

#ifndef PIM_TESTS_EXCHANGE_H
#define PIM_TESTS_EXCHANGE_H

#include "base/atomic.h"
#include "domain/domain.h"
#include "support/expect.h"
#include "support/random.h"

#define EXCHANGE_SLOTS 256

typedef struct exchange {
    _Atomic(uint32_t *) slots[EXCHANGE_SLOTS];
    _Atomic uint64_t freed;
} exchange;

// Small mostly; the limits say which kinds of block appear.
static inline size_t
exchange_size(random_state *r, unsigned large_per_1000, unsigned maps_per_1000)
{
    uint64_t dice = random_below(r, 1000);
    if (dice < maps_per_1000) {
        return (32 << 20) + random_below(r, 1000);
    }
    if (dice < maps_per_1000 + large_per_1000) {
        return PIM_SMALL_MAX + 1 + random_below(r, 100000);
    }
    return 8 + random_below(r, dice < 900 ? 400 : 5000);
}

static inline uint32_t *
exchange_alloc(size_t size)
{
    uint32_t *block = pim_obj_malloc(NULL, size);
    EXPECT_NOT_NULL(block);
    block[0] = (uint32_t)size;
    ((unsigned char *)block)[size - 1] = (unsigned char)size;
    block[0] = (uint32_t)size;
    return block;
}

static inline void
exchange_free(exchange *x, uint32_t *block)
{
    size_t size = block[0];
    EXPECT_GE(size, 8);
    EXPECT_EQ(((unsigned char *)block)[size - 1], size & 255);
    pim_obj_free(NULL, block);
    pim_add_relaxed(&x->freed, 1);
}

// Leaves a block in a slot, or takes one with NULL; frees what was there.
static inline void
exchange_put(exchange *x, size_t slot, uint32_t *block)
{
    uint32_t *before = pim_exchange(&x->slots[slot], block);
    if (before != NULL) {
        exchange_free(x, before);
    }
}

static inline void
exchange_clear(exchange *x)
{
    for (size_t i = 0; i < EXCHANGE_SLOTS; i++) {
        exchange_put(x, i, NULL);
    }
}

#endif // PIM_TESTS_EXCHANGE_H

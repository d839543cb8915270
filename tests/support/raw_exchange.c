// raw_exchange.c -- see raw_exchange.h.

#include "support/raw_exchange.h"

#include "domain/domain.h"
#include "support/expect.h"

#define SLOTS 512

size_t (*raw_exchange_size)(random_state *r);

static _Atomic(unsigned char *) slots[SLOTS];

// The first byte tells the last one's place, the last byte says the same.
static unsigned char *
make(random_state *r)
{
    size_t size = 2 + raw_exchange_size(r);
    unsigned char *block = random_below(r, 4) == 0
                               ? pim_raw_calloc(NULL, 1, size)
                               : pim_raw_malloc(NULL, size);
    EXPECT_NOT_NULL(block);
    if (random_below(r, 20) == 0) {
        block = pim_raw_realloc(NULL, block, 1 + size * 2);
        EXPECT_NOT_NULL(block);
    }
    block[0] =
        (unsigned char)(1 + random_below(r, size < 255 ? size - 1 : 254));
    block[block[0]] = block[0];
    return block;
}

static void
drop(unsigned char *block)
{
    if (block != NULL) {
        EXPECT_EQ(block[block[0]], block[0]);
        pim_raw_free(NULL, block);
    }
}

void
raw_exchange_some(random_state *r, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        unsigned char *block = random_below(r, 5) == 0 ? NULL : make(r);
        drop(pim_exchange(&slots[random_below(r, SLOTS)], block));
    }
}

void
raw_exchange_clear(void)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        drop(pim_exchange(&slots[i], NULL));
    }
}

void
raw_exchange_often(team_member *self)
{
    random_state r = random_from(self->number + 1);
    while (!team_stops(self)) {
        raw_exchange_some(&r, 100);
    }
}

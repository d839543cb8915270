// storm.c -- see storm.h.

#include "hooks/storm.h"

#include "domain/domain.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/random.h"

#define MAILBOXES 32
static _Atomic(void *) mailboxes[3][MAILBOXES];

static size_t
some_size(random_state *random)
{
    static const size_t sizes[] = {16, 40, 200, 511, 3000, 40000, 150000};
    return sizes[random_below(random, 7)];
}

static void
exchange_one(unsigned d, random_state *random)
{
    void *mine = core_domains[d].malloc(NULL, some_size(random));
    if (random_below(random, 4) == 0) {
        mine = core_domains[d].realloc(NULL, mine, some_size(random));
    }
    unsigned i = (unsigned)random_below(random, MAILBOXES);
    core_domains[d].free(NULL, pim_exchange(&mailboxes[d][i], mine));
}

void
storm_come_and_go(team_member *self)
{
    random_state random = random_from(self->number + 1);
    while (!team_stops(self)) {
        fake_interp interp;
        fake_interp_start(&interp);
        for (unsigned i = 0; i < 300; i++) {
            exchange_one((unsigned)random_below(&random, 3), &random);
        }
        fake_interp_stop(&interp);
        for (unsigned i = 0; i < 50; i++) { // of nobody
            exchange_one(PIM_RAW, &random);
        }
    }
}

void
storm_clean_up(void)
{
    for (unsigned d = 0; d < 3; d++) {
        for (unsigned i = 0; i < MAILBOXES; i++) {
            core_domains[d].free(NULL, pim_exchange(&mailboxes[d][i], NULL));
        }
    }
}

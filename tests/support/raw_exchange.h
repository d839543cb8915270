// raw_exchange.h -- where threads leave raw blocks for other threads to free.

#ifndef PIM_TESTS_RAW_EXCHANGE_H
#define PIM_TESTS_RAW_EXCHANGE_H

#include "support/random.h"
#include "support/team.h"

// How large blocks are, which is a program's to say.
extern size_t (*raw_exchange_size)(random_state *r);

void raw_exchange_some(random_state *r, unsigned rounds);
void raw_exchange_clear(void);

// Until the team is told to stop.
void raw_exchange_often(team_member *self);

#endif // PIM_TESTS_RAW_EXCHANGE_H

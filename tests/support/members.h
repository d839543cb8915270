// members.h -- a tenant, what it makes, and what that makes.

#ifndef PIM_TESTS_MEMBERS_H
#define PIM_TESTS_MEMBERS_H

#include "account/budget.h"
#include "support/fake_interp.h"
#include "support/refusals.h"

#define MIB ((uint64_t)1 << 20)
#define SOFT (16 * MIB)
#define HARD (18 * MIB)

enum { TENANT, CHILD, SECOND, GRANDCHILD, MEMBERS };

extern fake_interp members[MEMBERS];
extern int64_t member_ids[MEMBERS];

// As a test's set-up and tear-down: the tenant is current.
int members_begin(void **state);
int members_end(void **state);

pim_heap *member_heap(unsigned m);
void limit_member(unsigned m, uint64_t soft, uint64_t hard);

// Makes one current, without a thread state in between, and has it ask for something.
void become(unsigned m);

// Has the current one, or whose thread state was taken away, make another one, which
// is current afterwards, as it is while CPython makes it.  False: there is no room.
bool make_newborn(unsigned m);

// The same, and CPython is done with it.
bool make_member(unsigned m);

// Limits the tenant, which makes a child; that one is current.
void make_family(uint64_t soft, uint64_t hard);

// Nothing if it is not there.
void end_member(unsigned m);

uint64_t live_of_member(unsigned m);

// Live in all that counts for it.
uint64_t tree_bytes(unsigned m);

#endif // PIM_TESTS_MEMBERS_H

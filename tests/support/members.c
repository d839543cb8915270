// members.c -- see members.h.

#include "support/members.h"

#include <string.h>

#include "account/budget.h"
#include "account/ledger.h"
#include "heap/audit.h"
#include "interp/figures.h"
#include "interp/roster.h"
#include "support/core.h"

fake_interp members[MEMBERS];
int64_t member_ids[MEMBERS];

static unsigned current;

pim_heap *
member_heap(unsigned m)
{
    return pim_registry_heap(member_ids[m]);
}

void
limit_member(unsigned m, uint64_t soft, uint64_t hard)
{
    limit_heap(member_heap(m), soft, hard);
}

void
become(unsigned m)
{
    current = m;
    fake_interp_swap(&members[m]);
    EXPECT_NOT_NULL(fake_current_heap());
}

bool
make_newborn(unsigned m)
{
    member_ids[m] = core_next_id();
    fake_interp_swap(NULL); // as CPython 3.13 and newer
    if (!fake_interp_make(&members[m], member_ids[m])) {
        return false;
    }
    become(m);
    return true;
}

bool
make_member(unsigned m)
{
    unsigned maker = current;
    bool is_made = make_newborn(m);
    if (is_made && members[maker].block != NULL) {
        become(maker);
        become(m);
    }
    return is_made;
}

void
make_family(uint64_t soft, uint64_t hard)
{
    limit_member(TENANT, soft, hard);
    EXPECT(make_member(CHILD));
}

void
end_member(unsigned m)
{
    if (members[m].block != NULL) {
        become(m);
        pim_heap_audit(fake_current_heap());
        fake_interp_swap(NULL);
        fake_interp_end(&members[m]);
    }
}

uint64_t
live_of_member(unsigned m)
{
    uint64_t bytes;
    pim_ledger ledger = pim_heap_ledger(member_heap(m));
    EXPECT(pim_ledger_live_bytes(&ledger, &bytes));
    return bytes;
}

uint64_t
tree_bytes(unsigned m)
{
    return fake_limit(member_heap(m)).tree_bytes;
}

int
members_begin(void **state)
{
    (void)state;
    fake_interp_swap(NULL);
    memset(members, 0, sizeof(members));
    refusals = 0;
    member_ids[TENANT] = core_next_id();
    fake_interp_begin(&members[TENANT], member_ids[TENANT]);
    become(TENANT);
    return 0;
}

int
members_end(void **state)
{
    (void)state;
    for (unsigned m = MEMBERS; m-- > 0;) {
        end_member(m);
    }
    pim_budget_audit();
    return 0;
}

// readers.c -- see readers.h.

#include "hooks/readers.h"

#include "platform/closing.h"
#include "platform/fence.h"
#include "platform/os.h"

static _Atomic uint64_t crowd; // threads without a record that are in

void
pim_reader_enter_crowd(void)
{
    atomic_fetch_add(&crowd, 1);
}

void
pim_reader_leave_crowd(void)
{
    atomic_fetch_sub(&crowd, 1);
}

static bool
is_patient(uint64_t since)
{
    return pim_os->now_ms() - since < pim_inside_patience_ms;
}

static bool
wait_for(const pim_thread *record, uint64_t since)
{
    uint64_t in = pim_load_acquire(&record->chained);
    unsigned rounds = 0;
    while (in % 2 != 0 && pim_load_acquire(&record->chained) == in) {
        if (pim_gate_pause(&rounds) && !is_patient(since)) {
            return false;
        }
    }
    return true;
}

// New ones may come all the time; each of them sees the new chain.
static bool
wait_for_crowd(uint64_t since)
{
    unsigned rounds = 0;
    while (atomic_load(&crowd) != 0) {
        if (pim_gate_pause(&rounds) && !is_patient(since)) {
            return false;
        }
    }
    return true;
}

bool
pim_readers_wait(void)
{
    PIM_ASSERT(!pim_gate_is_inside() && !pim_gate_self.in_chain);
    uint64_t since = pim_os->now_ms();
    pim_fence_everywhere();
    bool out = wait_for_crowd(since);
    for (const pim_thread *t = pim_gate_records(); t != NULL && out;
         t = t->next) {
        out = t == pim_gate_self.thread || wait_for(t, since);
    }
    return out;
}

void
pim_readers_in_child(void)
{
    bool counted = pim_gate_self.in_chain && pim_gate_self.thread == NULL;
    atomic_store(&crowd, counted ? 1 : 0);
    for (pim_thread *t = pim_load_acquire(&pim_gate.records); t != NULL;
         t = t->next) {
        uint64_t in = pim_load_relaxed(&t->chained);
        if (t != pim_gate_self.thread && in % 2 != 0) {
            pim_store_relaxed(&t->chained, in + 1);
        }
    }
}

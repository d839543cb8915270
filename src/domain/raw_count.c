// raw_count.c -- tallies and what is published of them; see raw_count.h.

#include "domain/raw_count.h"

#include "account/ledger.h"
#include "domain/domain.h"

pim_raw_account pim_raw_published;

// What CPython frees through us and allocated past us can make the live figures
// negative for a while; a peak is never taken from such.
static void
raise_peak(_Atomic uint64_t *peak, uint64_t live)
{
    if (PIM_LIKELY(live <= INT64_MAX)) {
        pim_raise_relaxed(peak, live);
    }
}

// Adds differences to the shared account, and the heights they reached.
static void
publish(uint64_t bytes, uint64_t blocks, uint64_t top_bytes,
        uint64_t top_blocks)
{
    pim_raw_account *raw = &pim_raw_published;
    raise_peak(&raw->peak_bytes,
               atomic_fetch_add(&raw->live_bytes, bytes) + top_bytes);
    raise_peak(&raw->peak_blocks,
               atomic_fetch_add(&raw->live_blocks, blocks) + top_blocks);
}

// Empties a gauge.  A reader in between sees too little rather than too much,
// which would become a peak.
static int64_t
take(_Atomic int64_t *top, _Atomic int64_t *spare)
{
    int64_t difference = pim_load_relaxed(top) - pim_load_relaxed(spare);
    pim_store_release(top, 0);
    pim_store_release(spare, 0);
    return difference;
}

// Inside the gate: a forked child inherits what was counted, here or there.
void
pim_tally_publish(pim_tally *tally)
{
    pim_gate_enter();
    int64_t top_bytes = pim_load_relaxed(&tally->top_bytes);
    int64_t top_blocks = pim_load_relaxed(&tally->top_blocks);
    int64_t bytes = take(&tally->top_bytes, &tally->spare_bytes);
    int64_t blocks = take(&tally->top_blocks, &tally->spare_blocks);
    publish((uint64_t)bytes, (uint64_t)blocks, (uint64_t)top_bytes,
            (uint64_t)top_blocks);
    pim_gate_exit();
}

// Not inside the gate: while a thread allocates more than it frees, each block
// makes a new height.  Instead no store changes the difference (TALLY-1).
static void
raise_top(_Atomic int64_t *top, _Atomic int64_t *spare)
{
    int64_t left = pim_load_relaxed(spare);
    if (left < 0) {
        int64_t raised = pim_load_relaxed(top) - left;
        pim_store_release(top, -raised); // whatever `spare` says
        pim_store_release(spare, 0);
        pim_store_release(top, raised);
    }
}

void
pim_tally_rose(pim_tally *tally)
{
    raise_top(&tally->top_bytes, &tally->spare_bytes);
    raise_top(&tally->top_blocks, &tally->spare_blocks);
    if (PIM_UNLIKELY(pim_load_relaxed(&tally->top_bytes) >= PIM_TALLY_BYTES ||
                     pim_load_relaxed(&tally->top_blocks) >=
                         PIM_TALLY_BLOCKS)) {
        pim_tally_publish(tally);
    }
}

// The difference of a gauge at some moment of the call, or too little.  Any
// thread.
static uint64_t
difference(const _Atomic int64_t *top, const _Atomic int64_t *spare)
{
    int64_t before;
    int64_t below;
    int64_t after = pim_load_acquire(top);
    unsigned tries = 0;
    do {
        before = after;
        if (before < 0) {
            return (uint64_t)-before; // it is being raised
        }
        below = pim_load_acquire(spare);
        after = pim_load_acquire(top);
    } while ((before != after || below < 0) && ++tries < 1000);
    after = after < 0 ? -after : after;
    return (uint64_t)(before < after ? before : after) -
           (uint64_t)(below > 0 ? below : 0);
}

// The highest difference since it was last published.  Any thread.
static uint64_t
height(const _Atomic int64_t *top)
{
    int64_t now = pim_load_relaxed(top);
    return (uint64_t)(now < 0 ? -now : now);
}

void
pim_raw_count(uint64_t bytes, uint64_t blocks)
{
    if (!PIM_ACCOUNTS) {
        return;
    }
    pim_thread *self = pim_gate_self.thread;
    bool is_more = (int64_t)bytes > 0;
    if (PIM_UNLIKELY(self == NULL)) {
        publish(bytes, blocks, bytes, blocks);
        if (is_more) {
            pim_add_relaxed(&pim_raw_published.total_bytes, bytes);
            pim_add_relaxed(&pim_raw_published.total_blocks, blocks);
        }
        return;
    }
    pim_tally *tally = &self->tally;
    if (is_more) {
        pim_own_add(&tally->total_bytes, (int64_t)bytes);
        pim_own_add(&tally->total_blocks, (int64_t)blocks);
    }
    pim_own_sub(&tally->spare_bytes, (int64_t)bytes);
    pim_own_sub(&tally->spare_blocks, (int64_t)blocks);
    pim_tally_rose(tally);
    pim_tally_fold(tally);
}

// Reads the shared account first: who sees a tally published there sees it
// empty.
void
pim_raw_figures(pim_usage *out)
{
    pim_raw_account *raw = &pim_raw_published;
    uint64_t bytes = pim_load_acquire(&raw->live_bytes);
    uint64_t blocks = pim_load_acquire(&raw->live_blocks);
    *out = (pim_usage){
        .live_bytes = bytes,
        .live_blocks = blocks,
        .total_bytes = pim_load_relaxed(&raw->total_bytes),
        .total_blocks = pim_load_relaxed(&raw->total_blocks),
    };
    for (const pim_thread *t = pim_gate_records(); t != NULL; t = t->next) {
        const pim_tally *tally = &t->tally;
        out->live_bytes += difference(&tally->top_bytes, &tally->spare_bytes);
        out->live_blocks +=
            difference(&tally->top_blocks, &tally->spare_blocks);
        out->total_bytes += (uint64_t)pim_load_relaxed(&tally->total_bytes);
        out->total_blocks += (uint64_t)pim_load_relaxed(&tally->total_blocks);
        raise_peak(&raw->peak_bytes, bytes + height(&tally->top_bytes));
        raise_peak(&raw->peak_blocks, blocks + height(&tally->top_blocks));
    }
    raise_peak(&raw->peak_bytes, out->live_bytes);
    raise_peak(&raw->peak_blocks, out->live_blocks);
    out->peak_bytes = pim_load_relaxed(&raw->peak_bytes);
    out->peak_blocks = pim_load_relaxed(&raw->peak_blocks);
}

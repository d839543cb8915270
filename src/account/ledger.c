// ledger.c -- what the accounts of a heap say, read by any thread while the
// owner is at work.

#include "account/ledger.h"

// What is pending in `n` counters together.
static uint64_t
sum(const _Atomic uint64_t *pending, size_t n)
{
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) {
        all += atomic_load(&pending[i]);
    }
    return all;
}

// live - pending, at one moment: between folds what is pending only grows, so
// if it is the same before and after `live` is read, it was so when `live` was.
// If it never stays the same, less than what was live at a moment is the
// answer: what others freed meanwhile is missing.  Only a heap that folds all
// the time, too, gets any number, though never a negative one.
static bool
read_live(const pim_ledger *ledger, const _Atomic int64_t *headroom,
          const _Atomic uint64_t *peak, const _Atomic uint64_t *pending,
          size_t pendings, uint64_t *out)
{
    bool is_exact = false;
    bool is_bounded = false;
    for (unsigned tries = 0; tries < 1000 && !is_exact; tries++) {
        uint64_t is_live;
        uint32_t folding = atomic_load(ledger->folding);
        uint64_t before = sum(pending, pendings);
        bool at_once = pim_read_live(headroom, peak, &is_live);
        uint64_t is_pending = sum(pending, pendings);
        bool at_rest = at_once && folding % 2 == 0 &&
                       folding == atomic_load(ledger->folding);
        is_exact = at_rest && before == is_pending;
        if (at_rest || !is_bounded) {
            *out = is_live > is_pending ? is_live - is_pending : 0;
            is_bounded |= at_rest;
        }
    }
    return is_exact;
}

static uint64_t
live_now(const pim_ledger *ledger, const _Atomic int64_t *headroom,
         const _Atomic uint64_t *peak, const _Atomic uint64_t *pending,
         size_t pendings)
{
    uint64_t live;
    read_live(ledger, headroom, peak, pending, pendings, &live);
    return live;
}

bool
pim_ledger_live_bytes(const pim_ledger *ledger, uint64_t *bytes)
{
    bool are_exact = true;
    *bytes = 0;
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        const pim_gauge *gauge = &ledger->account[domain_index].bytes;
        uint64_t live;
        are_exact &= read_live(ledger, &gauge->headroom, &gauge->peak,
                               &ledger->pending[domain_index].bytes, 1, &live);
        *bytes += live;
    }
    return are_exact;
}

// A reader between the owner's two stores may see more live than the peak.
static uint64_t
at_least(uint64_t figure, uint64_t other)
{
    return figure > other ? figure : other;
}

// --- classes ---------------------------------------------------------------

static uint64_t
total_of(const _Atomic int64_t *total)
{
    return (uint64_t)pim_load_relaxed(total);
}

void
pim_ledger_class_figures(const pim_ledger *ledger, unsigned domain_index,
                         pim_class_figures *out)
{
    const pim_by_class *a = &ledger->account[domain_index].by_class;
    const pim_pending *p = &ledger->pending[domain_index];
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        out->live[c] =
            live_now(ledger, &a->headroom[c], &a->peak[c], &p->blocks[c], 1);
        out->peak[c] = at_least(pim_load_relaxed(&a->peak[c]), out->live[c]);
        out->total[c] = total_of(&a->total[c]);
    }
    for (size_t i = 0; i < PIM_VARIED; i++) {
        const pim_varied *v = &a->varied[i];
        out->live_bytes[i] = live_now(ledger, &v->bytes.headroom,
                                      &v->bytes.peak, &p->varied_bytes[i], 1);
        out->peak_bytes[i] =
            at_least(pim_load_relaxed(&v->bytes.peak), out->live_bytes[i]);
        out->total_bytes[i] = total_of(&v->total_bytes);
    }
}

pim_usage
pim_class_usage(const pim_class_figures *figures, size_t size_class)
{
    pim_usage out = {.live_blocks = figures->live[size_class],
                     .peak_blocks = figures->peak[size_class],
                     .total_blocks = figures->total[size_class]};
    if (size_class < PIM_CLASSES) {
        uint64_t bytes = pim_classes[size_class].block_size;
        out.live_bytes = out.live_blocks * bytes;
        out.peak_bytes = out.peak_blocks * bytes;
        out.total_bytes = out.total_blocks * bytes;
    } else {
        size_t i = size_class - PIM_CLASSES;
        out.live_bytes = figures->live_bytes[i];
        out.peak_bytes = figures->peak_bytes[i];
        out.total_bytes = figures->total_bytes[i];
    }
    return out;
}

// --- domains ---------------------------------------------------------------

pim_usage
pim_ledger_usage(const pim_ledger *ledger, unsigned domain_index)
{
    const pim_account *a = &ledger->account[domain_index];
    const pim_pending *p = &ledger->pending[domain_index];
    pim_usage out = {0};
    out.live_bytes =
        live_now(ledger, &a->bytes.headroom, &a->bytes.peak, &p->bytes, 1);
    out.live_blocks = live_now(ledger, &a->blocks.headroom, &a->blocks.peak,
                               p->blocks, PIM_ACCOUNT_CLASSES);
    out.peak_bytes = at_least(pim_load_relaxed(&a->bytes.peak), out.live_bytes);
    out.peak_blocks =
        at_least(pim_load_relaxed(&a->blocks.peak), out.live_blocks);
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        uint64_t blocks = total_of(&a->by_class.total[c]);
        out.total_blocks += blocks;
        out.total_bytes +=
            c < PIM_CLASSES
                ? blocks * pim_classes[c].block_size
                : total_of(&a->by_class.varied[c - PIM_CLASSES].total_bytes);
    }
    return out;
}

// ledger.c -- what the accounts of a heap say, read by any thread while the
// owner is at work.

#include "account/ledger.h"

// What is counted upward on both sides, as the owner does.
typedef struct counter {
    const _Atomic uint64_t *handed;
    const _Atomic int64_t *unused; // of that; NULL: nothing
    const _Atomic uint64_t *taken;
} counter;

static counter
bytes_of(const pim_account *a)
{
    return (counter){&a->granted, &a->credit, &a->taken};
}

// Handed out less what was taken back; true: that was so at some moment.
static bool
read_once(const counter *c, uint64_t *out)
{
    uint64_t taken = atomic_load(c->taken);
    uint64_t handed = atomic_load(c->handed);
    uint64_t unused = c->unused != NULL ? (uint64_t)atomic_load(c->unused) : 0;
    uint64_t taken_then = atomic_load(c->taken);
    uint64_t is_live = handed - unused - taken_then;
    *out = (int64_t)is_live > 0 ? is_live : 0;
    return taken == taken_then;
}

// live - pending, at one moment: between folds what is pending only grows, so
// if it is the same before and after `live` is read, it was so when `live` was.
// If it never stays the same, less than what was live at a moment is the
// answer: what others freed meanwhile is missing.  Only a heap that folds or
// looks all the time, too, gets any number, though never a negative one.
static bool
read_live(const pim_ledger *ledger, unsigned domain_index, const counter *c,
          const _Atomic uint64_t *pending, uint64_t *out)
{
    const _Atomic uint32_t *looking = &ledger->account[domain_index].looking;
    bool is_exact = false;
    bool is_bounded = false;
    for (unsigned tries = 0; tries < 1000 && !is_exact; tries++) {
        uint64_t is_live;
        uint32_t folding = atomic_load(ledger->folding);
        uint32_t look = atomic_load(looking);
        uint64_t before = atomic_load(pending);
        bool at_once = read_once(c, &is_live);
        uint64_t is_pending = atomic_load(pending);
        bool at_rest = folding % 2 == 0 && look % 2 == 0 &&
                       look == atomic_load(looking) &&
                       folding == atomic_load(ledger->folding);
        is_exact = at_rest && at_once && before == is_pending;
        if (at_rest || !is_bounded) {
            *out = is_live > is_pending ? is_live - is_pending : 0;
            is_bounded |= at_rest;
        }
    }
    return is_exact;
}

// The peak, which is no less than what was read live.
static uint64_t
peak_of(_Atomic uint64_t *peak, uint64_t live)
{
    pim_raise_relaxed(peak, live);
    return pim_load_relaxed(peak);
}

bool
pim_ledger_live_bytes(const pim_ledger *ledger, uint64_t *bytes)
{
    bool are_exact = true;
    *bytes = 0;
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        counter c = bytes_of(&ledger->account[domain_index]);
        uint64_t live;
        are_exact &= read_live(ledger, domain_index, &c,
                               &ledger->pending[domain_index].bytes, &live);
        *bytes += live;
    }
    return are_exact;
}

// --- classes ---------------------------------------------------------------

static uint64_t
live_of_class(const pim_ledger *ledger, unsigned domain_index, size_t c)
{
    const pim_account *a = &ledger->account[domain_index];
    counter blocks = {&a->blocks_handed[c], NULL, &a->blocks_taken[c]};
    uint64_t live;
    read_live(ledger, domain_index, &blocks,
              &ledger->pending[domain_index].blocks[c], &live);
    return live;
}

void
pim_ledger_class_figures(const pim_ledger *ledger, unsigned domain_index,
                         pim_class_figures *out)
{
    pim_account *a = &ledger->account[domain_index];
    const pim_pending *p = &ledger->pending[domain_index];
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        out->live[c] = live_of_class(ledger, domain_index, c);
        out->peak[c] = peak_of(&a->class_peak[c], out->live[c]);
        out->total[c] = pim_load_relaxed(&a->blocks_handed[c]);
    }
    for (size_t i = 0; i < PIM_VARIED; i++) {
        pim_varied *v = &a->varied[i];
        counter bytes = {&v->handed, NULL, &v->taken};
        read_live(ledger, domain_index, &bytes, &p->varied_bytes[i],
                  &out->live_bytes[i]);
        out->peak_bytes[i] = peak_of(&v->peak, out->live_bytes[i]);
        out->total_bytes[i] = pim_load_relaxed(&v->handed);
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

static uint64_t
sum(const _Atomic uint64_t *blocks)
{
    uint64_t all = 0;
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        all += atomic_load(&blocks[c]);
    }
    return all;
}

// Of all classes: what was handed out less what came back, read in this order,
// so that no more is the answer than was live in between.  If nothing came back
// from before the first sum on, it was that many at one moment, for blocks are
// handed out one by one; else the answer is that of the least disturbed try.
static uint64_t
live_blocks(const pim_ledger *ledger, unsigned domain_index)
{
    const pim_account *a = &ledger->account[domain_index];
    const _Atomic uint64_t *pending = ledger->pending[domain_index].blocks;
    uint64_t least = UINT64_MAX;
    uint64_t live = 0;
    uint64_t before = sum(pending) + sum(a->blocks_taken);
    for (unsigned tries = 0; tries < 100 && least != 0; tries++) {
        uint64_t handed = sum(a->blocks_handed);
        uint64_t back = sum(pending);
        back += sum(a->blocks_taken);
        if (back - before < least) {
            least = back - before;
            live = (int64_t)(handed - back) > 0 ? handed - back : 0;
        }
        before = back;
    }
    return live;
}

pim_usage
pim_ledger_usage(const pim_ledger *ledger, unsigned domain_index)
{
    pim_account *a = &ledger->account[domain_index];
    counter bytes = bytes_of(a);
    pim_usage out = {0};
    read_live(ledger, domain_index, &bytes,
              &ledger->pending[domain_index].bytes, &out.live_bytes);
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        uint64_t blocks = pim_load_relaxed(&a->blocks_handed[c]);
        out.total_blocks += blocks;
        out.total_bytes +=
            c < PIM_CLASSES
                ? blocks * pim_classes[c].block_size
                : pim_load_relaxed(&a->varied[c - PIM_CLASSES].handed);
    }
    out.live_blocks = live_blocks(ledger, domain_index);
    out.peak_bytes = peak_of(&a->peak, out.live_bytes);
    out.peak_blocks = peak_of(&a->peak_blocks, out.live_blocks);
    return out;
}

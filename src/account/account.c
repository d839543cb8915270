// account.c -- counting what is not on a fast path: peaks, spans and large
// blocks, what others freed, and accounts as a whole.

#include "account/account.h"

#include "platform/gate.h"

uint64_t (*_Atomic pim_sample_gap)(void);
_Atomic uint32_t pim_sample_epoch;

// --- looking ---------------------------------------------------------------

static uint64_t
live_blocks(const pim_account *account)
{
    uint64_t sum = 0;
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        sum += pim_account_live_blocks(account, c);
    }
    return sum;
}

static int64_t
credit_for(uint64_t live)
{
    uint64_t credit = live / PIM_CREDIT_SHARE;
    return (int64_t)(credit < PIM_CREDIT_MIN   ? PIM_CREDIT_MIN
                     : credit > PIM_CREDIT_MAX ? PIM_CREDIT_MAX
                                               : credit);
}

// In between a reader sees more handed out than was: `looking` tells it.  A fork
// in between would leave it so in the child, hence the gate.
static void
grant(pim_account *account, int64_t credit)
{
    int64_t rest = pim_load_relaxed(&account->credit);
    uint32_t looking = pim_load_relaxed(&account->looking);
    pim_gate_enter();
    pim_store_relaxed(&account->looking, looking + 1);
    atomic_thread_fence(memory_order_release);
    pim_own_add(&account->granted, (uint64_t)(credit - rest));
    pim_store_relaxed(&account->credit, credit);
    pim_store_release(&account->looking, looking + 2);
    pim_gate_exit();
}

static void
raise_peaks(pim_account *account)
{
    uint64_t live = pim_account_live_bytes(account);
    if ((int64_t)live > 0 && live > pim_load_relaxed(&account->peak)) {
        pim_raise_relaxed(&account->peak, live);
        pim_raise_relaxed(&account->peak_blocks, live_blocks(account));
    }
}

// The part of a credit that ends with the next sample; all of it while one is
// due, or none is awaited.
static int64_t
until_sample(pim_account *account, int64_t credit)
{
    uint64_t (*gap)(void) = pim_load_acquire(&pim_sample_gap);
    uint64_t handed = pim_account_handed(account);
    uint32_t epoch = pim_load_acquire(&pim_sample_epoch); // before the gap
    if (gap == NULL) {
        account->sample_at = 0;
    } else if (account->sample_at == 0 || account->sampled_for != epoch) {
        account->sampled_for = epoch;
        account->sample_at = handed + gap();
    }
    uint64_t left = account->sample_at - handed - 1;
    return handed < account->sample_at && left < (uint64_t)credit
               ? (int64_t)left
               : credit;
}

static uint64_t
raise_and_grant(pim_account *account)
{
    raise_peaks(account);
    int64_t credit = credit_for(pim_account_live_bytes(account));
    credit = until_sample(account, credit);
    grant(account, credit);
    return (uint64_t)credit;
}

void
pim_account_await_sample(pim_account *account)
{
    account->sample_at = 0;
    int64_t credit = pim_load_relaxed(&account->credit);
    int64_t left = until_sample(account, credit);
    if (left != credit) {
        grant(account, left);
    }
}

uint64_t
pim_account_look(pim_account *account, size_t size_class)
{
    pim_own_add(&account->blocks_handed[size_class], 1);
    return raise_and_grant(account);
}

// --- any class -------------------------------------------------------------

// The bytes of a varied class; NULL for a class of one size.
static pim_varied *
varied(pim_account *account, size_t size_class)
{
    return size_class >= PIM_CLASSES
               ? &account->varied[size_class - PIM_CLASSES]
               : NULL;
}

static uint64_t
live_varied(const pim_varied *v)
{
    return pim_load_relaxed(&v->handed) - pim_load_relaxed(&v->taken);
}

static void
grow_varied(pim_varied *v, uint64_t bytes)
{
    pim_own_add(&v->handed, bytes);
    pim_raise_relaxed(&v->peak, live_varied(v));
}

void
pim_account_add(pim_account *account, size_t size_class, uint64_t bytes)
{
    if (!pim_account_hand(account, size_class, bytes)) {
        pim_account_look(account, size_class);
    }
    pim_varied *v = varied(account, size_class);
    if (PIM_ACCOUNTS && v != NULL) {
        grow_varied(v, bytes);
        pim_account_look_at_class(account, size_class);
    }
}

void
pim_account_take_varied(pim_account *account, size_t size_class, uint64_t bytes)
{
    pim_varied *v = varied(account, size_class);
    if (PIM_ACCOUNTS && v != NULL) {
        pim_own_add(&v->taken, bytes);
    }
}

void
pim_account_remove(pim_account *account, size_t size_class, uint64_t bytes)
{
    pim_account_take(account, size_class, bytes);
    pim_account_take_varied(account, size_class, bytes);
}

void
pim_account_resize(pim_account *account, size_t size_class, uint64_t before,
                   uint64_t after)
{
    pim_varied *v = varied(account, size_class);
    if (!PIM_ACCOUNTS || v == NULL) {
        return;
    }
    if (after <= before) {
        pim_own_add(&account->taken, before - after);
        pim_own_add(&v->taken, before - after);
        return;
    }
    grow_varied(v, after - before);
    if (pim_own_sub_below_zero(&account->credit, (int64_t)(after - before))) {
        raise_and_grant(account);
    }
    if (pim_account_sample_is_due(account, 0)) {
        pim_account_await_sample(account); // there is no new block to sample
    }
}

// --- pending ---------------------------------------------------------------

void
pim_pending_add_blocks(pim_pending *pending, size_t size_class,
                       uint64_t block_bytes, int64_t blocks)
{
    uint64_t bytes = block_bytes * (uint64_t)blocks;
    if (!PIM_ACCOUNTS) {
        return;
    }
    pim_add_relaxed(&pending->blocks[size_class], (uint64_t)blocks);
    if (size_class >= PIM_CLASSES) {
        pim_add_relaxed(&pending->varied_bytes[size_class - PIM_CLASSES],
                        bytes);
    }
    atomic_fetch_add_explicit(&pending->bytes, bytes, memory_order_release);
}

void
pim_pending_add(pim_pending *pending, size_t size_class, uint64_t bytes)
{
    pim_pending_add_blocks(pending, size_class, bytes, 1);
}

// Counts what is pending in one counter as taken; with `over`, it is not pending
// any more then.  In between it counts twice, so a reader who reads `taken` last
// never sees too much live.
static void
take_over(_Atomic uint64_t *taken, _Atomic uint64_t *pending, bool over)
{
    uint64_t n = pim_load_acquire(pending);
    pim_store_release(taken, pim_load_relaxed(taken) + n);
    if (over && n != 0) {
        atomic_fetch_sub(pending, n);
    }
}

static void
take_pending(pim_account *account, pim_pending *pending, bool over)
{
    raise_peaks(account);
    take_over(&account->taken, &pending->bytes, over);
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        if (pim_load_relaxed(&pending->blocks[c]) != 0) {
            pim_account_look_at_class(account, c);
            take_over(&account->blocks_taken[c], &pending->blocks[c], over);
        }
    }
    for (size_t v = 0; v < PIM_VARIED; v++) {
        take_over(&account->varied[v].taken, &pending->varied_bytes[v], over);
    }
}

// Blocks whose bytes are not added yet may come with the others: their bytes
// are then taken the next time.
void
pim_account_fold(pim_account *account, pim_pending *pending)
{
    take_pending(account, pending, true);
}

void
pim_account_subtract(pim_account *account, pim_pending *pending)
{
    take_pending(account, pending, false);
}

// --- whole accounts --------------------------------------------------------

void
pim_account_add_live(pim_account *to, const pim_account *from)
{
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        uint64_t blocks = pim_account_live_blocks(from, c);
        if (blocks != 0) {
            pim_own_sub(&to->blocks_taken[c], blocks);
            pim_account_look_at_class(to, c);
        }
    }
    for (size_t i = 0; i < PIM_VARIED; i++) {
        pim_varied *v = &to->varied[i];
        pim_own_sub(&v->taken, live_varied(&from->varied[i]));
        pim_raise_relaxed(&v->peak, live_varied(v));
    }
    pim_own_sub(&to->taken, pim_account_live_bytes(from));
    raise_and_grant(to);
}

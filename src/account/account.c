// account.c -- counting what is not on a fast path: spans and large blocks,
// what others freed, and accounts as a whole.

#include "account/account.h"

// The bytes of a varied class; NULL for a class of one size.
static pim_varied *
varied(pim_account *account, size_t size_class)
{
    return size_class >= PIM_CLASSES
               ? &account->by_class.varied[size_class - PIM_CLASSES]
               : NULL;
}

void
pim_account_add(pim_account *account, size_t size_class, uint64_t bytes)
{
    pim_account_grow(account, size_class, bytes);
    pim_varied *v = varied(account, size_class);
    if (PIM_ACCOUNTS && v != NULL) {
        pim_own_add(&v->total_bytes, (int64_t)bytes);
        pim_gauge_grow(&v->bytes, bytes);
    }
}

void
pim_account_shrink_varied(pim_account *account, size_t size_class,
                          uint64_t bytes)
{
    pim_varied *v = varied(account, size_class);
    if (PIM_ACCOUNTS && v != NULL) {
        pim_gauge_shrink(&v->bytes, bytes);
    }
}

void
pim_account_remove(pim_account *account, size_t size_class, uint64_t bytes)
{
    pim_account_shrink(account, size_class, bytes);
    pim_account_shrink_varied(account, size_class, bytes);
}

void
pim_account_resize(pim_account *account, size_t size_class, uint64_t before,
                   uint64_t after)
{
    pim_varied *v = varied(account, size_class);
    if (!PIM_ACCOUNTS || v == NULL) {
        return;
    }
    if (after > before) {
        pim_gauge_grow(&account->bytes, after - before);
        pim_own_add(&v->total_bytes, (int64_t)(after - before));
        pim_gauge_grow(&v->bytes, after - before);
    } else {
        pim_gauge_shrink(&account->bytes, before - after);
        pim_gauge_shrink(&v->bytes, before - after);
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

typedef struct freed {
    uint64_t bytes;
    uint64_t blocks[PIM_ACCOUNT_CLASSES];
    uint64_t varied_bytes[PIM_VARIED];
} freed;

static void
subtract(pim_account *account, const freed *f)
{
    uint64_t blocks = 0;
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        if (f->blocks[c] != 0) {
            pim_own_add_fast(&account->by_class.headroom[c],
                             (int64_t)f->blocks[c]);
            blocks += f->blocks[c];
        }
    }
    for (size_t v = 0; v < PIM_VARIED; v++) {
        pim_gauge_shrink(&account->by_class.varied[v].bytes,
                         f->varied_bytes[v]);
    }
    pim_gauge_shrink(&account->bytes, f->bytes);
    pim_gauge_shrink(&account->blocks, blocks);
}

// Blocks whose bytes are not added yet may come with the others: their bytes
// are then taken the next time.
void
pim_account_fold(pim_account *account, pim_pending *pending)
{
    freed f;
    f.bytes = pim_exchange(&pending->bytes, 0);
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        f.blocks[c] = pim_load_relaxed(&pending->blocks[c]) != 0
                          ? pim_exchange(&pending->blocks[c], 0)
                          : 0;
    }
    for (size_t v = 0; v < PIM_VARIED; v++) {
        f.varied_bytes[v] = pim_exchange(&pending->varied_bytes[v], 0);
    }
    subtract(account, &f);
}

void
pim_account_subtract(pim_account *account, const pim_pending *pending)
{
    freed f;
    f.bytes = pim_load_acquire(&pending->bytes);
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        f.blocks[c] = pim_load_relaxed(&pending->blocks[c]);
    }
    for (size_t v = 0; v < PIM_VARIED; v++) {
        f.varied_bytes[v] = pim_load_relaxed(&pending->varied_bytes[v]);
    }
    subtract(account, &f);
}

// --- whole accounts --------------------------------------------------------

void
pim_account_add_live(pim_account *to, const pim_account *from)
{
    const pim_by_class *left = &from->by_class;
    for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
        uint64_t blocks = pim_live(&left->headroom[c], &left->peak[c]);
        if (blocks != 0 && pim_own_sub_below_zero(&to->by_class.headroom[c],
                                                  (int64_t)blocks)) {
            pim_peak_raise(&to->by_class.headroom[c], &to->by_class.peak[c]);
        }
    }
    for (size_t v = 0; v < PIM_VARIED; v++) {
        pim_gauge_grow(&to->by_class.varied[v].bytes,
                       pim_gauge_live(&left->varied[v].bytes));
    }
    pim_gauge_grow(&to->bytes, pim_gauge_live(&from->bytes));
    pim_gauge_grow(&to->blocks, pim_gauge_live(&from->blocks));
}

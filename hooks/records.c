// records.c -- see records.h.

#include "hooks/records.h"

#include "abandoned/retained.h"
#include "base/keep_errno.h"
#include "mi/mi.h"
#include "pimalloc/hooks.h"
#include "platform/gate_lock.h"
#include "platform/os.h"

// A leaf covers 1 GiB, the root the addresses that Linux gives to programs.
#define LEAF_SHIFT 30
#define LEAF_UNITS ((size_t)1 << (LEAF_SHIFT - PIM_UNIT_SHIFT))
#define LEAVES ((size_t)1 << (48 - LEAF_SHIFT))

// A unit's entry: the address of its records and, above that, the kind of page
// that they are of; 0: it has none.  So who has a block of a page of another kind
// does not look into them (SIDE-2).
typedef _Atomic uintptr_t unit_entry;
#define KIND_SHIFT 48

typedef struct leaf {
    struct leaf *next;
    uintptr_t base;
    unit_entry unit[LEAF_UNITS];
} leaf;

static PIM_LOCK(lock);
static _Atomic(leaf *) *root; // LEAVES; set once
static leaf *leaves;          // all of them; under the lock
static uint64_t bytes;        // likewise
static bool traces_all;       // what ended interpreters left, too

// floor(offset / size) is offset * inverse >> 32 for each block of each class.
static uint64_t inverse[PIM_CLASSES];

void
pim_records_lock(void)
{
    pim_lock_enter(&lock);
}

void
pim_records_unlock(void)
{
    pim_lock_leave(&lock);
}

bool
pim_records_start(bool all)
{
    pim_records_lock();
    traces_all = all;
    if (root == NULL) {
        root = pim_os->map(LEAVES * sizeof(*root));
        for (unsigned c = 0; c < PIM_CLASSES; c++) {
            uint64_t size = pim_classes[c].block_size;
            inverse[c] = ((UINT64_C(1) << 32) + size - 1) / size;
        }
    }
    pim_records_unlock();
    return root != NULL;
}

// --- where they are ----------------------------------------------------------

static unit_entry *
unit_of(const char *start)
{
    uintptr_t at = (uintptr_t)start;
    leaf *there = at >> LEAF_SHIFT < LEAVES && root != NULL
                      ? pim_load_acquire(&root[at >> LEAF_SHIFT])
                      : NULL;
    return there == NULL
               ? NULL
               : &there->unit[(at >> PIM_UNIT_SHIFT) & (LEAF_UNITS - 1)];
}

static char *
unit_start(const leaf *l, size_t unit)
{
    return (char *)l->base + (unit << PIM_UNIT_SHIFT);
}

static pim_records *
records_in(uintptr_t entry)
{
    return (pim_records *)(entry & (((uintptr_t)1 << KIND_SHIFT) - 1));
}

// Its size class and domain; never 0.
static uintptr_t
kind_of(const pim_page *page)
{
    return (uintptr_t)page->size_class * (PIM_DOMAINS + 1) + page->domain + 1;
}

// NULL: there are none of the page's kind.
static pim_records *
records_of(const pim_page *page, const char *start)
{
    unit_entry *unit = unit_of(start);
    uintptr_t entry = unit != NULL ? pim_load_acquire(unit) : 0;
    return entry >> KIND_SHIFT == kind_of(page) ? records_in(entry) : NULL;
}

static size_t
index_of(const pim_page *page, const char *start, const void *block)
{
    uint64_t offset = (uint64_t)((const char *)block - start);
    return (size_t)(offset * inverse[page->size_class] >> 32);
}

_Atomic uint64_t *
pim_records_word(const pim_page *page, const void *block, int64_t interp)
{
    const char *start = pim_page_start(page);
    pim_records *r = records_of(page, start);
    return r != NULL && (interp == PIMALLOC_EACH ||
                         interp == pim_load_relaxed(&r->interp))
               ? &r->word[index_of(page, start, block)]
               : NULL;
}

const pim_records *
pim_records_find(const pim_page *page, const void *block, size_t *index)
{
    const char *start = pim_page_start(page);
    *index = index_of(page, start, block);
    return records_of(page, start);
}

// Not by the page's owner word, since a heap that ended may be another's.
int64_t
pim_records_interp(const pim_records *r, const char *start, const void *block)
{
    bool holds_orphans;
    const pim_page *page = pim_unit_of(start);
    const pim_heap *heap = pim_page_owner(page, &holds_orphans);
    return heap == NULL || (holds_orphans &&
                            pim_block_set_has(pim_page_orphans(page),
                                              pim_block_granule(start, block)))
               ? PIM_PROCESS_ID
               : pim_load_relaxed(&r->interp);
}

static int
visit_unit(const leaf *l, size_t u, pim_records_visitor visit, void *arg)
{
    int result = 0;
    pim_records_lock();
    uintptr_t entry = pim_load_relaxed(&l->unit[u]);
    if (entry != 0) {
        result = visit(arg, unit_start(l, u), records_in(entry));
    }
    pim_records_unlock();
    return result;
}

int
pim_records_each(pim_records_visitor visit, void *arg)
{
    int result = 0;
    pim_records_lock();
    const leaf *l = leaves; // newer ones come before it
    pim_records_unlock();
    for (; l != NULL && result == 0; l = l->next) {
        for (size_t u = 0; u < LEAF_UNITS && result == 0; u++) {
            if (pim_load_relaxed(&l->unit[u]) != 0) {
                result = visit_unit(l, u, visit, arg);
            }
        }
    }
    return result;
}

// --- they come ---------------------------------------------------------------

// All that follows in this section: under the lock.
static leaf *
make_leaf(const char *start)
{
    uintptr_t at = (uintptr_t)start >> LEAF_SHIFT;
    leaf *there = at < LEAVES ? pim_load_relaxed(&root[at]) : NULL;
    if (there == NULL && at < LEAVES) {
        there = pim_os->map(sizeof(*there));
        if (there != NULL) {
            there->base = at << LEAF_SHIFT;
            there->next = leaves;
            leaves = there;
            pim_store_release(&root[at], there);
        }
    }
    return there;
}

static size_t
records_bytes(uint32_t capacity)
{
    return sizeof(pim_records) + capacity * sizeof(uint64_t);
}

static void
drop(unit_entry *unit)
{
    pim_records *r = records_in(pim_load_relaxed(unit));
    pim_store_release(unit, 0);
    bytes -= records_bytes(r->capacity);
    size_t ignored;
    pim_mi.ufree(r, &ignored);
}

static void
make(const pim_page *page, unit_entry *unit, int64_t interp)
{
    size_t ignored;
    pim_records *r =
        pim_mi_malloc(records_bytes(page->capacity), true, &ignored);
    if (r != NULL) {
        r->block_size = page->block_size;
        r->capacity = page->capacity;
        r->domain = page->domain;
        pim_store_relaxed(&r->interp, interp);
        bytes += records_bytes(r->capacity);
        pim_store_release(unit, (uintptr_t)r | kind_of(page) << KIND_SHIFT);
    }
}

static void
zero(pim_records *r)
{
    for (uint32_t i = 0; i < r->capacity; i++) {
        pim_store_relaxed(&r->word[i], 0);
    }
}

// Another's page may hold live blocks of his: orphans, which the owner word
// tells, or it is abandoned.  Their frees are seen where all is traced.
static void
take_over(const pim_page *page, pim_records *r, int64_t interp)
{
    bool holds_orphans;
    const pim_heap *heap = pim_page_owner(page, &holds_orphans);
    bool holds_others = holds_orphans || heap == &pim_defunct_heap;
    if (!holds_others || !traces_all) {
        zero(r);
    }
    pim_store_relaxed(&r->interp, interp);
}

PIM_NOINLINE _Atomic uint64_t *
pim_records_make(const pim_page *page, const void *block, int64_t interp)
{
    PIM_NO_CANCEL;
    PIM_KEEP_ERRNO;
    const char *start = pim_page_start(page);
    pim_records_lock();
    unit_entry *unit = make_leaf(start) != NULL ? unit_of(start) : NULL;
    if (unit != NULL) {
        pim_records *r = records_of(page, start);
        if (r == NULL) {
            if (pim_load_relaxed(unit) != 0) {
                drop(unit); // of its last life
            }
            make(page, unit, interp);
        } else if (pim_load_relaxed(&r->interp) != interp) {
            take_over(page, r, interp); // unless somebody was faster
        }
    }
    pim_records_unlock();
    return pim_records_word(page, block, interp);
}

// --- they go -----------------------------------------------------------------

// They stay, for a thread that comes to the unit's next page may be about to
// look at them.
void
pim_records_leave(int64_t interp, bool zeroes)
{
    pim_records_lock();
    for (leaf *l = leaves; l != NULL; l = l->next) {
        for (size_t u = 0; u < LEAF_UNITS; u++) {
            pim_records *r = records_in(pim_load_relaxed(&l->unit[u]));
            if (r == NULL || (interp != PIMALLOC_EACH &&
                              pim_load_relaxed(&r->interp) != interp)) {
                continue;
            }
            if (zeroes) {
                zero(r);
            }
            pim_store_relaxed(&r->interp, PIM_PROCESS_ID);
        }
    }
    pim_records_unlock();
}

// Whether a block may live in a page, or come to it soon, of the caller's heap.
static bool
is_in_use(const pim_page *page)
{
    bool holds_orphans;
    pim_page_owner(page, &holds_orphans);
    return page->state == PIM_PAGE_CURRENT ||
           (page->state != PIM_PAGE_UNUSED && page->state != PIM_PAGE_IDLE &&
            (holds_orphans || pim_page_used(page) != 0));
}

// Nobody but the caller changes an arena of `heap`; those of the process heap,
// of ended interpreters and of nobody change under its lock.
static bool
is_needed(const pim_heap *heap, const char *start, uintptr_t entry)
{
    const pim_arena_set *set = pim_load_relaxed(&pim_arena_holding(start)->set);
    const pim_page *page = pim_unit_of(start);
    if (set == NULL) {
        return false;
    }
    if ((heap != NULL && set == &heap->arenas) ||
        set == &pim_process_heap.arenas) {
        return is_in_use(page) && entry >> KIND_SHIFT == kind_of(page);
    }
    return set != &pim_abandoned_arenas || page->state != PIM_PAGE_UNUSED;
}

void
pim_records_sweep(const pim_heap *heap)
{
    PIM_NO_CANCEL;
    PIM_KEEP_ERRNO;
    pim_lock_enter(&pim_process_lock);
    pim_lock_acquire(&lock);
    for (leaf *l = leaves; l != NULL; l = l->next) {
        for (size_t u = 0; u < LEAF_UNITS; u++) {
            uintptr_t entry = pim_load_relaxed(&l->unit[u]);
            if (entry != 0 && !is_needed(heap, unit_start(l, u), entry)) {
                drop(&l->unit[u]);
            }
        }
    }
    pim_lock_release(&lock);
    pim_lock_leave(&pim_process_lock);
}

void
pim_records_drop(void)
{
    pim_records_lock();
    while (leaves != NULL) {
        leaf *l = leaves;
        leaves = l->next;
        pim_store_relaxed(&root[l->base >> LEAF_SHIFT], NULL);
        for (size_t u = 0; u < LEAF_UNITS; u++) {
            if (pim_load_relaxed(&l->unit[u]) != 0) {
                drop(&l->unit[u]);
            }
        }
        pim_os->unmap(l, sizeof(*l));
    }
    pim_records_unlock();
}

uint64_t
pim_records_bytes(void)
{
    pim_records_lock();
    uint64_t in_all = bytes;
    pim_records_unlock();
    return in_all;
}

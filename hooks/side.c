// side.c -- see side.h.

#include "hooks/side.h"

#include "arena/region.h"
#include "base/bits.h"
#include "domain/hooked.h"
#include "heap/heap.h"
#include "hooks/outside.h"
#include "mi/mi.h"
#include "pimalloc/hooks.h"
#include "platform/os.h"

// A leaf covers 1 GiB, the root the addresses that Linux gives to programs.
#define LEAF_SHIFT 30
#define LEAF_UNITS ((size_t)1 << (LEAF_SHIFT - PIM_UNIT_SHIFT))
#define LEAVES ((size_t)1 << (47 - LEAF_SHIFT))

// A record: 31 bits of the stack's number, one for code, 32 of the size.
#define IS_CODE (UINT64_C(1) << 31)
#define STACK_MASK (IS_CODE - 1)

// Objects begin behind up to so many headers of 16 bytes.
#define HEADERS 3

// Of one page.
typedef struct records {
    uint32_t block_size;
    uint32_t capacity;
    _Atomic int64_t interp; // whose page it is, or was last
    _Atomic uint64_t word[];
} records;

typedef struct leaf {
    struct leaf *next;
    uintptr_t base;
    _Atomic(records *) unit[LEAF_UNITS];
} leaf;

static PIM_LOCK(lock);
static _Atomic(leaf *) *root; // LEAVES; set once
static leaf *leaves;          // all of them; under the lock
static uint64_t bytes;        // likewise

// floor(offset / size) is offset * inverse >> 32 for each block of each class.
static uint64_t inverse[PIM_CLASSES];

static void
acquire(void)
{
    pim_gate_enter();
    pim_lock_acquire(&lock);
}

static void
release(void)
{
    pim_lock_release(&lock);
    pim_gate_exit();
}

bool
pim_side_start(void)
{
    acquire();
    if (root == NULL) {
        root = pim_os->map(LEAVES * sizeof(*root));
    }
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        uint64_t size = pim_classes[c].block_size;
        inverse[c] = ((UINT64_C(1) << 32) + size - 1) / size;
    }
    release();
    return root != NULL;
}

// --- records of a page -------------------------------------------------------

static size_t
records_bytes(uint32_t capacity)
{
    return sizeof(records) + capacity * sizeof(uint64_t);
}

// Whether records lie beside the block: it is in a page of blocks of one size.
static pim_page *
page_of(const void *block)
{
    pim_page *page = pim_region_contains(block) ? pim_page_of(block) : NULL;
    return page == NULL || page->size_class == PIM_CLASS_SPAN ? NULL : page;
}

static _Atomic(records *) *
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

static size_t
index_of(const pim_page *page, const char *start, const void *block)
{
    uint64_t offset = (uint64_t)((const char *)block - start);
    return (size_t)(offset * inverse[page->size_class] >> 32);
}

// The word of a block, or of what lies in it; NULL: its page has no records, or
// they are not that interpreter's.
static _Atomic uint64_t *
word_of(const pim_page *page, const void *block, int64_t interp)
{
    const char *start = pim_page_start(page);
    _Atomic(records *) *unit = unit_of(start);
    records *r = unit != NULL ? pim_load_acquire(unit) : NULL;
    return r != NULL && r->block_size == page->block_size &&
                   (interp == PIMALLOC_EACH ||
                    interp == pim_load_relaxed(&r->interp))
               ? &r->word[index_of(page, start, block)]
               : NULL;
}

// Under the lock.
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

// Under the lock.
static void
drop_records(_Atomic(records *) *unit)
{
    records *r = pim_load_relaxed(unit);
    pim_store_release(unit, NULL);
    bytes -= records_bytes(r->capacity);
    size_t ignored;
    pim_mi.ufree(r, &ignored);
}

// Another's page may hold live blocks of his: orphans, which the owner word
// tells.  Under the lock.
static void
take_over(const pim_page *page, records *r, int64_t interp)
{
    bool holds_orphans;
    pim_page_owner(page, &holds_orphans);
    for (uint32_t i = 0; i < r->capacity && !holds_orphans; i++) {
        pim_store_relaxed(&r->word[i], 0);
    }
    pim_store_relaxed(&r->interp, interp);
}

// The records of a page that has none, or has those of its unit's last life.
static PIM_NOINLINE bool
make_records(const pim_page *page, int64_t interp)
{
    PIM_NO_CANCEL;
    const char *start = pim_page_start(page);
    acquire();
    _Atomic(records *) *unit = make_leaf(start) ? unit_of(start) : NULL;
    records *r = unit != NULL ? pim_load_relaxed(unit) : NULL;
    if (r != NULL && r->block_size != page->block_size) {
        drop_records(unit);
        r = NULL;
    }
    if (unit != NULL && r == NULL) {
        size_t ignored;
        r = pim_mi_malloc(records_bytes(page->capacity), true, &ignored);
        if (r != NULL) {
            r->block_size = page->block_size;
            r->capacity = page->capacity;
            pim_store_relaxed(&r->interp, interp);
            bytes += records_bytes(r->capacity);
            pim_store_release(unit, r);
        }
    } else if (r != NULL && pim_load_relaxed(&r->interp) != interp) {
        take_over(page, r, interp);
    }
    release();
    return r != NULL;
}

// --- blocks ------------------------------------------------------------------

static pim_record
unpacked(uint64_t word)
{
    return (pim_record){.stack = (uint32_t)(word & STACK_MASK),
                        .is_code = (word & IS_CODE) != 0,
                        .bytes = word >> 32};
}

bool
pim_side_put(const void *block, unsigned domain, int64_t interp,
             pim_record record)
{
    const pim_page *page = page_of(block);
    if (page == NULL) {
        pim_traced_block b = {block, interp, domain, record};
        return pim_outside_put(&b);
    }
    _Atomic uint64_t *word = word_of(page, block, interp);
    if (PIM_UNLIKELY(word == NULL)) {
        if (!make_records(page, interp)) {
            return false;
        }
        word = word_of(page, block, interp);
    }
    pim_store_relaxed(word, record.bytes << 32 | record.stack);
    return true;
}

bool
pim_side_take(const void *block, pim_record *out)
{
    const pim_page *page = page_of(block);
    if (page == NULL) {
        return pim_outside_take(block, out);
    }
    _Atomic uint64_t *word = word_of(page, block, PIMALLOC_EACH);
    uint64_t was = word != NULL ? pim_load_relaxed(word) : 0;
    if (was != 0) {
        pim_store_relaxed(word, 0);
        *out = unpacked(was);
    }
    return was != 0;
}

void
pim_side_mark_code(const void *object)
{
    const pim_page *page = page_of(object);
    if (page == NULL) {
        pim_outside_mark_code(object);
        return;
    }
    bool tagged;
    const pim_heap *heap = pim_page_owner(page, &tagged);
    if (word_of(page, object, PIMALLOC_EACH) == NULL && heap != NULL) {
        make_records(page, heap->id);
    }
    _Atomic uint64_t *word = word_of(page, object, PIMALLOC_EACH);
    if (word != NULL) {
        pim_store_relaxed(word, pim_load_relaxed(word) | IS_CODE);
    }
}

// --- visits ------------------------------------------------------------------

// What is traced at a word of a page's records, in current terms.
static bool
describe(const char *start, const records *r, size_t i, pim_traced_block *out)
{
    uint64_t word = pim_load_relaxed(&r->word[i]);
    if ((word & STACK_MASK) == 0) {
        return false;
    }
    out->address = start + i * r->block_size;
    out->domain = pim_page_of(out->address)->domain;
    out->interp = pim_block_interp(out->domain, out->address);
    out->record = unpacked(word);
    return true;
}

bool
pim_side_find(const void *object, pim_traced_block *out)
{
    const pim_page *page = page_of(object);
    if (page != NULL) {
        bool found = false;
        acquire();
        const char *start = pim_page_start(page);
        _Atomic(records *) *unit = unit_of(start);
        const records *r = unit != NULL ? pim_load_relaxed(unit) : NULL;
        if (r != NULL && r->block_size == page->block_size) {
            found = describe(start, r, index_of(page, start, object), out);
        }
        release();
        return found;
    }
    bool found = false;
    for (size_t i = 0; i < HEADERS && !found; i++) {
        found = pim_outside_find((const char *)object - i * PIM_ALIGNMENT, out);
    }
    return found && out->record.stack != 0;
}

static int
visit_records(const char *start, const records *r, int64_t interp,
              pim_side_visitor visit, void *arg)
{
    int result = 0;
    for (size_t i = 0; i < r->capacity && result == 0; i++) {
        pim_traced_block b;
        if (describe(start, r, i, &b) &&
            (interp == PIMALLOC_EACH || b.interp == interp)) {
            result = visit(arg, &b);
        }
    }
    return result;
}

int
pim_side_each(int64_t interp, pim_side_visitor visit, void *arg)
{
    int result = 0;
    acquire();
    for (leaf *l = leaves; l != NULL && result == 0; l = l->next) {
        for (size_t u = 0; u < LEAF_UNITS && result == 0; u++) {
            const records *r = pim_load_relaxed(&l->unit[u]);
            const char *start = (const char *)l->base + (u << PIM_UNIT_SHIFT);
            if (r != NULL) {
                result = visit_records(start, r, interp, visit, arg);
            }
        }
    }
    release();
    return result != 0 ? result : pim_outside_each(interp, visit, arg);
}

// --- ends --------------------------------------------------------------------

// Whose records are to go: they are zeroed and stay, for a thread that comes to
// the unit's next page may be about to look at them; or, where nobody can, they
// are dropped.
static void
settle(int64_t interp, bool zeroes, bool drops)
{
    acquire();
    for (leaf *l = leaves; l != NULL; l = l->next) {
        for (size_t u = 0; u < LEAF_UNITS; u++) {
            records *r = pim_load_relaxed(&l->unit[u]);
            if (r == NULL || (interp != PIMALLOC_EACH &&
                              pim_load_relaxed(&r->interp) != interp)) {
                continue;
            }
            if (drops) {
                drop_records(&l->unit[u]);
                continue;
            }
            for (uint32_t i = 0; i < r->capacity && zeroes; i++) {
                pim_store_relaxed(&r->word[i], 0);
            }
            pim_store_relaxed(&r->interp, PIM_PROCESS_ID);
        }
    }
    release();
}

void
pim_side_ended(int64_t interp, bool keeps)
{
    settle(interp, !keeps, false);
    pim_outside_ended(interp, keeps);
}

void
pim_side_forget(int64_t interp)
{
    settle(interp, true, false);
    pim_outside_forget(interp);
}

void
pim_side_drop(void)
{
    settle(PIMALLOC_EACH, true, true);
    pim_outside_forget(PIMALLOC_EACH);
    acquire();
    while (leaves != NULL) {
        leaf *l = leaves;
        leaves = l->next;
        pim_store_relaxed(&root[l->base >> LEAF_SHIFT], NULL);
        pim_os->unmap(l, sizeof(*l));
    }
    release();
}

uint64_t
pim_side_bytes(void)
{
    acquire();
    uint64_t in_all = bytes;
    release();
    return in_all + pim_outside_bytes();
}

// side.c -- see side.h.

#include "hooks/side.h"

#include "base/bits.h"
#include "domain/hooked.h"
#include "heap/large_header.h"
#include "hooks/outside.h"
#include "hooks/records.h"
#include "pimalloc/hooks.h"

// A word: 31 bits of the stack's number, one for code, 32 of the size.  Who reads
// a number there that another thread wrote finds what it stands for.
#define IS_CODE (UINT64_C(1) << 31)
#define STACK_MASK (IS_CODE - 1)

// Objects begin behind up to three headers of 16 bytes.
#define STARTS 4

bool
pim_side_start(bool all)
{
    return pim_records_start(all);
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
pim_side_put(const pim_traced_block *block, pim_record *stale)
{
    const pim_page *page = pim_records_page(block->address);
    if (page == NULL) {
        return pim_outside_put(block, stale);
    }
    // An orphan that was resized in place: its page is another's, as before.
    int64_t whose = pim_records_is_orphan(page, block->address) ? PIMALLOC_EACH
                                                                : block->interp;
    _Atomic uint64_t *word = pim_records_word(page, block->address, whose);
    if (PIM_UNLIKELY(word == NULL)) {
        word = pim_records_make(page, block->address, block->interp);
    }
    *stale = unpacked(word != NULL ? pim_load_relaxed(word) : 0);
    if (word != NULL) {
        const pim_record *r = &block->record;
        pim_store_release(word, r->bytes << 32 | r->stack |
                                    (r->is_code ? IS_CODE : 0));
    }
    return word != NULL;
}

bool
pim_side_take(const void *block, pim_record *out)
{
    const pim_page *page = pim_records_page(block);
    if (page == NULL) {
        return pim_outside_take(block, out);
    }
    _Atomic uint64_t *word = pim_records_word(page, block, PIMALLOC_EACH);
    uint64_t was = word != NULL ? pim_load_relaxed(word) : 0;
    if (was != 0) {
        pim_store_relaxed(word, 0);
        *out = unpacked(was);
    }
    return was != 0;
}

// One of ours that was not traced when it came, such as a sampled one, may die and
// is noted for that alone.  Else it is CPython's own, which never dies and lies in
// no block.
static bool
mark_large(const void *object)
{
    for (size_t i = 0; i < STARTS; i++) {
        const char *block = (const char *)object - i * PIM_ALIGNMENT;
        const pim_large *large = pim_large_header(block);
        if (large != NULL) {
            pim_traced_block b = {.address = block,
                                  .domain = large->domain,
                                  .record = {.is_code = true}};
            b.interp = pim_block_interp(b.domain, block);
            pim_record ignored;
            return pim_outside_put(&b, &ignored);
        }
    }
    return true;
}

// A span begins at its block.
static bool
mark_outside(const void *object)
{
    for (size_t i = 0; i < STARTS; i++) {
        if (pim_outside_mark_code((const char *)object - i * PIM_ALIGNMENT)) {
            return true;
        }
    }
    if (!pim_region_contains(object)) {
        return mark_large(object);
    }
    const pim_page *span = pim_page_of(object);
    pim_traced_block b = {.address = pim_page_start(span),
                          .domain = span->domain,
                          .record = {.is_code = true}};
    b.interp = pim_block_interp(b.domain, b.address);
    pim_record ignored;
    return pim_outside_put(&b, &ignored);
}

bool
pim_side_mark_code(const void *object)
{
    const pim_page *page = pim_records_page(object);
    if (page == NULL) {
        return mark_outside(object);
    }
    bool tagged;
    const pim_heap *heap = pim_page_owner(page, &tagged);
    _Atomic uint64_t *word = pim_records_word(page, object, PIMALLOC_EACH);
    if (word == NULL && heap != NULL) {
        word = pim_records_make(page, object, heap->id);
    }
    if (word != NULL) {
        pim_store_relaxed(word, pim_load_relaxed(word) | IS_CODE);
    }
    return word != NULL;
}

void
pim_side_relabel(const void *object, int64_t interp, uint32_t stack)
{
    const pim_page *page = pim_records_page(object);
    _Atomic uint64_t *word =
        page != NULL ? pim_records_word(page, object, interp) : NULL;
    uint64_t was = word != NULL ? pim_load_relaxed(word) : 0;
    if ((was & STACK_MASK) != 0) {
        pim_store_release(word, (was & ~STACK_MASK) | stack);
    }
}

// --- visits ------------------------------------------------------------------

// What is traced at a word of a page's records.  The page may be another's by now,
// so nothing is read of it that its owner writes.
static bool
describe(const char *start, const pim_records *r, size_t i,
         pim_traced_block *out)
{
    uint64_t word = pim_load_acquire(&r->word[i]);
    if ((word & STACK_MASK) == 0) {
        return false;
    }
    out->address = start + i * r->block_size;
    out->domain = r->domain;
    out->interp = pim_records_interp(r, start, out->address);
    out->record = unpacked(word);
    return true;
}

bool
pim_side_find(const void *object, pim_traced_block *out)
{
    const pim_page *page = pim_records_page(object);
    bool found = false;
    if (page != NULL) {
        size_t i;
        pim_records_lock();
        const pim_records *r = pim_records_find(page, object, &i);
        found = r != NULL && describe(pim_page_start(page), r, i, out);
        pim_records_unlock();
        return found;
    }
    for (size_t i = 0; i < STARTS && !found; i++) {
        found = pim_outside_find((const char *)object - i * PIM_ALIGNMENT, out);
    }
    return found && out->record.stack != 0;
}

typedef struct tour {
    int64_t interp;
    pim_block_visitor visit;
    void *arg;
} tour;

static int
visit_page(void *arg, const char *start, const pim_records *r)
{
    const tour *t = arg;
    int result = 0;
    for (size_t i = 0; i < r->capacity && result == 0; i++) {
        pim_traced_block b;
        if (describe(start, r, i, &b) &&
            (t->interp == PIMALLOC_EACH || b.interp == t->interp)) {
            result = t->visit(t->arg, &b);
        }
    }
    return result;
}

int
pim_side_each(int64_t interp, pim_block_visitor visit, void *arg)
{
    tour t = {.interp = interp, .visit = visit, .arg = arg};
    int result = pim_records_each(visit_page, &t);
    return result != 0 ? result : pim_outside_each(interp, visit, arg);
}

// --- ends --------------------------------------------------------------------

void
pim_side_ended(int64_t interp, bool keeps)
{
    pim_records_leave(interp, !keeps);
    pim_outside_ended(interp, keeps);
    pim_records_sweep(NULL);
}

void
pim_side_forget(int64_t interp)
{
    pim_records_leave(interp, true);
    pim_outside_forget(interp);
}

void
pim_side_drop(void)
{
    pim_records_drop();
    pim_outside_forget(PIMALLOC_EACH);
}

uint64_t
pim_side_bytes(void)
{
    return pim_records_bytes() + pim_outside_bytes();
}

// check.c -- a debug layer over the three domains.
//
//   free:     interpreter alive? -> shadow.c: live -> free -> fill -> the domain's free
//   malloc:   interpreter alive? -> the domain's malloc -> shadow.c: live
//   realloc:  as free, then the domain's realloc, then as malloc
//
// A block is marked free before the domain's function sees it: afterwards
// another thread may have got it.  What is found wrong is explained at leisure,
// since the process ends.
//
// Memory of small blocks that an interpreter frees of its own is filled with
// PIM_CHECK_FILL.  Other pages may be inaccessible by then (poison.h).

#include "domain/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arena/region.h"
#include "domain/domain.h"
#include "domain/shadow.h"
#include "heap/large.h"
#include "interp/current.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "interp/roster.h"

#define PIM_CHECK_FILL 0xdd

typedef struct check_domain {
    unsigned domain;
    const char *name;
    const char *prefix; // of CPython's functions
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
} check_domain;

static check_domain domains[PIM_DOMAINS] = {
    {PIM_RAW, "raw", "PyMem_Raw", pim_raw_malloc, pim_raw_calloc,
     pim_raw_realloc, pim_raw_free},
    {PIM_MEM, "mem", "PyMem_", pim_mem_malloc, pim_mem_calloc, pim_mem_realloc,
     pim_mem_free},
    {PIM_OBJ, "obj", "PyObject_", pim_obj_malloc, pim_obj_calloc,
     pim_obj_realloc, pim_obj_free},
};

// One call that is looked at.
typedef struct call {
    const check_domain *domain;
    const char *verb;
    const void *block;    // NULL: it asks for one
    const pim_heap *heap; // the caller's, as far as it is known
    size_t bytes;         // asked for
} call;

static bool is_on;
static bool knows_all_raw;

void
pim_check_start(bool all_raw)
{
    if (!is_on) {
        is_on = true;
        knows_all_raw = all_raw;
    }
}

bool
pim_check_is_on(void)
{
    return is_on;
}

void *
pim_check_context(unsigned domain)
{
    return &domains[domain];
}

// --- messages --------------------------------------------------------------

#define OWNER_MAX 64
#define TEXT_MAX 224

static bool
has_ended(int64_t interp)
{
    pim_figures figures;
    return interp != PIM_PROCESS_ID &&
           (!pim_registry_figures(interp, &figures) || figures.ended);
}

static const char *
name_owner(int64_t interp, char *text)
{
    if (interp == PIM_PROCESS_ID) {
        return "the process";
    }
    snprintf(text, OWNER_MAX, "interpreter %" PRId64 "%s", interp,
             has_ended(interp) ? ", which has ended" : "");
    return text;
}

// known: what lies at the address; NULL: there is no address.
static _Noreturn PIM_COLD void
report(const call *c, const char *what, const pim_shadow *known)
{
    char where[OWNER_MAX] = "without an interpreter";
    char at[OWNER_MAX] = "";
    char owner[OWNER_MAX];
    char of[TEXT_MAX] = "";
    char text[2 * TEXT_MAX];
    int64_t id = c->heap != NULL ? c->heap->id : pim_current_heap()->id;
    if (id != PIM_PROCESS_ID) {
        snprintf(where, sizeof(where), "in interpreter %" PRId64, id);
    }
    if (known != NULL && known->state == PIM_KNOWN_NOT) {
        snprintf(of, sizeof(of), " of an address where there is no block");
    } else if (known != NULL) {
        size_t offset =
            (size_t)((const char *)c->block - (const char *)known->start);
        if (offset != 0) {
            snprintf(at, sizeof(at), "an address %zu bytes into ", offset);
        }
        snprintf(of, sizeof(of), " of %sa block of %zu bytes, domain %s, of %s",
                 at, known->bytes, domains[known->domain].name,
                 name_owner(known->interp, owner));
    }
    snprintf(text, sizeof(text), "%s: %s%s() %s%s", what, c->domain->prefix,
             c->verb, where, of);
    pim_fatal_text(text, c->block);
}

// --- who calls? ------------------------------------------------------------

// An interpreter that asks again under the id of one that has ended is that
// one: somebody kept its thread state.
static void
check_interpreter(const call *c)
{
    static PIM_TLS uint64_t seen;
    uint64_t serial = pim_load_relaxed(&c->heap->serial);
    if (serial != seen) {
        if (pim_registry_has_ended(c->heap->id, c->heap->generation)) {
            report(c, "ended interpreter", NULL);
        }
        seen = serial;
    }
}

// A raw request must not make a new interpreter known (see cpython/bind.c).
static call
begin(const void *ctx, const char *verb, const void *block, size_t bytes)
{
    call c = {.domain = ctx, .verb = verb, .block = block, .bytes = bytes};
    if (c.domain->domain == PIM_RAW) {
        c.heap = pim_current_owner();
    } else {
        c.heap = pim_current_heap();
        check_interpreter(&c);
    }
    return c;
}

// --- is it a block? --------------------------------------------------------

// Raw blocks that are older than we, or that CPython allocated behind our back.
static bool
is_not_ours_to_judge(const call *c, const pim_shadow *known)
{
    return c->domain->domain == PIM_RAW && !pim_region_contains(c->block) &&
           (known->state == PIM_KNOWN_NOT ||
            (!knows_all_raw &&
             (known->state == PIM_KNOWN_FREED || known->domain == PIM_RAW)));
}

static PIM_COLD void
explain(const call *c, bool is_free)
{
    pim_shadow known = pim_shadow_find(c->block);
    if (is_not_ours_to_judge(c, &known)) {
        return;
    }
    if (known.state == PIM_KNOWN_NOT) {
        if (known.is_complete) {
            report(c, "foreign pointer", &known);
        }
    } else if (known.start != c->block) {
        report(c, "interior pointer", &known);
    } else if (known.state == PIM_KNOWN_LIVE &&
               known.domain != c->domain->domain) {
        report(c, "wrong domain", &known);
    } else {
        report(c, is_free ? "double free" : "use after free", &known);
    }
}

// Whether memory of an interpreter that ended is in use by another, or by
// nobody.  What is kept or poisoned has an owner that is no interpreter, or is
// among the orphans of a page; while it changes hands, its pages are still its
// own.
static bool
is_gone(const void *block, int64_t interp)
{
    if (!pim_region_contains(block)) {
        return false;
    }
    bool tagged;
    pim_gate_enter(); // so that a heap that is found stays
    const pim_heap *heap = pim_page_owner(pim_page_of(block), &tagged);
    bool gone = heap == NULL ||
                (!tagged && heap->id != PIM_PROCESS_ID && heap->id != interp);
    pim_gate_exit();
    return gone;
}

// A live block of mem or obj that is not of the caller's interpreter.
static void
check_owner(const call *c, const pim_shadow *known, bool is_free)
{
    if (c->domain->domain != PIM_RAW && known->interp != c->heap->id &&
        has_ended(known->interp) &&
        (!is_free || is_gone(c->block, known->interp))) {
        report(c, "ended interpreter", known);
    }
}

// False: nothing is known of the block.
static bool
release(const call *c, bool is_free, pim_shadow *known)
{
    if (!pim_shadow_free(c->block, c->domain->domain, known)) {
        explain(c, is_free);
        return false;
    }
    check_owner(c, known, is_free);
    return true;
}

// A small block of the caller's own heap.
static void
fill(const call *c)
{
    if (pim_region_contains(c->block)) {
        const pim_page *page = pim_page_of(c->block);
        bool tagged;
        if (c->heap != NULL && pim_page_owner(page, &tagged) == c->heap &&
            page->size_class != PIM_CLASS_SPAN) {
            memset((void *)(uintptr_t)c->block, PIM_CHECK_FILL,
                   page->block_size);
        }
    }
}

// Returns the block, which is the caller's heap's; nobody's without one.
static void *
hand_out(const call *c, void *block)
{
    if (block != NULL) {
        bool is_raw = c->domain->domain == PIM_RAW;
        bool is_large = !is_raw && !pim_region_contains(block);
        pim_shadow_add(block, c->domain->domain,
                       is_large ? pim_large_usable(block) : c->bytes,
                       c->heap != NULL ? c->heap->id : PIM_PROCESS_ID);
    }
    return block;
}

// --- the tables' functions -------------------------------------------------

static const check_domain *
domain_of(const void *ctx)
{
    return ctx;
}

void *
pim_check_malloc(void *ctx, size_t size)
{
    if (pim_gate_is_adrift()) {
        return domain_of(ctx)->malloc(NULL, size);
    }
    call c = begin(ctx, "Malloc", NULL, size);
    return hand_out(&c, c.domain->malloc(NULL, size));
}

void *
pim_check_calloc(void *ctx, size_t count, size_t size)
{
    if (pim_gate_is_adrift()) {
        return domain_of(ctx)->calloc(NULL, count, size);
    }
    call c = begin(ctx, "Calloc", NULL, count * size);
    return hand_out(&c, c.domain->calloc(NULL, count, size));
}

void *
pim_check_realloc(void *ctx, void *block, size_t size)
{
    pim_shadow was;
    if (pim_gate_is_adrift()) {
        return domain_of(ctx)->realloc(NULL, block, size);
    }
    call c = begin(ctx, "Realloc", block, size);
    bool is_known = block != NULL && release(&c, false, &was);
    void *moved = c.domain->realloc(NULL, block, size);
    if (!is_known || (moved != NULL && moved != block)) {
        return hand_out(&c, moved);
    }
    // It stays where it is, and whose it is.
    size_t bytes = moved == NULL                ? was.bytes
                   : was.domain == PIM_RAW      ? size
                   : pim_region_contains(moved) ? was.bytes
                                                : pim_large_usable(moved);
    pim_shadow_add(block, was.domain, bytes, was.interp);
    return moved;
}

void
pim_check_free(void *ctx, void *block)
{
    pim_shadow was;
    if (pim_gate_is_adrift()) {
        domain_of(ctx)->free(NULL, block);
    } else if (block != NULL) {
        call c = begin(ctx, "Free", block, 0);
        if (release(&c, true, &was)) {
            fill(&c);
        }
        c.domain->free(NULL, block);
    }
}

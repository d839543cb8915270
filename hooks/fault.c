// fault.c -- requests that fail on purpose.
//
//   request --> size, domain --> function? --> survived? --> matched, the nth
//                                                              |
//                              NULL <-- is the nth one that fails?
//
// A rule is a hook in the chain, so the chain knows whose requests it sees, and
// lets it come and go.  What is random about a rule is a function of its seed
// and of n, and of nothing else.
//
// What CPython does not survive does not match: see is_survived().

#include "hooks/fault.h"

#include <errno.h>
#include <string.h>

#include "cpython/bind.h"
#include "cpython/fragile.h"
#include "cpython/symbols.h"
#include "domain/birth.h"
#include "domain/hooked.h"
#include "heap/admit.h"
#include "hooks/frames.h"
#include "interp/current.h"
#include "interp/roster.h"
#include "platform/gate_lock.h"

#define ALL_DOMAINS                                                            \
    (PIMALLOC_FAULT_RAW | PIMALLOC_FAULT_MEM | PIMALLOC_FAULT_OBJ)

// A place whose rule is about to be in the chain.
#define RESERVED (-1)

typedef struct rule {
    pimalloc_fault terms; // constant while the chain has it
    char function[PIMALLOC_FAULT_NAME_MAX + 1];
    uint32_t runtime;      // that the ids are of
    bool is_for_newborns;  // the interpreter was not there yet
    _Atomic bool is_over;  // it has ended
    _Atomic bool is_early; // the program has not begun
    _Atomic uint64_t matched;
    _Atomic uint64_t failed;
    int handle; // the chain's; 0: the place is free
} rule;

static PIM_LOCK(lock); // guards the handles
static rule rules[PIMALLOC_HOOKS_MAX];

// --- what CPython survives -------------------------------------------------

// Until Python is initialised, from its finalisation on, while it makes an
// interpreter, and where others on top of us take notes, a refusal may end the
// process.  Limits spare the same (account/limit.h).  Other requests are too
// fragile to be played with.
// While CPython makes an interpreter, what runs are its frozen importer and what
// that imports.  Another oldest frame is the program's.
static bool
runs_program(void)
{
    pim_frame frames[PIMALLOC_FAULT_FRAMES];
    static const char frozen[] = "<frozen ";
    char file[sizeof(frozen)];
    unsigned total;
    const void *tstate = pim_py.tstate != NULL ? pim_py.tstate() : NULL;
    unsigned count =
        tstate != NULL
            ? pim_frames_walk(tstate, frames, PIM_ARRAY_LEN(frames), &total)
            : 0;
    if (count == 0 || count < total) {
        return count != 0;
    }
    pim_frames_file(frames[count - 1].code, file, sizeof(file));
    return strncmp(file, frozen, sizeof(frozen) - 1) != 0;
}

// Whether CPython is making that interpreter here.
static bool
is_being_made(int64_t interp)
{
    if (!pim_current_makes(interp)) {
        return false;
    }
    bool is_made = runs_program();
    if (is_made) {
        pim_current_made();
    }
    return !is_made;
}

static bool
is_survived(const rule *r, const pimalloc_next *next, size_t size)
{
    int64_t interp = pimalloc_next_interp(next);
    unsigned domain = (unsigned)pimalloc_next_domain(next);
    bool is_down = pim_py.is_initialized != NULL && !pim_py.is_initialized();
    bool is_spared = domain == PIM_RAW &&
                     ((pim_limit_spares != NULL && pim_limit_spares(size)) ||
                      !pim_birth_survives(size));
    return !is_down && !is_spared &&
           !(r->is_for_newborns && is_being_made(interp)) &&
           !pim_is_fragile(domain, size);
}

// --- what matches ----------------------------------------------------------

static bool
is_on_stack(const rule *r)
{
    pim_frame frames[PIMALLOC_FAULT_FRAMES];
    char name[PIMALLOC_FAULT_NAME_MAX + 8]; // what is cut is longer than ours
    const void *tstate = pim_py.tstate != NULL ? pim_py.tstate() : NULL;
    unsigned count =
        tstate != NULL
            ? pim_frames_walk(tstate, frames, PIM_ARRAY_LEN(frames), NULL)
            : 0;
    for (unsigned i = 0; i < count; i++) {
        const void *code = frames[i].code;
        if (i == 0 || code != frames[i - 1].code) { // not in a recursion
            pim_frames_function(code, name, sizeof(name));
            if (strcmp(name, r->function) == 0) {
                return true;
            }
        }
    }
    return false;
}

// What can be told at once.  Rules of all interpreters leave the process alone:
// there CPython's own requests for threads and locks are, without which it ends.
static bool
is_wanted(const rule *r, const pimalloc_next *next, size_t size)
{
    const pimalloc_fault *terms = &r->terms;
    return (terms->domains >> pimalloc_next_domain(next) & 1) != 0 &&
           size >= terms->min_size && size <= terms->max_size &&
           !pim_load_relaxed(&r->is_over) && !pim_load_relaxed(&r->is_early) &&
           (terms->interp < 0 || r->runtime == pim_interp_generation()) &&
           (terms->interp != PIMALLOC_EACH ||
            pimalloc_next_interp(next) != PIMALLOC_PROCESS);
}

// Bits that depend on the seed and on n alone (splitmix64).
static uint64_t
bits_of(uint64_t seed, uint64_t n)
{
    uint64_t x = seed + n * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static bool
is_due(const pimalloc_fault *terms, uint64_t n)
{
    return terms->nth != 0 ? n == terms->nth
           : terms->every != 0
               ? n % terms->every == 0
               : (double)(bits_of(terms->seed, n) >> 11) * 0x1p-53 <
                     terms->probability;
}

// A request that is wanted: whether it fails.
static bool
fails(rule *r, const pimalloc_next *next, size_t size)
{
    if ((r->terms.function != NULL && !is_on_stack(r)) ||
        !is_survived(r, next, size)) {
        return false;
    }
    uint64_t n = pim_add_relaxed(&r->matched, 1) + 1;
    bool is_one = is_due(&r->terms, n);
    if (is_one) {
        pim_add_relaxed(&r->failed, 1);
    }
    return is_one;
}

static void *
fault_alloc(void *ctx, const pimalloc_next *next, size_t size, int zero)
{
    return is_wanted(ctx, next, size) && fails(ctx, next, size)
               ? NULL
               : pimalloc_next_alloc(next, size, zero);
}

// Of a block whose size nobody knows it is not known whether it grows.
static void *
fault_resize(void *ctx, const pimalloc_next *next, void *block, size_t size)
{
    if (is_wanted(ctx, next, size)) {
        size_t bytes =
            pim_block_bytes((unsigned)pimalloc_next_domain(next), block);
        if (bytes != 0 && size > bytes && fails(ctx, next, size)) {
            return NULL;
        }
    }
    return pimalloc_next_resize(next, block, size);
}

static void
fault_interp_ended(void *ctx, int64_t interp, int kept)
{
    rule *r = ctx;
    (void)kept;
    if (r->terms.interp == interp) {
        pim_store_relaxed(&r->is_over, true);
    }
}

// --- rules -----------------------------------------------------------------

// Under the lock; NULL: there is none.
static rule *
find(int handle)
{
    for (size_t i = 0; i < PIM_ARRAY_LEN(rules); i++) {
        if (rules[i].handle == handle) {
            return &rules[i];
        }
    }
    return NULL;
}

static void
set_handle(rule *r, int handle)
{
    pim_lock_enter(&lock);
    r->handle = handle;
    pim_lock_leave(&lock);
}

static rule *
take_place(void)
{
    pim_lock_enter(&lock);
    rule *r = find(0);
    if (r != NULL) {
        r->handle = RESERVED;
    }
    pim_lock_leave(&lock);
    return r;
}

static bool
is_valid(const pimalloc_fault *f)
{
    if (f == NULL || f->size != sizeof(*f)) {
        return false;
    }
    int kinds = (f->nth != 0) + (f->every != 0) + (f->probability != 0);
    size_t length = f->function != NULL
                        ? strnlen(f->function, PIMALLOC_FAULT_NAME_MAX + 1)
                        : 1;
    return kinds == 1 && f->probability >= 0 && f->probability <= 1 &&
           (f->domains & ~ALL_DOMAINS) == 0 &&
           (f->max_size == 0 || f->max_size >= f->min_size) && length != 0 &&
           length <= PIMALLOC_FAULT_NAME_MAX;
}

static void
fill(rule *r, const pimalloc_fault *fault, bool is_early)
{
    r->terms = *fault;
    if (r->terms.domains == 0) {
        r->terms.domains = ALL_DOMAINS;
    }
    if (r->terms.max_size == 0) {
        r->terms.max_size = SIZE_MAX;
    }
    if (fault->function != NULL) {
        strcpy(r->function, fault->function);
        r->terms.function = r->function;
    }
    r->runtime = pim_interp_generation();
    r->is_for_newborns =
        fault->interp < 0 || pim_registry_heap(fault->interp) == NULL;
    pim_store_relaxed(&r->is_over, false);
    pim_store_relaxed(&r->is_early, is_early);
    pim_store_relaxed(&r->matched, 0);
    pim_store_relaxed(&r->failed, 0);
}

static int
push(rule *r)
{
    static const pimalloc_hook hook = {.size = sizeof(hook),
                                       .name = "fault",
                                       .alloc = fault_alloc,
                                       .resize = fault_resize,
                                       .interp_ended = fault_interp_ended};
    pimalloc_hook own = hook;
    own.ctx = r;
    return pimalloc_hook_push(&own, r->terms.interp);
}

static int
add(const pimalloc_fault *fault, bool is_early)
{
    if (!is_valid(fault)) {
        return -EINVAL;
    }
    bool has_frames = !is_early && pim_frames_start(); // see runs_program()
    if (fault->function != NULL && !is_early && !has_frames) {
        return -ENOTSUP;
    }
    rule *r = take_place();
    if (r == NULL) {
        return -ENOSPC;
    }
    pim_fragile_start();
    pim_current_made();
    fill(r, fault, is_early);
    int handle = push(r);
    set_handle(r, handle > 0 ? handle : 0);
    return handle;
}

int
pim_fault_add_waiting(const pimalloc_fault *fault)
{
    return add(fault, true);
}

void
pim_fault_begin(void)
{
    for (size_t i = 0; i < PIM_ARRAY_LEN(rules); i++) {
        pim_store_relaxed(&rules[i].is_early, false);
    }
}

int
pimalloc_fault_add(const pimalloc_fault *fault)
{
    return add(fault, false);
}

// Any of the two may be NULL.
static void
tell_counts(const rule *r, uint64_t *matched, uint64_t *failed)
{
    if (matched != NULL) {
        *matched = pim_load_relaxed(&r->matched);
    }
    if (failed != NULL) {
        *failed = pim_load_relaxed(&r->failed);
    }
}

// A handle that the chain does not know any more was popped, and its readers
// have left.
int
pimalloc_fault_remove(int handle, uint64_t *matched, uint64_t *failed)
{
    pim_lock_enter(&lock);
    rule *r = handle > 0 ? find(handle) : NULL;
    pim_lock_leave(&lock);
    if (r == NULL) {
        return -ENOENT;
    }
    int err = pimalloc_hook_pop(handle);
    if (err != 0 && err != -ENOENT) {
        return err;
    }
    pim_lock_enter(&lock);
    bool is_last = r->handle == handle; // of those who took it out at once
    if (is_last) {
        tell_counts(r, matched, failed);
        r->handle = 0;
    }
    pim_lock_leave(&lock);
    return is_last ? 0 : -ENOENT;
}

int
pimalloc_fault_counts(int handle, uint64_t *matched, uint64_t *failed)
{
    pim_lock_enter(&lock);
    const rule *r = handle > 0 ? find(handle) : NULL;
    if (r != NULL) {
        tell_counts(r, matched, failed);
    }
    pim_lock_leave(&lock);
    return r != NULL ? 0 : -ENOENT;
}

const char *
pimalloc_fault_refusal(void)
{
    return pim_frames_start() ? NULL : pim_frames_refusal();
}

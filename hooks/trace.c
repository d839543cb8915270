// trace.c -- traces begin and end, and questions about them.

#include <errno.h>

#include "cpython/symbols.h"
#include "hooks/frames.h"
#include "hooks/intern.h"
#include "hooks/side.h"
#include "hooks/trace_hook.h"
#include "hooks/traced.h"
#include "platform/closing.h"
#include "platform/gate_lock.h"
#include "platform/os.h"

static PIM_LOCK(lock); // guards what follows
static pim_trace_scope scopes[PIMALLOC_HOOKS_MAX];
static bool changing;  // somebody starts or stops one, and nobody else does
static unsigned holds; // who wants numbers and strings to stay
static bool dropping;  // they go just now

// --- turns -------------------------------------------------------------------

// In a child nobody else is at it.
static void
in_child(bool adrift)
{
    (void)adrift;
    changing = false;
    dropping = false; // each table is there, or gone
}

// Changes are the caller's to make, until it gives the turn.  -EBUSY: another
// thread has it for too long.
static int
take_turn(void)
{
    pim_store_release(&pim_gate_on_fork_child[PIM_CHILD_TRACE], in_child);
    uint64_t since = pim_os->now_ms();
    unsigned rounds = 0;
    for (;;) {
        pim_lock_enter(&lock);
        bool taken = !changing;
        changing = true;
        pim_lock_leave(&lock);
        if (taken) {
            return 0;
        }
        if (pim_gate_pause(&rounds) &&
            pim_os->now_ms() - since >= 3 * pim_inside_patience_ms) {
            return -EBUSY;
        }
    }
}

static void
give_turn(void)
{
    pim_lock_enter(&lock);
    changing = false;
    pim_lock_leave(&lock);
}

static unsigned
running(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        n += scopes[i].handle != 0;
    }
    return n;
}

// Drops the tables if nobody uses them, where so many traces run.  In turn.
static bool
drop_tables(unsigned traces)
{
    pim_lock_enter(&lock);
    bool may = running() == traces && holds == 0;
    dropping = may;
    pim_lock_leave(&lock);
    if (may) {
        pim_side_drop();
        pim_intern_forget();
        pim_store_relaxed(&pim_trace_lost, 0);
        pim_lock_enter(&lock);
        dropping = false;
        pim_lock_leave(&lock);
    }
    return may;
}

static void
set_handle(pim_trace_scope *s, int handle)
{
    pim_lock_enter(&lock);
    s->handle = handle;
    pim_lock_leave(&lock);
}

// In turn, like all that follows in this section.
static pim_trace_scope *
find(int64_t interp)
{
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        if (scopes[i].handle != 0 && scopes[i].interp == interp) {
            return &scopes[i];
        }
    }
    return NULL;
}

static void
forget_scope(const pim_trace_scope *s)
{
    pim_traced_forget(s->interp);
    pim_side_forget(s->interp);
    pim_code_died(); // its marks are gone
}

static int
stop(pim_trace_scope *s)
{
    int err = pimalloc_hook_pop(s->handle);
    if (err == -EDEADLK || err == -EBUSY) {
        return err; // nothing was changed
    }
    if (err == 0) {
        forget_scope(s);
    }
    set_handle(s, 0);
    if (err == 0) {
        drop_tables(0);
    }
    return err;
}

// --- start and stop ----------------------------------------------------------

static bool
is_all(int64_t interp)
{
    return interp == PIMALLOC_EACH;
}

// A scope that is free, or NULL and why.  One whose interpreter has ended makes
// room.
static pim_trace_scope *
free_scope(int64_t interp, int *err)
{
    pim_trace_scope *found = NULL;
    *err = 0;
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        pim_trace_scope *s = &scopes[i];
        if (s->handle != 0 && pim_load_relaxed(&s->is_over)) {
            stop(s);
        }
        if (s->handle == 0) {
            found = s;
        } else if (s->interp == interp || is_all(interp) || is_all(s->interp)) {
            *err = -EALREADY;
        }
    }
    if (*err == 0 && found == NULL) {
        *err = -ENOSPC;
    }
    return *err == 0 ? found : NULL;
}

static bool
open_tables(const pim_trace_scope *s)
{
    uint32_t stack =
        pim_side_start(is_all(s->interp)) ? pim_stack_unknown() : 0;
    pim_store_relaxed(&pim_trace_unknown, stack);
    return stack != 0;
}

static int
push(pim_trace_scope *s, int64_t interp, unsigned frames)
{
    s->interp = interp;
    s->frames = frames;
    pim_store_relaxed(&s->is_over, false);
    return open_tables(s) ? pim_trace_push(s) : -ENOMEM;
}

int
pimalloc_trace_start(int64_t interp, unsigned frames)
{
    if (frames < 1 || frames > PIMALLOC_TRACE_FRAMES_MAX ||
        interp < PIMALLOC_EACH) {
        return -EINVAL;
    }
    if (pim_py.tstate == NULL) {
        return -ENOENT;
    }
    int err = take_turn();
    if (err != 0) {
        return err;
    }
    pim_trace_scope *s = free_scope(interp, &err);
    if (s != NULL) {
        int handle = pim_frames_start() ? push(s, interp, frames) : -ENOTSUP;
        set_handle(s, handle > 0 ? handle : 0);
        err = handle > 0 ? 0 : handle;
    }
    give_turn();
    return err;
}

int
pimalloc_trace_stop(int64_t interp)
{
    int err = take_turn();
    if (err != 0) {
        return err;
    }
    pim_trace_scope *s = find(interp);
    err = s != NULL ? stop(s) : -ENOENT;
    give_turn();
    return err;
}

// What others ask for while the hook is off is taken to be from before.
static int
clear(pim_trace_scope *s)
{
    int err = pimalloc_hook_toggle(s->handle, 0);
    if (err == -EDEADLK || err == -EBUSY) {
        return err; // nothing was changed
    }
    if (err == 0) {
        forget_scope(s);
        if (drop_tables(1)) {
            open_tables(s);
        }
        err = pimalloc_hook_toggle(s->handle, 1);
    }
    if (err != 0) {
        stop(s);
    }
    return err;
}

int
pimalloc_trace_clear(int64_t interp)
{
    int err = take_turn();
    if (err != 0) {
        return err;
    }
    pim_trace_scope *s = find(interp);
    err = s != NULL ? clear(s) : -ENOENT;
    give_turn();
    return err;
}

void
pimalloc_trace_hold(void)
{
    unsigned rounds = 0;
    for (;;) {
        pim_lock_enter(&lock);
        bool held = !dropping;
        holds += held;
        pim_lock_leave(&lock);
        if (held) {
            return;
        }
        pim_gate_pause(&rounds);
    }
}

// Who has the turn may be about to stop the last trace, and saw the hold: then
// the tables stay for the next one, which is no harm.
void
pimalloc_trace_release(void)
{
    pim_lock_enter(&lock);
    holds--;
    bool last = holds == 0 && !changing && running() == 0;
    changing = changing || last;
    pim_lock_leave(&lock);
    if (last) {
        drop_tables(0);
        give_turn();
    }
}

// --- questions ---------------------------------------------------------------

const char *
pimalloc_trace_why(void)
{
    return pim_frames_refusal();
}

int
pimalloc_trace_get(int64_t interp, pimalloc_trace_figures *out)
{
    if (out == NULL || out->size != sizeof(*out)) {
        return -EINVAL;
    }
    *out = (pimalloc_trace_figures){.size = sizeof(*out)};
    pim_lock_enter(&lock);
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        const pim_trace_scope *s = &scopes[i];
        if (s->handle != 0 && !pim_load_relaxed(&s->is_over) &&
            (is_all(s->interp) || s->interp == interp)) {
            out->frames = s->frames;
        }
    }
    pim_lock_leave(&lock);
    pim_traced_figures(interp, out);
    out->lost = pim_load_relaxed(&pim_trace_lost);
    out->table_bytes = pim_side_bytes() + pim_intern_bytes();
    return 0;
}

void
pimalloc_trace_reset_peak(int64_t interp)
{
    pim_traced_reset_peak(interp);
}

static pimalloc_traced
in_public_terms(const pim_traced_block *block)
{
    return (pimalloc_traced){.size = sizeof(pimalloc_traced),
                             .interp = block->interp,
                             .domain = (int)block->domain,
                             .address = block->address,
                             .bytes = block->record.bytes,
                             .stack = block->record.stack};
}

typedef struct tour {
    pimalloc_trace_visitor visit;
    void *arg;
} tour;

static int
show(void *arg, const pim_traced_block *block)
{
    const tour *t = arg;
    pimalloc_traced public = in_public_terms(block);
    return t->visit(t->arg, &public);
}

int
pimalloc_trace_walk(int64_t interp, pimalloc_trace_visitor visit, void *arg)
{
    tour t = {.visit = visit, .arg = arg};
    pimalloc_trace_hold();
    int result = pim_side_each(interp, show, &t);
    pimalloc_trace_release();
    return result;
}

int
pimalloc_trace_find(const void *object, pimalloc_traced *out)
{
    pim_traced_block block;
    if (!pim_side_find(object, &block)) {
        return -ENOENT;
    }
    *out = in_public_terms(&block);
    return 0;
}

// trace.c -- the hook that traces.
//
//   alloc    served, then noted: stack -> number, record beside the block
//   resize   record taken, resized, noted anew; or put back if it failed
//   free     record taken, then freed (SIDE-1)

#include <errno.h>
#include <string.h>

#include "cpython/symbols.h"
#include "hooks/frames.h"
#include "hooks/intern.h"
#include "hooks/side.h"
#include "hooks/traced.h"
#include "interp/current.h"

// A trace that runs.
typedef struct scope {
    int64_t interp;
    unsigned frames;
    int handle; // 0: none
} scope;

static PIM_LOCK(lock);
static scope scopes[PIMALLOC_HOOKS_MAX];
static _Atomic uint64_t lost;
static uint32_t unknown_stack; // of who has no thread state
static bool starting;

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

// --- requests ----------------------------------------------------------------

// What is traced of the calling thread's interpreter; NULL: it has none.
PIM_INLINE pim_traced *
own_traced(const void *tstate)
{
    pim_heap *heap = tstate != NULL ? pim_current_owner() : NULL;
    if (heap == NULL || heap->id == PIM_PROCESS_ID) {
        return NULL;
    }
    return pim_traced_of(heap);
}

static void
put(const pimalloc_next *next, pim_traced *mine, const void *block,
    pim_record record)
{
    int64_t interp = pimalloc_next_interp(next);
    if (record.stack != 0 &&
        pim_side_put(block, (unsigned)pimalloc_next_domain(next), interp,
                     record)) {
        pim_traced_add(mine, interp, record.bytes);
    } else {
        pim_add_relaxed(&lost, 1);
    }
}

static void
note(const scope *s, const pimalloc_next *next, const void *block, size_t size)
{
    const void *tstate = pim_py.tstate();
    pim_traced *mine = own_traced(tstate);
    uint32_t stack = mine != NULL
                         ? pim_stack_of(&mine->memory, tstate, s->frames)
                         : unknown_stack;
    put(next, mine, block, (pim_record){.stack = stack, .bytes = size});
}

// False: it was not traced.
static bool
forget(const pimalloc_next *next, const void *block, pim_record *was)
{
    if (!pim_side_take(block, was)) {
        return false;
    }
    if (was->is_code) {
        pim_code_died();
    }
    if (was->stack != 0) {
        pim_traced_take(own_traced(pim_py.tstate()), pimalloc_next_interp(next),
                        was->bytes);
    }
    return was->stack != 0;
}

static void *
trace_alloc(void *ctx, const pimalloc_next *next, size_t size, int zero)
{
    void *block = pimalloc_next_alloc(next, size, zero);
    if (block != NULL) {
        note(ctx, next, block, size);
    }
    return block;
}

// The block may move, and another thread may have the old one's memory by then.
static void *
trace_resize(void *ctx, const pimalloc_next *next, void *block, size_t size)
{
    pim_record was;
    bool had = forget(next, block, &was);
    void *resized = pimalloc_next_resize(next, block, size);
    if (resized != NULL) {
        note(ctx, next, resized, size);
    } else if (had) {
        put(next, own_traced(pim_py.tstate()), block, was);
    }
    return resized;
}

static void
trace_free(void *ctx, const pimalloc_next *next, void *block)
{
    pim_record was;
    (void)ctx;
    forget(next, block, &was);
    pimalloc_next_free(next, block);
}

// --- ends --------------------------------------------------------------------

static void
trace_ended(void *ctx, int64_t interp, int kept)
{
    const scope *s = ctx;
    bool keeps = kept != 0 && s->interp == PIMALLOC_EACH;
    pim_side_ended(interp, keeps);
    pim_traced_ended(interp, keeps);
}

// --- start and stop ----------------------------------------------------------

static bool
is_all(int64_t interp)
{
    return interp == PIMALLOC_EACH;
}

// Under the lock: a scope that is free, or NULL and why.
static scope *
free_scope(int64_t interp, int *err)
{
    scope *found = NULL;
    *err = starting ? -EBUSY : 0;
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        scope *s = &scopes[i];
        if (s->handle == 0) {
            found = s;
        } else if (s->interp == interp || is_all(interp) || is_all(s->interp)) {
            *err = -EALREADY;
        }
    }
    return *err == 0 ? found : NULL;
}

static int
push(scope *s, int64_t interp, unsigned frames)
{
    s->interp = interp;
    s->frames = frames;
    pim_intern_hold();
    unknown_stack = pim_side_start() ? pim_stack_unknown() : 0;
    pimalloc_hook hook = {.size = sizeof(hook),
                          .name = "trace",
                          .ctx = s,
                          .alloc = trace_alloc,
                          .resize = trace_resize,
                          .free = trace_free,
                          .interp_ended = trace_ended};
    int handle =
        unknown_stack == 0 ? -ENOMEM : pimalloc_hook_push(&hook, interp);
    if (handle < 0) {
        pim_intern_release();
    }
    return handle;
}

int
pimalloc_trace_start(int64_t interp, unsigned frames)
{
    if (frames < 1 || frames > PIMALLOC_TRACE_FRAMES_MAX) {
        return -EINVAL;
    }
    if (pim_py.tstate == NULL) {
        return -ENOENT;
    }
    int err;
    acquire();
    scope *s = free_scope(interp, &err);
    starting = starting || s != NULL;
    release();
    if (s == NULL) {
        return err != 0 ? err : -ENOSPC;
    }
    int handle = pim_frames_start() ? push(s, interp, frames) : -ENOTSUP;
    acquire();
    s->handle = handle > 0 ? handle : 0;
    starting = false;
    release();
    return handle > 0 ? 0 : handle;
}

static bool
is_running(void)
{
    bool running = starting;
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        running = running || scopes[i].handle != 0;
    }
    return running;
}

// The last trace has ended: all tables go.
static void
clear_all(void)
{
    acquire();
    bool last = !is_running();
    release();
    if (last) {
        pim_side_drop();
    }
    pim_intern_release();
}

int
pimalloc_trace_stop(int64_t interp)
{
    int handle = 0;
    scope *s = NULL;
    acquire();
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX && !starting; i++) {
        if (scopes[i].handle != 0 && scopes[i].interp == interp) {
            s = &scopes[i];
            handle = s->handle;
        }
    }
    starting = starting || s != NULL;
    release();
    if (s == NULL) {
        return -ENOENT;
    }
    int err = pimalloc_hook_pop(handle);
    if (err == 0) {
        pim_traced_forget(interp);
        pim_side_forget(interp);
    }
    acquire();
    s->handle = err == -EDEADLK ? handle : 0;
    starting = false;
    release();
    if (err == 0) {
        clear_all();
    }
    return err;
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
    acquire();
    for (unsigned i = 0; i < PIMALLOC_HOOKS_MAX; i++) {
        const scope *s = &scopes[i];
        if (s->handle != 0 && (is_all(s->interp) || s->interp == interp)) {
            out->frames = s->frames;
        }
    }
    release();
    pim_traced_figures(interp, out);
    out->lost = pim_load_relaxed(&lost);
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
    return pim_side_each(interp, show, &t);
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

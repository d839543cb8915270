// traced.c -- see traced.h.

#include "hooks/traced.h"

#include "base/keep_errno.h"
#include "interp/roster.h"
#include "platform/gate_lock.h"
#include "platform/os.h"

static PIM_LOCK(lock);
static pim_traced *list; // of living interpreters; under the lock
static pim_traced process = {.interp = PIM_PROCESS_ID};

// Under the lock; the process's if there is none.
static pim_traced *
find(int64_t interp)
{
    pim_traced *t = list;
    while (t != NULL && t->interp != interp) {
        t = t->next;
    }
    return t != NULL ? t : &process;
}

static PIM_NOINLINE pim_traced *
make(pim_heap *heap)
{
    PIM_KEEP_ERRNO;
    pim_lock_enter(&lock);
    pim_traced *t = find(heap->id);
    if (t == &process) {
        t = pim_os->map(sizeof(*t));
        if (t != NULL) {
            t->interp = heap->id;
            t->next = list;
            list = t;
        }
    }
    heap->traced = t;
    pim_lock_leave(&lock);
    return t;
}

pim_traced *
pim_traced_of(pim_heap *heap)
{
    return PIM_LIKELY(heap->traced != NULL) ? heap->traced : make(heap);
}

// --- blocks ------------------------------------------------------------------

// What is left of a figure.  Below 0 for a moment: somebody frees a block of an
// interpreter that is ending, before its figures are the process's.
static uint64_t
left(const _Atomic uint64_t *live, const _Atomic uint64_t *gone)
{
    uint64_t taken = pim_load_relaxed(gone);
    int64_t rest = (int64_t)(pim_load_relaxed(live) - taken);
    return rest > 0 ? (uint64_t)rest : 0;
}

static uint64_t
live_bytes(const pim_traced *t)
{
    return left(&t->live_bytes, &t->gone_bytes);
}

static void
count_owned(pim_traced *t, uint64_t bytes)
{
    pim_own_add(&t->live_bytes, bytes);
    pim_own_add(&t->live_blocks, 1);
    uint64_t live = live_bytes(t);
    if (live > pim_load_relaxed(&t->peak_bytes)) {
        pim_store_relaxed(&t->peak_bytes, live);
    }
}

static void
count_of_process(uint64_t bytes)
{
    pim_add_relaxed(&process.live_bytes, bytes);
    pim_add_relaxed(&process.live_blocks, 1);
    pim_raise_relaxed(&process.peak_bytes, live_bytes(&process));
}

static void
count_gone(pim_traced *t, uint64_t bytes)
{
    pim_add_relaxed(&t->gone_bytes, bytes);
    pim_add_relaxed(&t->gone_blocks, 1);
}

static void
count_back(pim_traced *t, uint64_t bytes)
{
    pim_sub_relaxed(&t->gone_bytes, bytes);
    pim_sub_relaxed(&t->gone_blocks, 1);
}

// A block of an interpreter that is not the caller's.
static PIM_NOINLINE void
count_for_other(int64_t interp, uint64_t bytes,
                void (*count)(pim_traced *t, uint64_t bytes))
{
    pim_lock_enter(&lock);
    count(find(interp), bytes);
    pim_lock_leave(&lock);
}

void
pim_traced_add(pim_traced *mine, int64_t interp, uint64_t bytes)
{
    if (PIM_LIKELY(mine != NULL && mine->interp == interp)) {
        count_owned(mine, bytes);
    } else if (interp == PIM_PROCESS_ID) {
        count_of_process(bytes);
    } else {
        count_for_other(interp, bytes, count_back); // by a realloc
    }
}

void
pim_traced_take(pim_traced *mine, int64_t interp, uint64_t bytes)
{
    if (PIM_LIKELY(mine != NULL && mine->interp == interp)) {
        pim_own_add(&mine->live_bytes, -bytes);
        pim_own_add(&mine->live_blocks, (uint64_t)-1);
    } else if (interp == PIM_PROCESS_ID) {
        count_gone(&process, bytes);
    } else {
        count_for_other(interp, bytes, count_gone);
    }
}

// --- ends --------------------------------------------------------------------

static void
fold(const pim_traced *t)
{
    pim_add_relaxed(&process.live_bytes, pim_load_relaxed(&t->live_bytes));
    pim_add_relaxed(&process.live_blocks, pim_load_relaxed(&t->live_blocks));
    pim_add_relaxed(&process.gone_bytes, pim_load_relaxed(&t->gone_bytes));
    pim_add_relaxed(&process.gone_blocks, pim_load_relaxed(&t->gone_blocks));
}

static bool
is_meant(int64_t interp, int64_t id)
{
    return interp == PIMALLOC_EACH || interp == id;
}

static void
drop(int64_t interp, bool keeps)
{
    pim_lock_enter(&lock);
    for (pim_traced **link = &list; *link != NULL;) {
        pim_traced *t = *link;
        if (!is_meant(interp, t->interp)) {
            link = &t->next;
            continue;
        }
        *link = t->next;
        if (keeps) {
            fold(t);
        }
        pim_os->unmap(t, sizeof(*t));
    }
    pim_lock_leave(&lock);
}

void
pim_traced_ended(int64_t interp, bool keeps)
{
    drop(interp, keeps);
}

static void
forget_heap(void *arg, pim_heap *heap)
{
    if (is_meant(*(const int64_t *)arg, heap->id)) {
        heap->traced = NULL;
    }
}

void
pim_traced_forget(int64_t interp)
{
    pim_registry_each_heap(forget_heap, &interp);
    drop(interp, false);
    if (is_meant(interp, PIM_PROCESS_ID)) {
        process = (pim_traced){.interp = PIM_PROCESS_ID};
    }
}

// --- questions ---------------------------------------------------------------

static void
add(const pim_traced *t, pimalloc_trace_figures *out)
{
    out->live_bytes += live_bytes(t);
    out->live_blocks += left(&t->live_blocks, &t->gone_blocks);
    out->peak_bytes += pim_load_relaxed(&t->peak_bytes);
}

void
pim_traced_figures(int64_t interp, pimalloc_trace_figures *out)
{
    pim_lock_enter(&lock);
    for (const pim_traced *t = list; t != NULL; t = t->next) {
        if (is_meant(interp, t->interp)) {
            add(t, out);
        }
    }
    if (is_meant(interp, PIM_PROCESS_ID)) {
        add(&process, out);
    }
    pim_lock_leave(&lock);
}

void
pim_traced_reset_peak(int64_t interp)
{
    pim_lock_enter(&lock);
    for (pim_traced *t = list; t != NULL; t = t->next) {
        if (is_meant(interp, t->interp)) {
            pim_store_relaxed(&t->peak_bytes, live_bytes(t));
        }
    }
    if (is_meant(interp, PIM_PROCESS_ID)) {
        pim_store_relaxed(&process.peak_bytes, live_bytes(&process));
    }
    pim_lock_leave(&lock);
}

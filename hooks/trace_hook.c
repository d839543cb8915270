// trace_hook.c -- see trace_hook.h.
//
//   alloc    served, then noted: stack -> number, record beside the block
//   resize   record taken, resized, noted anew; or put back if it failed
//   free     record taken, then freed (SIDE-1)
//
// A thread of an interpreter that the trace does not cover may free and resize
// blocks of one that it does.  Nothing is remembered of its stack, since it is
// not seen when its code dies.

#include "hooks/trace_hook.h"

#include "cpython/symbols.h"
#include "domain/hooked.h"
#include "hooks/chain.h"
#include "hooks/readers.h"
#include "hooks/records.h"
#include "hooks/side.h"
#include "hooks/traced.h"
#include "interp/current.h"

// Between two looks for records that nobody needs, allocations of one heap.
#define SWEEP_EVERY 65536

_Atomic uint64_t pim_trace_lost;
_Atomic uint32_t pim_trace_unknown;

// --- requests ----------------------------------------------------------------

static bool
covers(const pim_trace_scope *s, int64_t interp)
{
    return s->interp == PIMALLOC_EACH || s->interp == interp;
}

// What is traced of the calling thread's interpreter; NULL: nothing.
PIM_INLINE pim_traced *
own_traced(const pim_trace_scope *s, const void *tstate)
{
    pim_heap *heap = tstate != NULL ? pim_current_owner() : NULL;
    return heap != NULL && heap->id != PIM_PROCESS_ID && covers(s, heap->id)
               ? pim_traced_of(heap)
               : NULL;
}

static void
take_stale(pim_traced *mine, int64_t interp, const pim_record *stale)
{
    if (PIM_UNLIKELY(stale->is_code)) {
        pim_code_died();
    }
    if (PIM_UNLIKELY(stale->stack != 0)) {
        pim_traced_take(mine, interp, stale->bytes);
    }
}

// Whose the block is may be another one's than the request, which moved it.
static void
put(const pim_trace_scope *s, unsigned domain, pim_traced *mine,
    const void *block, pim_record record)
{
    int64_t interp = pim_block_interp(domain, block);
    if (!covers(s, interp)) {
        return;
    }
    pim_traced_block traced = {block, interp, domain, record};
    pim_record stale;
    if (record.stack != 0 && pim_side_put(&traced, &stale)) {
        take_stale(mine, interp, &stale);
        pim_traced_add(mine, interp, record.bytes);
    } else {
        pim_add_relaxed(&pim_trace_lost, 1);
    }
}

// The calling thread's; read where the fast paths read it, if that is known.
PIM_INLINE const void *
own_tstate(void)
{
    const pim_current *self = &pim_current_self;
    const void *tstate = self->epoch == pim_load_relaxed(&pim_epoch)
                             ? pim_thread_word(self->word)
                             : NULL;
    return tstate != NULL ? tstate : pim_py.tstate();
}

static void
note(const pim_trace_scope *s, const pimalloc_next *next, const void *block,
     size_t size)
{
    const void *tstate = own_tstate();
    pim_traced *mine = own_traced(s, tstate);
    uint32_t stack = mine != NULL
                         ? pim_stack_of(&mine->memory, tstate, s->frames)
                         : pim_load_relaxed(&pim_trace_unknown);
    put(s, (unsigned)pimalloc_next_domain(next), mine, block,
        (pim_record){.stack = stack, .bytes = size});
    if (mine != NULL && PIM_UNLIKELY(++mine->noted == SWEEP_EVERY)) {
        mine->noted = 0;
        pim_records_sweep(pim_current_owner());
    }
}

// False: it was not traced.
static bool
forget(const pim_trace_scope *s, const pimalloc_next *next, const void *block,
       pim_record *was)
{
    if (!pim_side_take(block, was)) {
        return false;
    }
    if (was->is_code) {
        pim_code_died();
    }
    if (was->stack != 0) {
        pim_traced_take(own_traced(s, own_tstate()), pimalloc_next_interp(next),
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
    bool had = forget(ctx, next, block, &was);
    void *resized = pimalloc_next_resize(next, block, size);
    if (resized != NULL) {
        note(ctx, next, resized, size);
    } else if (had) {
        put(ctx, (unsigned)pimalloc_next_domain(next),
            own_traced(ctx, own_tstate()), block, was);
    }
    return resized;
}

static void
trace_free(void *ctx, const pimalloc_next *next, void *block)
{
    pim_record was;
    forget(ctx, next, block, &was);
    pimalloc_next_free(next, block);
}

// --- ends --------------------------------------------------------------------

static void
trace_ended(void *ctx, int64_t interp, int kept)
{
    pim_trace_scope *s = ctx;
    bool keeps = kept != 0 && s->interp == PIMALLOC_EACH;
    pim_side_ended(interp, keeps);
    pim_traced_ended(interp, keeps);
    pim_store_relaxed(&s->is_over, s->interp == interp);
}

int
pim_trace_push(pim_trace_scope *s)
{
    pimalloc_hook hook = {.size = sizeof(hook),
                          .name = "trace",
                          .ctx = s,
                          .alloc = trace_alloc,
                          .resize = trace_resize,
                          .free = trace_free,
                          .interp_ended = trace_ended};
    return pimalloc_hook_push(&hook, s->interp);
}

// --- objects -----------------------------------------------------------------

void
pimalloc_trace_relabel(const void *object)
{
    const void *tstate = pim_hooked_now() != NULL ? pim_py.tstate() : NULL;
    pim_heap *heap = tstate != NULL ? pim_current_owner() : NULL;
    if (heap == NULL) {
        return;
    }
    pim_reader reader;
    pim_reader_enter(&reader);
    const pim_trace_scope *s = pim_chain_find(trace_alloc, heap->id);
    pim_traced *mine = s != NULL ? own_traced(s, tstate) : NULL;
    if (mine != NULL) {
        uint32_t stack = pim_stack_of(&mine->memory, tstate, s->frames);
        if (stack != 0) {
            pim_side_relabel(object, heap->id, stack);
        }
    }
    pim_reader_leave(&reader);
}

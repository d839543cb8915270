// current.h -- which heap the calling thread owns right now.
//
// The answer changes with every switch of the thread state, also within one C
// call, so it is asked anew at each request.  What is cached per thread is the
// pair (interpreter, heap), and where the thread keeps its thread state:
//
//   thread state = word at pim_current_self.word from the thread pointer
//   interpreter  = thread state's pointer at PIM_TSTATE_INTERP
//   heap         = pim_current_self.heap, if interpreter and epoch match
//
// Why the interpreter and not the thread state is the key: a thread state's
// memory may be reused by another interpreter's while the first still lives.
// An interpreter's memory is reused only after the event that retires its heap,
// which also ends the epoch (retire.c); so a pair of the current epoch is true.
//
// Where that event cannot be seen (cpython/identity.h), a thread remembers a
// triple with the interpreter's id instead, which the fast path does not know,
// and every request asks pim_current_resolve() (CURRENT-2).
//
// CURRENT-1  a thread remembers the heap of an interpreter, never the process
//            heap, which a thread state has only while there is no memory for
//            a heap of its own.
// CURRENT-2  what a thread remembers without an id is true for as long as the
// epoch
//            lasts: the interpreter's memory came through us, and others' does.
//
// CURRENT-3  a thread that may remember a heap whose requests go through hooks
//            remembers its interpreter as `hooked`, where the fast path does
//            not look; and where hooks see what no interpreter asks for, no
//            thread is known to have no thread state.
//
// The word is the thread's own: its distance differs from thread to thread
// where libpython was loaded late.  A thread whose word is not proven has it
// point at a word that is always NULL; then every request asks
// pim_current_resolve().
//
// Raw requests come from threads without a thread state, too, and at times when
// an interpreter cannot be made known yet.  They ask pim_current_owner(), which
// makes none known, and a thread whose proven word is NULL remembers no
// interpreter and the epoch.

#ifndef PIM_INTERP_CURRENT_H
#define PIM_INTERP_CURRENT_H

#include "heap/heap.h"
#include "platform/epoch.h"

// Offset of PyThreadState.interp; verified at run time (cpython/tstate.c).
#define PIM_TSTATE_INTERP 16

typedef struct pim_current {
    uint64_t epoch; // 0, which no epoch is, until the first resolve
    const void *interp;
    pim_heap *heap;
    // The interpreter whose heap that is, if `interp` is none.
    const void *hooked;
    const void *doubted;
    int64_t doubted_id;
    ptrdiff_t word;  // offset from the thread pointer
    void *no_tstate; // always NULL
    bool proven;     // the getter reads that word, so NULL there is its answer,
                     // and nobody needs to see what is asked for then

    // Of interpreters that the thread makes; see limit.h.
    pim_maker maker;   // of the next one
    pim_heap *newborn; // that CPython may be making here; NULL: none
    uint64_t newborns; // its serial
    const struct pim_budget *mother; // its maker's; NULL: it had none
} pim_current;

extern PIM_TLS pim_current pim_current_self;

// Hooks see requests that no interpreter makes.  Whoever changes it ends the
// epoch.
extern _Atomic bool pim_hooked_process;

// Finds the calling thread's heap the slow way; the process heap if it has no
// thread state.  Set once by the layer that knows CPython.
extern pim_heap *(*pim_current_resolve)(void);

// Finds the heap of the calling thread's interpreter if it is known; NULL: it
// is not, or there is no thread state.  Set likewise; outside the gate.
extern pim_heap *(*pim_current_lookup)(void);

// The id of the interpreter that the calling thread is in, PIM_PROCESS_ID:
// none.  Set like the above.  Neither locks nor allocates: called in signal
// handlers.
extern int64_t (*pim_current_ask_id)(void);

// Debug builds check every word read against the getter.
extern void (*pim_current_verify)(const void *tstate);

// The heap that the caller owns, or NULL if that is not known at once.  Never
// the process heap, which nobody remembers (CURRENT-1).  *detached: it is known
// that there is no thread state.
PIM_INLINE pim_heap *
pim_current_or_detached(bool *detached)
{
    const pim_current *self = &pim_current_self;
    *detached = false;
    if (PIM_UNLIKELY(self->epoch != pim_load_relaxed(&pim_epoch))) {
        return NULL;
    }
    const char *tstate = pim_thread_word(self->word);
    if (PIM_DEBUG && pim_current_verify != NULL) {
        pim_current_verify(tstate);
    }
    if (PIM_UNLIKELY(tstate == NULL)) {
        *detached = self->proven;
        return NULL;
    }
    const void *interp =
        *(const void *const *)(const void *)(tstate + PIM_TSTATE_INTERP);
    if (PIM_UNLIKELY(interp != self->interp)) {
        return NULL;
    }
    pim_heap *heap = self->heap;
    PIM_ASSUME(heap != NULL && !pim_heap_is_process(heap)); // CURRENT-1
    return heap;
}

PIM_INLINE pim_heap *
pim_current_fast(void)
{
    bool detached;
    return pim_current_or_detached(&detached);
}

// The heap that the caller owns, where hooks see what is asked of it.
PIM_INLINE pim_heap *
pim_current_hooked(void)
{
    const pim_current *self = &pim_current_self;
    const char *tstate = pim_thread_word(self->word);
    return self->hooked != NULL && tstate != NULL &&
                   self->epoch == pim_load_relaxed(&pim_epoch) &&
                   *(const void *const *)(const void *)(tstate +
                                                        PIM_TSTATE_INTERP) ==
                       self->hooked
               ? self->heap
               : NULL;
}

// The heap that the caller owns; NULL: no interpreter that has one is current.
// Outside the gate.
PIM_INLINE pim_heap *
pim_current_owner(void)
{
    bool detached;
    pim_heap *heap = pim_current_or_detached(&detached);
    if (heap != NULL || detached) {
        return heap;
    }
    heap = pim_current_hooked();
    return heap != NULL ? heap : pim_current_lookup();
}

// The heap to use: the caller's own, or the process heap, whose lock the caller
// must then take.  Never NULL.
PIM_INLINE pim_heap *
pim_current_heap(void)
{
    pim_heap *heap = pim_current_fast();
    if (PIM_LIKELY(heap != NULL)) {
        return heap;
    }
    heap = pim_current_hooked();
    return heap != NULL ? heap : pim_current_resolve();
}

// Forgets the word of the calling thread: every request resolves.
PIM_INLINE void
pim_current_hide_word(pim_current *self)
{
    self->word = (char *)&self->no_tstate - pim_thread_pointer();
    self->proven = false;
}

// Reads the word from now on, which the getter is proven to read.
PIM_INLINE void
pim_current_set_word(pim_current *self, ptrdiff_t word)
{
    self->word = word;
    self->proven = !pim_load_relaxed(&pim_hooked_process);
}

// The heap is that of a newborn interpreter; maker: whose thread state was
// current last, NULL: nobody's.
void pim_current_begin(pim_heap *heap, const pim_maker *maker);

// Whether CPython may be making that interpreter in the calling thread, or with
// PIM_PROCESS_ID any: no other was current since, and it has no more than a
// newborn needs.  Outside the gate.
bool pim_current_makes(int64_t id);

// The program's own code runs in the calling thread, so nothing is being made
// there.  Outside the gate.
void pim_current_made(void);

// Another interpreter is current than before, so one that was newborn may be
// made; or the heap is to give up its current pages.  Owner of the heap.
void pim_current_changed(pim_heap *heap);

PIM_INLINE void
pim_current_note_maker(pim_current *self, pim_heap *heap)
{
    self->maker.budget = heap->limit.budget;
    self->maker.serial = pim_load_relaxed(&heap->serial);
    if (PIM_UNLIKELY(self->newborn != NULL ||
                     pim_load_relaxed(&heap->limit.newborn) ||
                     pim_load_relaxed(&heap->limit.revoked))) {
        pim_current_changed(heap);
    }
}

// Remembers what pim_current_resolve() found out.
PIM_INLINE void
pim_current_remember(const void *interp, pim_heap *heap, uint64_t epoch)
{
    pim_current *self = &pim_current_self;
    PIM_ASSERT(heap != NULL && !pim_heap_is_process(heap));
    bool is_hooked = pim_load_relaxed(&heap->hooked);
    self->interp = is_hooked ? self : interp; // which is no interpreter
    self->hooked = is_hooked ? interp : NULL;
    self->heap = heap;
    self->doubted = NULL;
    self->epoch = epoch;
    pim_current_note_maker(self, heap);
}

// The same of an interpreter that may be another one at the next request.
PIM_INLINE void
pim_current_remember_doubted(const void *interp, int64_t id, pim_heap *heap,
                             uint64_t epoch)
{
    pim_current *self = &pim_current_self;
    self->interp = self;
    self->heap = heap;
    self->hooked = NULL;
    self->doubted = interp;
    self->doubted_id = id;
    self->epoch = epoch;
    pim_current_note_maker(self, heap);
}

// Remembers that the calling thread, whose word is proven, has no thread state.
// What it knows of an interpreter stays true in the same epoch.
PIM_INLINE void
pim_current_remember_none(uint64_t epoch)
{
    pim_current *self = &pim_current_self;
    if (self->epoch != epoch) {
        self->interp = self;
        self->heap = NULL;
        self->hooked = NULL;
        self->doubted = NULL;
        self->epoch = epoch;
    }
}

#endif // PIM_INTERP_CURRENT_H

// fake_interp.h -- interpreters without Python.
//
// As in CPython: a thread-local variable holds the current thread state, the
// thread state points to its interpreter, the interpreter's state lies in a raw
// block of a few hundred KB, and a GIL says who may run.  The last event of an
// interpreter's life is the raw-domain free of that block, done without a thread
// state.  pim_current_resolve() and pim_current_lookup() are implemented as in
// src/cpython/bind.c, and each thread's word points at the variable, so the fast
// path is the real one.

#ifndef PIM_TESTS_FAKE_INTERP_H
#define PIM_TESTS_FAKE_INTERP_H

#include <pthread.h>

#include "interp/current.h"
#include "interp/registry.h"
#include "interp/roster.h"

// What an interpreter pointer points to.
// What is asked for as the state of an interpreter.
#define FAKE_STATE_BLOCK ((size_t)200 << 10)

typedef struct fake_state {
    int64_t id;
    bool is_legacy;
} fake_state;

typedef struct fake_interp {
    void *block;       // raw; NULL for main, whose state is static
    fake_state *state; // inside `block`: the interpreter pointer
    pthread_mutex_t *gil;
    pthread_mutex_t own_gil;
} fake_interp;

// What a thread state pointer points to.
typedef struct fake_tstate {
    void *padding[PIM_TSTATE_INTERP / sizeof(void *)];
    fake_state *interp;
} fake_tstate;

_Static_assert(offsetof(fake_tstate, interp) == PIM_TSTATE_INTERP,
               "the fast path finds the interpreter");

// The id of the main interpreter.
#define FAKE_MAIN ((int64_t)0)

// Begins a runtime: a new generation.  The main interpreter exists from here.
void fake_python_start(void);
uint32_t fake_python_generation(void);
fake_interp *fake_main(void);

// Makes threads that settle from now on use the getter, or the word again.
void fake_python_hide_word(bool hide);

// How often pim_current_resolve() was called.
uint64_t fake_resolve_calls(void);

// The same of pim_current_lookup().
uint64_t fake_look_calls(void);

// Begins an interpreter with its own GIL, or a legacy one with main's.  Its heap
// is made at its first request.  Whose thread state is current makes it, or nobody.
void fake_interp_begin(fake_interp *interp, int64_t id);
void fake_interp_begin_legacy(fake_interp *interp, int64_t id);

// The same, but if no thread state is current, whose was current last makes it.
// False: there is no room for one.
bool fake_interp_make(fake_interp *interp, int64_t id);

// Takes the GIL and makes the interpreter current in this thread; and back.
void fake_interp_attach(fake_interp *interp);
void fake_interp_detach(fake_interp *interp);

// Begins one, under an id that is new, and attaches; and back.
void fake_interp_start(fake_interp *interp);
void fake_interp_stop(fake_interp *interp);

// Makes the interpreter (or NULL) current in this thread without touching a
// GIL, which the caller sees to.  Returns the thread state that was current.
fake_tstate *fake_interp_swap(const fake_interp *interp);

// That of the calling thread, or NULL.
fake_tstate *fake_tstate_current(void);

// Ends it: the raw free of its state, without a thread state.  No thread is
// attached to it.
void fake_interp_end(fake_interp *interp);

// Like CPython 3.14.0, forgets it without telling anyone; its block is given to
// the caller and stays allocated.
void *fake_interp_forget(fake_interp *interp);

// The heap of the calling thread's current interpreter, found at once.
pim_heap *fake_current_heap(void);

// Figures by id; the id must be known.
pim_figures fake_figures(int64_t id);

// What is live in the process is what was.
void fake_expect_accounts(const pim_figures *before);

// The same, but for raw, and so are its pages and arenas.
void fake_expect_process(const pim_figures *before);

// What there is to know of a heap's limit.
pim_limit_figures fake_limit(const pim_heap *heap);

#endif // PIM_TESTS_FAKE_INTERP_H

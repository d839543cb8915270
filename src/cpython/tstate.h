// tstate.h -- where CPython keeps the current thread state.

#ifndef PIM_CPYTHON_TSTATE_H
#define PIM_CPYTHON_TSTATE_H

#include "cpython/symbols.h"
#include "interp/current.h"

// Forgets what is known and starts looking; `by_call` settles for the getter.
void pim_tstate_start(bool by_call);

// Points the calling thread at its own word, which is read instead of calling
// the getter, if that is proven to hold `attached`, its current thread state.
// Else the thread goes on asking the getter.  The thread has just called the
// getter.
void pim_tstate_settle_thread(PyThreadState *attached);

// The same for a thread without a thread state: whether it is pointed at the
// word now, so that NULL there means that there is none.
bool pim_tstate_settle_detached(void);

// Whether a word is proven, so that threads may read it instead of calling the
// getter.
bool pim_tstate_is_word(void);

// How the thread state is found, and why so, in words for people.
const char *pim_tstate_describe(void);

// How many living threads do which, as each found when it last looked.  A
// thread that made no request is in neither.
typedef struct pim_tstate_threads {
    unsigned by_word;
    unsigned by_call;
} pim_tstate_threads;

// Any thread; takes no lock.
pim_tstate_threads pim_tstate_count(void);

#endif // PIM_CPYTHON_TSTATE_H

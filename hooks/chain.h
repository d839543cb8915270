// chain.h -- the hooks that are on, in order.
//
//   requests -> pim_hooked -> newest hook -> ... -> oldest hook -> unhooked.c
//
// The chain that readers see is immutable.  There are two: a change fills the
// one that nobody reads, publishes it, and waits until no thread is in the other
// one.  A reader announces itself in its record of the gate with two plain
// stores, as the gate's own readers do, but not inside the gate: hooks and what
// they call go in and out of that.
//
// Invariants:
//   CHAIN-1  a thread that is in the chain sees one chain, whole, until it
//            leaves.
//   CHAIN-2  when a hook is popped, no thread is in its functions.
//   CHAIN-3  a request made inside a hook is served and not seen.

#ifndef PIM_HOOKS_CHAIN_H
#define PIM_HOOKS_CHAIN_H

#include "pimalloc/hooks.h"

// Lets births, ends and forks be told from now on.  At install, any number of
// times.
void pim_chain_start(void);

// Another runtime begins, in which ids begin anew: hooks of single interpreters
// of the last one are switched off.  Outside the gate.
void pim_chain_new_runtime(void);

// The ctx of the newest hook with that function that sees an interpreter; NULL:
// none.  Between pim_reader_enter() and pim_reader_leave().
void *pim_chain_find(void *(*alloc)(void *, const pimalloc_next *, size_t, int),
                     int64_t interp);

#endif // PIM_HOOKS_CHAIN_H

// birth.h -- the raw block that CPython asks for first when it makes an
// interpreter.
//
// It lies in that block, so who asked for it made the interpreter: whose thread
// state was current then or, where CPython takes that away first (from 3.13 on,
// in what Python code calls), was current last in the thread.
//
// The request is also the one moment at which CPython can be told that there is
// no room for an interpreter: it survives a refusal there, if no thread state
// is current, and hardly any that follow.  Before 3.13.8 it does not, and ends
// the process; those versions survive that the first request of the interpreter
// itself is refused, and all that follow.
//
// Any thread, outside the gate.

#ifndef PIM_DOMAIN_BIRTH_H
#define PIM_DOMAIN_BIRTH_H

#include "interp/current.h"

// Whether this CPython is one of those.  Written at the installation.
extern bool pim_birth_is_told_later;

// So large is an interpreter's state; 0: not known.
void pim_birth_expect(size_t state_bytes);

// A raw block of at least PIM_RAW_WATCH_BYTES is asked for.  False: it would be
// an interpreter's, and there is no room for one.
bool pim_birth_admits(size_t size);

// Whether CPython survives that a raw request of this thread gets nothing: not
// between the state of an interpreter and its first request, nor where it is
// that of a state and cannot be told so.
bool pim_birth_survives(size_t size);

// There it is; NULL: there was no memory.
void pim_birth_asked(const void *block, size_t size);

// The thread got a block of PIM_RAW_WATCH_BYTES, or is about to free one.
void pim_birth_note(const void *block);
void pim_birth_freed(const void *block);

// Whether an interpreter may begin at an address in a block that the calling
// thread got of late, and did not free.
bool pim_birth_has_seen(const void *interp);

// Who made the interpreter of which nothing was known until now, in this
// thread.
pim_maker pim_birth_maker(const void *interp);

#endif // PIM_DOMAIN_BIRTH_H

// intern.h -- strings, places in the source, and stacks, each kept once.
//
// All three are sequences of words, and a later kind's words are numbers of the
// one before: a place is a file, a function and a line, a stack is its length
// and places.  A number is stable until all are forgotten together.
//
//   words   chunk -> header | hash | words ... | header | ...
//   index   hash -> number, open addressing; one that became too small stays
//
// Invariant:
//   INTERN-1  who finds a number in the index finds all of its words.

#ifndef PIM_HOOKS_INTERN_H
#define PIM_HOOKS_INTERN_H

#include "base/atomic.h"

typedef enum pim_interned_kind {
    PIM_TEXT = 1, // UTF-8, padded with NULs, at least one
    PIM_PLACE,    // file, function: texts; line
    PIM_STACK,    // how many frames there were; places, newest first
} pim_interned_kind;

#define PIM_PLACE_WORDS 3

// The most words of one; longer texts are cut by who makes them.
#define PIM_INTERN_WORDS 1024

// The number of a sequence, positive and below 2^31; 0: no memory.  Any thread,
// outside the gate.
uint32_t pim_intern(pim_interned_kind kind, const uint32_t *words, unsigned n);

// The words of a number; *n, which may be NULL: how many.
const uint32_t *pim_interned(uint32_t number, unsigned *n);

// Bytes that all of it takes.
uint64_t pim_intern_bytes(void);

// Forgets everything, unless it is to be kept.  Nobody is in here or uses a
// number.
void pim_intern_forget(void);

// Numbers stay for ever from now on.
void pim_intern_keep(void);

#endif // PIM_HOOKS_INTERN_H

// stacks.h -- the number of the calling thread's Python stack.
//
// What a heap's owner needs to name a stack quickly is the heap's own: the last
// stack, and the places of the last few hundred instructions.  A place is
// remembered by the address of an instruction.  When a code object dies by which
// one was named, all of those are out of date.

#ifndef PIM_HOOKS_STACKS_H
#define PIM_HOOKS_STACKS_H

#include "base/atomic.h"
#include "pimalloc/trace.h"

#define PIM_PLACES_KEPT 512

typedef struct pim_kept_place {
    const void *instr;
    uint32_t place;
    uint32_t deaths; // see pim_code_died()
    uint32_t stack;  // of one frame, this one; 0: not known
    uint32_t total;  // how many frames that stack had
} pim_kept_place;

// One thread at a time.  Zeroed is empty.
typedef struct pim_stack_memory {
    uint32_t stack; // the last one; 0: none
    uint32_t deaths;
    unsigned count;
    unsigned total;
    const void *instr[PIMALLOC_TRACE_FRAMES_MAX];
    pim_kept_place places[PIM_PLACES_KEPT];
} pim_stack_memory;

// The number of the stack of a thread state, its newest `frames` frames; the
// unknown one if it has none.  0: no memory.  Its thread.
uint32_t pim_stack_of(pim_stack_memory *memory, const void *tstate,
                      unsigned frames);

// The same without a memory, and without a mark on code objects, so that nobody
// needs to see them die: for who asks seldom.
uint32_t pim_stack_fresh(const void *tstate, unsigned frames);

// That of a thread without a thread state: one frame, of no file.
uint32_t pim_stack_unknown(void);

// A code object whose block is marked (pim_side_mark_code()) is freed.
void pim_code_died(void);

#endif // PIM_HOOKS_STACKS_H

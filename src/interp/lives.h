// lives.h -- records of heaps, which are used again, and the numbers of their
// lives.
//
// Whoever has 32 bits to note whose heap something is in notes heap->life.  The
// heap's serial number is longer, and does not lead to the heap:
//
//   life     31 ........ 14 13 ... 0
//                           | place |  --> the heap that lives there, or NULL
//
// A life that begins gets the next number whose place is free.
//
// Invariant:
//   LIFE-1  a number comes again after 10^9 lives or more.  One place in
//           PIM_LIVES_SHARE stays free, so a life uses up no more than so many
//           numbers on average.
//
// All under the registry's lock unless it says otherwise.

#ifndef PIM_INTERP_LIVES_H
#define PIM_INTERP_LIVES_H

#include "heap/heap.h"

#define PIM_LIFE_PLACES (1u << 14)
#define PIM_LIVES_SHARE 4

// More heaps live without a number.
#define PIM_LIVES_MAX (PIM_LIFE_PLACES - PIM_LIFE_PLACES / PIM_LIVES_SHARE)

_Static_assert(UINT32_MAX / PIM_LIVES_SHARE > 1000000000, "LIFE-1");

// A record, zeroed or of a life that is over, with a number; NULL: no memory.
pim_heap *pim_life_begin(void);

// Its number is nobody's any more.
void pim_life_end(pim_heap *heap);

// Nothing refers to the record any more.
void pim_life_bury(pim_heap *heap);

// The heap whose life has that number; NULL: it is over, or the number is 0,
// which is none.  Any thread, inside the gate; the record stays until it
// leaves.
pim_heap *pim_life_heap(uint32_t life);

// Records that are free are not used again.
void pim_life_forget_all(void);

// The number that was given last.  Tests set it.
extern uint32_t pim_life_last;

#endif // PIM_INTERP_LIVES_H

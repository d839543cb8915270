// endings.h -- interpreters that have ended and whose heaps are being retired.
//
// A retirement has steps with waits in between (retire.c).  The thread that is
// at it may be gone, in a forked child, or give up waiting: the heap is in a
// list until the last step is done.

#ifndef PIM_INTERP_ENDINGS_H
#define PIM_INTERP_ENDINGS_H

#include "heap/heap.h"

// The heap's interpreter has ended, as others see from now on.  Under the
// registry's lock; the calling thread does the first step next, in the same
// stay inside the gate.
void pim_ending_begin(pim_heap *heap);

// The further steps of that heap's retirement, and of others that were left.
// Outside the gate; no lock.
void pim_ending_finish(pim_heap *heap);

// In a forked child: the same, with nobody to wait for; or forgets them.
void pim_endings_in_child(bool adrift);

#endif // PIM_INTERP_ENDINGS_H

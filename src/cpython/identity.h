// identity.h -- is the interpreter at an address still the one that was there?
//
// Threads remember the heap of an interpreter by its address alone
// (interp/current.h).  That is right for as long as we see each interpreter's
// state come or go in the raw domain: one that comes where another was ends
// that one.  Where raw is somebody else's, we see neither, and CPython reuses
// such memory at once.  Then nobody remembers anything but main, whose state is
// static: each request asks CPython for the interpreter's id.
//
//   raw table in force      state comes through us        trusted
//   ours                    yes                           yes no (CPython's
//                           swap, <= 3.13)  all but that interpreter
//   a layer's above us      yes, or another raw request   yes
//                           does so
//   another allocator's     no                            main only
//   not known yet           not known yet                 main only
//
// Whether what somebody has set is a layer or another allocator cannot be
// asked; it shows when a request that was made of it arrives here, or an
// interpreter's state does not.

#ifndef PIM_CPYTHON_IDENTITY_H
#define PIM_CPYTHON_IDENTITY_H

#include <stdbool.h>

// The tables were just set.  `verbose`: a message says so if raw becomes
// another's.
void pim_identity_start(bool verbose);

// Looks at the raw table.  Returns whether threads may remember what they find
// out from now on, in the epoch that was before the call.  Any thread, outside
// the gate.
bool pim_identity_is_sure(void);

// An interpreter is about to be made known by the thread that created it.
// Returns whether its memory came through us, so that threads may remember it.
bool pim_identity_of_newborn(const void *interp);

// Whether raw requests come to us; tries it where a thread state is current,
// and else believes so unless the contrary has shown.
bool pim_identity_raw_is_ours(void);

#endif // PIM_CPYTHON_IDENTITY_H

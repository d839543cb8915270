// frames.h -- the Python stack of a thread, read by borrowed fields.
//
// No reference is taken, nothing is allocated, no lock, no function of CPython's
// called: so it works inside an allocation, where an object of the frame itself
// may be half made.  What is read is the thread's own, and stands still while
// the thread is here.
//
// Where fields lie differs from version to version.  3.12 has constants; from
// 3.13 on the runtime begins with a table of offsets, which is believed if its
// cookie and version are right.  Either is proven once, by one walk compared
// with CPython's own answer; else there are no frames, and a reason.

#ifndef PIM_HOOKS_FRAMES_H
#define PIM_HOOKS_FRAMES_H

#include "base/compiler.h"

typedef struct pim_frame {
    const void *code;  // borrowed; a code object, alive while the frame is
    const void *instr; // what it executes, a code unit within
} pim_frame;

// Finds the offsets and proves them on the calling thread, which has an attached
// thread state, is in Python code, and is not inside an allocation: CPython
// makes objects of the frames that are compared.  Once; later calls return what
// the first one found.  False: pim_frames_refusal() says why.
bool pim_frames_start(void);

// Why there are no frames; NULL: there are.
const char *pim_frames_refusal(void);

// Copies the newest `capacity` frames of a thread state, newest first.  Returns
// how many; *total: how many the stack has.  Of the calling thread's own state,
// attached or detached, or with the GIL of its interpreter held.
unsigned pim_frames_walk(const void *tstate, pim_frame *out, unsigned capacity,
                         unsigned *total);

// The line of the source, 0: none.  The code is alive.
int pim_frames_line(const pim_frame *frame);

// The name of the file, or the qualified name of the function, in UTF-8, cut to
// fit.  Returns the bytes written without the NUL.  The code is alive.
size_t pim_frames_file(const void *code, char *out, size_t size);
size_t pim_frames_function(const void *code, char *out, size_t size);

#endif // PIM_HOOKS_FRAMES_H

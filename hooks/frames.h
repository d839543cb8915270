// frames.h -- the Python stack of a thread, read by borrowed fields.
//
// No reference is taken, nothing is allocated, no lock, no function of CPython's
// called: so it works inside an allocation, where an object of the frame itself
// may be half made.  What is read is the thread's own, and stands still while
// the thread is here.
//
// Where fields lie differs from version to version (frame_layout.h).  It is
// proven once, by one walk compared with CPython's own answer; else there are no
// frames, and a reason.

#ifndef PIM_HOOKS_FRAMES_H
#define PIM_HOOKS_FRAMES_H

#include "base/compiler.h"

typedef struct pim_frame {
    const void *code;  // borrowed; a code object, alive while the frame is
    const void *instr; // what it executes, a code unit within
} pim_frame;

// Finds the layout and proves it on the calling thread, which has an attached
// thread state and no exception, and is not inside an allocation: CPython makes
// objects of the frames that are compared.  Does nothing while another thread is
// at it.  False: pim_frames_refusal() says why.
//
// What it found holds for the runtime, with one exception: where no Python code
// was running there was nothing to compare, and the next call tries again.
bool pim_frames_start(void);

// Whether it found out, so that another call would find the same.
bool pim_frames_are_judged(void);

// Why there are no frames; NULL: there are.
const char *pim_frames_refusal(void);

// Whether that was said for good: no later start says anything else.
bool pim_frames_judged(void);

// In a forked child: whoever was at the proof is gone.
void pim_frames_in_child(void);

// Copies the newest `capacity` frames of a thread state, newest first.  Returns
// how many; *total: how many the stack has.  total NULL: that is not asked, so
// that no more of the stack is read.  Of the calling thread's own state, attached
// or detached, or with the GIL of its interpreter held.  None where
// pim_frames_start() was not called or refused.
unsigned pim_frames_walk(const void *tstate, pim_frame *out, unsigned capacity,
                         unsigned *total);

// The line of the source, 0: none.  The code is alive.
int pim_frames_line(const pim_frame *frame);

// The name of the file, or the qualified name of the function, in UTF-8, cut to
// fit.  Returns the bytes written without the NUL.  The code is alive.
size_t pim_frames_file(const void *code, char *out, size_t size);
size_t pim_frames_function(const void *code, char *out, size_t size);

#endif // PIM_HOOKS_FRAMES_H

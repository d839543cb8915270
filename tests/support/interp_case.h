// interp_case.h -- a case with one interpreter, which is current.

#ifndef PIM_TESTS_INTERP_CASE_H
#define PIM_TESTS_INTERP_CASE_H

#include "support/fake_interp.h"

extern fake_interp interp;
extern int64_t id;
extern pim_heap *heap;
extern pim_figures process; // before the case

// Begins it, under an id that is new, and makes it current.
void begin_interp(void);

// Audits its heap if it is current, and ends it.
void end_interp(void);

// As a case's set-up and tear-down; the second has it ask for something first, so
// that its records are there.
int interp_case_begin(void **state);
int interp_case_begin_used(void **state);
int interp_case_end(void **state);

#endif // PIM_TESTS_INTERP_CASE_H

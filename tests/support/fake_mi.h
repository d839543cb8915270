// fake_mi.h -- mimalloc with counters and failures.
//
// Calls go on to the real library unless they are told to fail.

#ifndef PIM_TESTS_FAKE_MI_H
#define PIM_TESTS_FAKE_MI_H

#include "base/atomic.h"
#include "mi/mi.h"

typedef struct fake_mi_state {
    _Atomic uint64_t blocks_made;  // by every allocating entry
    _Atomic uint64_t blocks_freed; // by ufree()
    _Atomic uint64_t purges;

    _Atomic uint64_t fail_at; // the n-th request from now on; 0: none
    _Atomic bool fail_rest;   // and all after it
    _Atomic uint64_t counted;
    _Atomic uint64_t failed;
} fake_mi_state;

extern fake_mi_state fake_mi;

// Loads libmimalloc and puts the counters in front of it.
void fake_mi_start(void);

// Plans that the n-th request for a block fails.
void fake_mi_fail(uint64_t nth, bool and_rest);
void fake_mi_heal(void);

// Blocks that were not freed one by one.
uint64_t fake_mi_live_blocks(void);

#endif // PIM_TESTS_FAKE_MI_H

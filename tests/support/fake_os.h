// fake_os.h -- the operating system with counters, failures and a clock.
//
// Calls go on to the real system unless they are told to fail.  There is one,
// because pim_os is one; any thread may call into it.

#ifndef PIM_TESTS_FAKE_OS_H
#define PIM_TESTS_FAKE_OS_H

#include "base/atomic.h"
#include "platform/os.h"

// The kinds of call that may fail, as bits.
enum fake_os_call {
    FAKE_PLACE = 1, // map_at() and map_aligned(): arenas and their tables
    FAKE_COMMIT = 2,
    FAKE_DECOMMIT = 4,
    FAKE_RESET = 8,
    FAKE_MAP = 16,
    FAKE_REMAP = 32,
    FAKE_UNMAP = 64,
    FAKE_ANY = 63 // but unmap(), which seldom fails
};

typedef struct fake_os {
    _Atomic uint64_t calls[7]; // by kind, in the order of fake_os_call
    _Atomic uint64_t names;    // calls of name()
    _Atomic uint64_t huge;     // calls of advise_huge()
    _Atomic uint64_t small;    // calls of advise_small()
    _Atomic uint64_t populated_bytes;

    _Atomic uint64_t mapped_bytes; // by map() and remap(), not yet unmapped
    _Atomic uint64_t
        placed_bytes; // by map_at(), map_aligned(), not yet unmapped
    _Atomic uint64_t decommitted_bytes; // by decommit() less commit()
    _Atomic uint64_t reset_bytes;       // by reset(), ever
    _Atomic uint64_t unmapped_last;     // where the last unmap() began

    // Of the calls of `fail_kinds`, the fail_at-th from now on fails (1 is the
    // next), and with `fail_rest` all after it.
    _Atomic unsigned fail_kinds;
    _Atomic uint64_t fail_at; // 0: none
    _Atomic bool fail_rest;
    _Atomic uint64_t counted; // calls of fail_kinds since fake_os_fail()
    _Atomic uint64_t failed;  // calls that were made to fail

    // What has_room() says is left.
    _Atomic size_t room;

    // Where somebody else has a map: map_at() finds it in its way.
    _Atomic uintptr_t taken_from;
    _Atomic uintptr_t taken_to;

    _Atomic bool clock_stands; // then now_ms() answers `now`
    _Atomic uint64_t now;
} fake_os;

extern fake_os fake;

// Puts the fake in the place of the system, with all counters zero.
void fake_os_start(void);

// Plans a failure; fake_os_heal() takes it back.
void fake_os_fail(unsigned kinds, uint64_t nth, bool and_rest);
void fake_os_heal(void);

// Stops the clock, moves it on, and lets it go again.
void fake_os_stop_clock(void);
void fake_os_run_clock(void);
void fake_os_advance(uint64_t ms);

// Bytes that arenas and their tables have: placed and not decommitted.
uint64_t fake_os_committed(void);

// Calls of one kind so far.
uint64_t fake_os_calls(enum fake_os_call kind);

#endif // PIM_TESTS_FAKE_OS_H

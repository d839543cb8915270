// threads.h -- what the gate asks the system about threads, and ways to wait.
//
// Bare system calls: none of them is a cancellation point (cancel.h), takes a
// lock of libc's, or changes errno.

#ifndef PIM_PLATFORM_THREADS_H
#define PIM_PLATFORM_THREADS_H

#include "base/atomic.h"

// The system's number of the calling thread, and of its process.
int pim_thread_id(void);
int pim_process_id(void);

// Whether no thread of the process has that number any more.
bool pim_thread_is_gone(int id);

// Whether a thread of the process sleeps until somebody wakes it or some time
// has passed.  No thread does that inside of clone(2).  False: it does not, or
// the system does not say.
bool pim_thread_sleeps(int id);

// Milliseconds of a clock that never goes back.
uint64_t pim_clock_ms(void);

// Nanoseconds of the real-time clock.
int64_t pim_real_time_ns(void);

void pim_sleep_us(unsigned us);

// Sleeps while *word is `value`, but no longer than so many milliseconds; and
// wakes all who do.  Returns whether the time is over.
bool pim_word_wait(_Atomic uint32_t *word, uint32_t value, unsigned ms);
void pim_word_wake(_Atomic uint32_t *word);

#endif // PIM_PLATFORM_THREADS_H

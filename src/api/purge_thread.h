// purge_thread.h -- giving idle memory back in a process that does not
// allocate.

#ifndef PIM_API_PURGE_THREAD_H
#define PIM_API_PURGE_THREAD_H

// Starts the thread that does it, if it does not run in this process.  0 or
// -errno.  By one thread at a time.
int pim_purge_start(void);

#endif // PIM_API_PURGE_THREAD_H

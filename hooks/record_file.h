// record_file.h -- the file of a recording, and its end where that comes early.
//
// Each writer takes its place in the file first and then writes there, so none
// waits for another one.  A writer that does not come to it leaves zeros.

#ifndef PIM_HOOKS_RECORD_FILE_H
#define PIM_HOOKS_RECORD_FILE_H

#include "base/atomic.h"
#include "hooks/record_format.h"

// Which recording threads note for; 0: none, or one that failed.
extern _Atomic uint32_t pim_record_epoch;

// Opens it and writes the head.  The path is as pim_path_expand() takes it.  0
// or -errno.
int pim_record_open(const char *path, int64_t interp, bool *has_pid);

// Completes the header of a block, whose content lies behind it and has room to
// be filled up, and writes both.  What fails is told in one line, and then
// nothing is written any more.  In a process that did not open the file, as a
// child is that the system made without telling us, nothing is.
void pim_record_write(pim_log_block *header);

// The recording ends before it is stopped.
void pim_record_fail(int err);

// Of the clock that goes in the file.
uint64_t pim_record_ms(void);

// Writes the end, unless `cut`, and closes it.  0, or why it ended before.
int pim_record_close(bool cut);

#endif // PIM_HOOKS_RECORD_FILE_H

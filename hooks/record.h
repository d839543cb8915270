// record.h -- a log of all requests; include/pimalloc/record.h has the functions.
//
//   record.c         the hook: what is noted, and when
//   record_stream.c  what a thread has to say, and in which order
//   record_file.c    the file
//   record_format.h  what is in it

#ifndef PIM_HOOKS_RECORD_H
#define PIM_HOOKS_RECORD_H

// Records into the file that PIMALLOC_RECORD names, or says in one line why not.
// A recording that is on goes on.  NULL: nothing.
void pim_record_begin(const char *path);

#endif // PIM_HOOKS_RECORD_H

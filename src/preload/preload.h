// preload.h -- the parts of libpimalloc-preload.so.
//
//   install.c   when does a Python in this process get pimalloc?
//   locale.c    the one function of libc that is interposed, and why
//   choice.c    was Python told to use another allocator?
//   exit.c      figures at exit and on a signal; why pimalloc was not active

#ifndef PIM_PRELOAD_PRELOAD_H
#define PIM_PRELOAD_PRELOAD_H

#include "platform/options.h"

// The options of this process; nothing is set before a Python was found.
extern pim_options pim_preload_options;

// libpython's query of the locale, at `caller`: a runtime may be starting.
void pim_preload_runtime_starts(const void *caller);

// Which allocator Python was told to use instead, in words, by the environment
// or its command line; NULL: none.  `argv` is NULL if the program is not python.
const char *pim_preload_other_choice(char **argv);

// Begins to watch for the signal that asks for figures.
void pim_preload_watch_signal(void);

#endif // PIM_PRELOAD_PRELOAD_H

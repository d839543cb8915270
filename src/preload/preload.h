// preload.h -- the parts of libpimalloc-preload.so.
//
// Each calls those below it only:
//
//   start.c     the start of the process: is there a Python already?
//   locale.c    the one function of libc that is interposed, and why
//   install.c   when does a Python in this process get pimalloc?
//   signal.c    figures and a profile on a signal, or every so often
//   exit.c      what the process tells when it ends
//   profile.c   the profile that was asked for, and its files
//   refusal.c   why a Python is not served, in words
//   status.c    the exit status with PIMALLOC_LEAKS=fail
//   state.c     the options, and what became of the Python that was tried last
//   symbols.c   does a module define a function?
//   choice.c    was Python told to use another allocator?
//   children.c  PIMALLOC_CHILDREN=0
//   foreign.c   what to do in a program of another C library: nothing

#ifndef PIM_PRELOAD_PRELOAD_H
#define PIM_PRELOAD_PRELOAD_H

#include <link.h>

#include "api/env_options.h"

// Whether this process's C library is not the one that we were built for.
bool pim_preload_is_foreign(void);

// Whether the programs that this process starts are to be left alone, and the
// environment does not do so yet.
bool pim_preload_keeps_out(void);

// Whether this is such a program itself.
bool pim_preload_is_child(void);

// Then takes us and our options out of the environment.
void pim_preload_leave_environment(void);

// The options of this process; nothing is set before a Python was found, and
// they were read.
extern pim_options pim_preload_options;
void pim_preload_read_options(void);

// Whether a Python got our tables; it may have replaced them since.
extern bool pim_preload_installed;

// What pim_install() answered last.
extern int pim_preload_outcome;

// libpython's query of the locale, at `caller`: a runtime may be starting.
void pim_preload_runtime_starts(const void *caller);

// The Python `python` is in this program from its start; `other` says which
// allocator it was told to use instead, or is NULL.
void pim_preload_try_first(const void *python, const char *other);

// Look libc's functions up, so that no later call of the program's does.
void pim_preload_find_setlocale(void);
void pim_preload_find_finder(void);

// Whether CPython's function `name` is in this module itself, not in what it
// depends on.  Leaves dlerror() alone.
bool pim_preload_defines(const struct link_map *map, const char *name);

// Which allocator Python was told to use instead, in words, by the environment
// or its command line; NULL: none.  `argv` is NULL if the program is not
// python.
const char *pim_preload_other_choice(char **argv);

// A text of pimalloc_strerror() without our name in front; others as they are.
const char *pim_preload_without_name(const char *text);

// With PIMALLOC_VERBOSE=1: one line that says why this Python is not served.
void pim_preload_say_why_not(const char *why);

// The same where nobody wanted that: said also if limits or reports of leaks
// were asked for, and with PIMALLOC_LEAKS=fail the process fails.
void pim_preload_not_served(const char *why);

// Writes the figures where PIMALLOC_STATS says, as text to stderr if it says
// nothing; nothing at all if no Python was served.
void pim_preload_tell_figures(void);

// With PIMALLOC_LEAKS=fail: the exit status instead of 0 if an interpreter left
// something, or nobody could tell.
#define PIM_PRELOAD_LEAKS_STATUS 23

// A Python of this process is not served, so nobody can tell what it leaves.
void pim_preload_leaks_unknown(void);

// Has the exit status looked at, if that is asked for.
void pim_preload_watch_exit(void);

// What was left is told, so the status may be changed.
void pim_preload_leaks_told(void);

// The profile that PIMALLOC_PROFILE asks for, if it does: begins it; writes it
// to the next file, in any thread; and for the last time in this process.
void pim_preload_begin_profile(void);
void pim_preload_write_profile(void);
void pim_preload_end_profile(void);

// Begins to watch for the signal that asks for figures, and to write the profile
// every so often, if that is asked for.
void pim_preload_watch_signal(void);

#endif // PIM_PRELOAD_PRELOAD_H

// profile.h -- what a profile of memory says, whoever made it and however it is
// written down (report/profile.h).
//
// Data only.  All pointers are borrowed for the time of a call.  Frames name
// strings by number, so that a writer needs no table of its own to write each
// string once.

#ifndef PIM_HOOKS_PROFILE_H
#define PIM_HOOKS_PROFILE_H

#include "base/compiler.h"

typedef struct pim_profile_frame {
    uint32_t file;     // numbers of profile.strings
    uint32_t function; // of an empty string: not known
    uint32_t line;     // 0: not known
} pim_profile_frame;

typedef struct pim_profile_interp {
    int64_t id;          // CPython's; PIM_PROCESS_ID: none
    unsigned generation; // of the runtime, from 1: ids repeat
    const char *name;    // "": it has none
} pim_profile_interp;

// Blocks with the same stack, interpreter, domain and thread.
typedef struct pim_profile_stack {
    const uint32_t *frames; // numbers of profile.frames, newest first
    unsigned depth;
    unsigned full_depth;  // depth, or more: the oldest frames were not taken
    unsigned domain;      // enum pim_domain
    uint32_t interp;      // number of profile.interps
    int64_t thread;       // the system's id; 0: not known
    uint64_t live_blocks; // at the moment of the profile
    uint64_t live_bytes;
    uint64_t total_blocks; // since it began
    uint64_t total_bytes;
} pim_profile_stack;

typedef struct pim_profile {
    const char *const *strings; // any bytes; best UTF-8, and each once
    size_t string_count;
    const pim_profile_frame *frames;
    size_t frame_count;
    const pim_profile_interp *interps;
    size_t interp_count;
    const pim_profile_stack *stacks;
    size_t stack_count;
    uint64_t period_bytes; // mean bytes between two samples; 0: every block
    uint64_t dropped;      // samples for which there was no room
    int64_t begun_ns;      // of the real-time clock
    int64_t ended_ns;
    const char *program; // its name
    int64_t process;     // its id
} pim_profile;

#endif // PIM_HOOKS_PROFILE_H

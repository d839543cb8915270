// profile.h -- a profile of memory, and its four forms (docs/profiles.md).
//
//   profile_view.c        what all forms call interpreters and frames
//   profile_pprof.c       for pprof and what reads its files
//   profile_folded.c      a line for each stack, for scripts
//   profile_speedscope.c  for speedscope
//   profile_html.c        a page for people; profile.html is its program
//   profile_save.c        one of them into a file that is whole at any moment
//
// Each writes as it reads, with a few KiB on the stack: nothing is allocated.

#ifndef PIM_REPORT_PROFILE_H
#define PIM_REPORT_PROFILE_H

#include "hooks/profile.h"
#include "platform/out.h"

// Writes it to a file (platform/file.h): "pprof", "folded", "speedscope" or
// "html".  `earlier` is another profile of the same program, with which "html"
// compares, or NULL.  0 or -errno; -EINVAL for a format that there is not, and
// where `earlier` is not NULL and the form cannot compare.
int pim_profile_save(const pim_profile *profile, const pim_profile *earlier,
                     const char *format, const char *path);

// One form each.  What writing came to is in *out.
void pim_profile_pprof(const pim_profile *profile, pim_out *out);
void pim_profile_folded(const pim_profile *profile, pim_out *out);
void pim_profile_speedscope(const pim_profile *profile, pim_out *out);
void pim_profile_html(const pim_profile *profile, const pim_profile *earlier,
                      pim_out *out);

// --- what all forms say of a profile ---------------------------------------

// Behind a profile's frames come these, which no code has.
enum { PIM_FRAME_NONE, PIM_FRAME_OLDER, PIM_FRAMES_MORE };

typedef struct pim_profile_names {
    const char *function;
    const char *file; // "": none
    uint32_t line;    // 0: none
} pim_profile_names;

// Of a frame, or of one of those behind profile.frames.
pim_profile_names pim_profile_name(const pim_profile *profile, size_t frame);

// A stack as it is shown: one without frames has one that says so, and so has
// one whose oldest frames were not taken.  Frame 0 is the newest.
size_t pim_profile_depth(const pim_profile_stack *stack);
size_t pim_profile_frame_at(const pim_profile *profile,
                            const pim_profile_stack *stack, size_t i);

typedef struct pim_profile_label {
    char text[192];
} pim_profile_label;

// What an interpreter is called: "main", "interp 3", "name (interp 3)".  No
// two of a profile are called the same.
pim_profile_label pim_profile_interp_label(const pim_profile_interp *interp);

// What one is to know beside the figures; "" where there is nothing to say.
pim_profile_label pim_profile_say_period(const pim_profile *profile);
pim_profile_label pim_profile_say_drops(const pim_profile *profile);

#endif // PIM_REPORT_PROFILE_H

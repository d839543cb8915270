// profile_view.c -- what all forms of a profile call interpreters and frames.

#include <stdio.h>

#include "account/account.h"
#include "report/profile.h"

pim_profile_names
pim_profile_name(const pim_profile *profile, size_t frame)
{
    if (frame >= profile->frame_count) {
        bool older = frame - profile->frame_count == PIM_FRAME_OLDER;
        return (pim_profile_names){
            .function = older ? "[older frames]" : "[no Python frame]",
            .file = "",
        };
    }
    const pim_profile_frame *f = &profile->frames[frame];
    const char *function = profile->strings[f->function];
    return (pim_profile_names){
        .function = *function != '\0' ? function : "?",
        .file = profile->strings[f->file],
        .line = f->line,
    };
}

size_t
pim_profile_depth(const pim_profile_stack *stack)
{
    return stack->depth == 0
               ? 1
               : stack->depth + (size_t)(stack->full_depth > stack->depth);
}

size_t
pim_profile_frame_at(const pim_profile *profile, const pim_profile_stack *stack,
                     size_t i)
{
    return i < stack->depth
               ? stack->frames[i]
               : profile->frame_count +
                     (stack->depth == 0 ? PIM_FRAME_NONE : PIM_FRAME_OLDER);
}

pim_profile_label
pim_profile_interp_label(const pim_profile_interp *interp)
{
    pim_profile_label out;
    char number[64] = "process";
    char runtime[32] = "";
    if (interp->id != PIM_PROCESS_ID) {
        snprintf(number, sizeof(number),
                 interp->id == 0 ? "main" : "interp %lld",
                 (long long)interp->id);
    }
    if (interp->generation > 1) {
        snprintf(runtime, sizeof(runtime), ", runtime %u", interp->generation);
    }
    if (*interp->name != '\0') {
        snprintf(out.text, sizeof(out.text), "%.64s (%s%s)", interp->name,
                 number, runtime);
    } else {
        snprintf(out.text, sizeof(out.text), "%s%s", number, runtime);
    }
    return out;
}

pim_profile_label
pim_profile_say_period(const pim_profile *profile)
{
    pim_profile_label out = {"every block was recorded"};
    if (profile->period_bytes != 0) {
        snprintf(out.text, sizeof(out.text),
                 "estimated from samples, one in %s bytes",
                 pim_number_grouped(profile->period_bytes).text);
    }
    return out;
}

pim_profile_label
pim_profile_say_drops(const pim_profile *profile)
{
    pim_profile_label out = {""};
    if (profile->dropped != 0) {
        snprintf(out.text, sizeof(out.text),
                 "%s sample%s dropped for want of room, so all figures are "
                 "too low",
                 pim_number_grouped(profile->dropped).text,
                 profile->dropped == 1 ? " was" : "s were");
    }
    return out;
}

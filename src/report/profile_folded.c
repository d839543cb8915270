// profile_folded.c -- a line for each stack: its interpreter, its frames from
// the oldest on, and its live bytes.
//
//     main;<module> (app.py:9);load (app.py:4) 4096
//
// Semicolons part frames and the last space parts the number, so a name has
// neither a semicolon nor a line break in it.

#include "base/utf8.h"
#include "report/profile.h"

static void
put_name(pim_out *out, const char *text)
{
    const char *character;
    size_t bytes;
    while ((bytes = pim_utf8_next(&text, &character)) != 0) {
        unsigned char c = (unsigned char)*character;
        if (c == ';') {
            pim_out_text(out, ",");
        } else if (c < ' ' || c == 0x7f) {
            pim_out_text(out, " ");
        } else {
            pim_out_bytes(out, character, bytes);
        }
    }
}

static void
put_frame(pim_out *out, const pim_profile *profile, size_t frame)
{
    pim_profile_names names = pim_profile_name(profile, frame);
    pim_out_text(out, ";");
    put_name(out, names.function);
    if (*names.file != '\0') {
        pim_out_text(out, " (");
        put_name(out, names.file);
        pim_out_printf(out, ":%u)", names.line);
    }
}

void
pim_profile_folded(const pim_profile *profile, pim_out *out)
{
    for (size_t i = 0; i < profile->stack_count; i++) {
        const pim_profile_stack *stack = &profile->stacks[i];
        if (stack->live_bytes == 0) {
            continue;
        }
        put_name(
            out,
            pim_profile_interp_label(&profile->interps[stack->interp]).text);
        for (size_t n = pim_profile_depth(stack); n-- != 0;) {
            put_frame(out, profile, pim_profile_frame_at(profile, stack, n));
        }
        pim_out_printf(out, " %llu\n", (unsigned long long)stack->live_bytes);
    }
}

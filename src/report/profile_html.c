// profile_html.c -- a page that shows a profile, or how two of them differ.
//
// The page is profile.html, which the build makes an array, and behind it the
// data, as JSON:
//
//   {"domains": [..], "now": {..}, "then": {..} or null}
//
//   "strings": [..]
//   "frames":  [file, function, line,  file, ..]     numbers of strings
//   "interps": [name, ..]
//   "stacks":  [[interp, domain, live bytes, live blocks, total bytes, total
//                blocks, frame, ..], ..]             the newest frame first
//
// The program of the page adds up: it alone knows what is asked for.

#include "api/stats.h"
#include "report/profile.h"

// Made by src/CMakeLists.txt.
extern const unsigned char pim_profile_page[];
extern const size_t pim_profile_page_bytes;

static void
put_text(pim_out *out, const char *name, const char *text)
{
    pim_out_printf(out, "\"%s\": ", name);
    pim_out_json_string(out, text);
    pim_out_text(out, ",\n");
}

static void
put_number(pim_out *out, const char *name, int64_t n)
{
    pim_out_printf(out, "\"%s\": %lld,\n", name, (long long)n);
}

// What parts an element from the one in front.
static const char *
comma(size_t i)
{
    return i == 0 ? "" : ",\n";
}

// The last strings are those of frames that no code has.
static void
put_frames(pim_out *out, const pim_profile *profile)
{
    size_t extra = profile->frame_count;
    size_t strings = profile->string_count;
    pim_out_text(out, "\"strings\": [");
    for (size_t i = 0; i < strings; i++) {
        pim_out_json_string(out, profile->strings[i]);
        pim_out_text(out, ",\n");
    }
    for (size_t i = 0; i < PIM_FRAMES_MORE; i++) {
        pim_out_json_string(out, pim_profile_name(profile, extra + i).function);
        pim_out_text(out, ",\n");
    }
    pim_out_text(out, "\"\"],\n\"frames\": [");
    for (size_t i = 0; i < profile->frame_count; i++) {
        const pim_profile_frame *frame = &profile->frames[i];
        pim_out_printf(out, "%u,%u,%u,\n", frame->file, frame->function,
                       frame->line);
    }
    for (size_t i = 0; i < PIM_FRAMES_MORE; i++) {
        pim_out_printf(out, "%s%zu,%zu,0", comma(i), strings + PIM_FRAMES_MORE,
                       strings + i);
    }
    pim_out_text(out, "],\n");
}

static void
put_stack(pim_out *out, const pim_profile *profile,
          const pim_profile_stack *stack)
{
    pim_out_printf(out, "[%u,%u,%llu,%llu,%llu,%llu", stack->interp,
                   stack->domain, (unsigned long long)stack->live_bytes,
                   (unsigned long long)stack->live_blocks,
                   (unsigned long long)stack->total_bytes,
                   (unsigned long long)stack->total_blocks);
    for (size_t i = 0; i < pim_profile_depth(stack); i++) {
        pim_out_printf(out, ",%zu", pim_profile_frame_at(profile, stack, i));
    }
    pim_out_text(out, "]");
}

static void
put_profile(pim_out *out, const pim_profile *profile)
{
    pim_out_text(out, "{");
    put_text(out, "program", profile->program);
    put_text(out, "period", pim_profile_say_period(profile).text);
    put_text(out, "drops", pim_profile_say_drops(profile).text);
    put_number(out, "process", profile->process);
    put_number(out, "begun_ns", profile->begun_ns);
    put_number(out, "ended_ns", profile->ended_ns);
    put_frames(out, profile);
    pim_out_text(out, "\"interps\": [");
    for (size_t i = 0; i < profile->interp_count; i++) {
        pim_out_text(out, comma(i));
        pim_out_json_string(
            out, pim_profile_interp_label(&profile->interps[i]).text);
    }
    pim_out_text(out, "],\n\"stacks\": [");
    for (size_t i = 0; i < profile->stack_count; i++) {
        pim_out_text(out, comma(i));
        put_stack(out, profile, &profile->stacks[i]);
    }
    pim_out_text(out, "]}");
}

void
pim_profile_html(const pim_profile *profile, const pim_profile *earlier,
                 pim_out *out)
{
    pim_out_bytes(out, pim_profile_page, pim_profile_page_bytes);
    pim_out_text(out, "<script type=\"application/json\" id=\"data\">\n"
                      "{\"domains\": [");
    for (unsigned d = 0; d < PIMALLOC_DOMAINS; d++) {
        pim_out_text(out, comma(d));
        pim_out_json_string(out, pim_domain_names[d]);
    }
    pim_out_text(out, "],\n\"now\": ");
    put_profile(out, profile);
    pim_out_text(out, ",\n\"then\": ");
    if (earlier != NULL) {
        put_profile(out, earlier);
    } else {
        pim_out_text(out, "null");
    }
    pim_out_text(out, "}\n</script>\n</body>\n</html>\n");
}

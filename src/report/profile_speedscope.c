// profile_speedscope.c -- speedscope's JSON: of each interpreter a profile for
// each figure that it has, with one sample for each stack.
//
// All share one table of frames, which has the numbers of profile.frames.

#include "report/profile.h"

#define SCHEMA "https://www.speedscope.app/file-format-schema.json"

static const struct metric {
    const char *name;
    const char *unit;
    size_t offset;
} metrics[] = {
    {"live bytes", "bytes", offsetof(pim_profile_stack, live_bytes)},
    {"live blocks", "none", offsetof(pim_profile_stack, live_blocks)},
    {"allocated bytes", "bytes", offsetof(pim_profile_stack, total_bytes)},
    {"allocated blocks", "none", offsetof(pim_profile_stack, total_blocks)},
};

// What of a profile one of speedscope's shows.
typedef struct part {
    const pim_profile *profile;
    uint32_t interp;
    const struct metric *metric;
} part;

// 0: the stack is none of this part's.
static uint64_t
weight(const part *of, size_t i)
{
    const pim_profile_stack *stack = &of->profile->stacks[i];
    return stack->interp == of->interp
               ? *(const uint64_t *)(const void *)((const char *)stack +
                                                   of->metric->offset)
               : 0;
}

static uint64_t
sum(const part *of)
{
    uint64_t out = 0;
    for (size_t i = 0; i < of->profile->stack_count; i++) {
        out += weight(of, i);
    }
    return out;
}

static void
put_frames(const pim_profile *profile, pim_out *out)
{
    for (size_t i = 0; i < profile->frame_count + PIM_FRAMES_MORE; i++) {
        pim_profile_names names = pim_profile_name(profile, i);
        pim_out_text(out, i == 0 ? "\n{\"name\": " : ",\n{\"name\": ");
        pim_out_json_string(out, names.function);
        if (*names.file != '\0') {
            pim_out_text(out, ", \"file\": ");
            pim_out_json_string(out, names.file);
        }
        if (names.line != 0) {
            pim_out_printf(out, ", \"line\": %u", names.line);
        }
        pim_out_text(out, "}");
    }
}

static void
put_sample(const pim_profile *profile, const pim_profile_stack *stack,
           pim_out *out)
{
    size_t depth = pim_profile_depth(stack);
    for (size_t n = depth; n-- != 0;) {
        pim_out_printf(out, n + 1 == depth ? "[%zu" : ",%zu",
                       pim_profile_frame_at(profile, stack, n));
    }
    pim_out_text(out, "]");
}

static void
put_part(const part *of, pim_out *out)
{
    const pim_profile *profile = of->profile;
    const char *before = "\n";
    char name[sizeof(pim_profile_label) + 32];
    snprintf(name, sizeof(name), "%s: %s",
             pim_profile_interp_label(&profile->interps[of->interp]).text,
             of->metric->name);
    pim_out_text(out, "{\"type\": \"sampled\", \"name\": ");
    pim_out_json_string(out, name);
    pim_out_printf(out,
                   ", \"unit\": \"%s\", \"startValue\": 0, \"endValue\": %llu,"
                   "\n\"samples\": [",
                   of->metric->unit, (unsigned long long)sum(of));
    for (size_t i = 0; i < profile->stack_count; i++) {
        if (weight(of, i) != 0) {
            pim_out_text(out, before);
            put_sample(profile, &profile->stacks[i], out);
            before = ",\n";
        }
    }
    pim_out_text(out, "],\n\"weights\": [");
    before = "";
    for (size_t i = 0; i < profile->stack_count; i++) {
        if (weight(of, i) != 0) {
            pim_out_printf(out, "%s%llu", before,
                           (unsigned long long)weight(of, i));
            before = ",";
        }
    }
    pim_out_text(out, "]}");
}

void
pim_profile_speedscope(const pim_profile *profile, pim_out *out)
{
    const char *before = "\n";
    pim_out_text(out, "{\"$schema\": \"" SCHEMA "\",\n"
                      "\"exporter\": \"pimalloc\",\n\"name\": ");
    pim_out_json_string(out, profile->program);
    pim_out_text(out, ",\n\"shared\": {\"frames\": [");
    put_frames(profile, out);
    pim_out_text(out, "]},\n\"profiles\": [");
    for (uint32_t interp = 0; interp < profile->interp_count; interp++) {
        for (size_t m = 0; m < PIM_ARRAY_LEN(metrics); m++) {
            part of = {profile, interp, &metrics[m]};
            if (sum(&of) != 0) {
                pim_out_text(out, before);
                put_part(&of, out);
                before = ",\n";
            }
        }
    }
    if (*before == '\n') { // speedscope refuses a file without a profile
        pim_out_text(out,
                     "{\"type\": \"sampled\", \"name\": \"nothing\", \"unit\": "
                     "\"bytes\", \"startValue\": 0, \"endValue\": 0, "
                     "\"samples\": [], \"weights\": []}");
    }
    pim_out_text(out, "]}\n");
}

// profiles.c -- reads made-up profiles and writes them in a form.
//
//     profiles FORMAT OUTPUT PROFILE [EARLIER]
//
// Prints what pim_profile_save() returned.  A profile is numbers of 8 bytes and
// texts with their length in front, as made_up.py writes them.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/profile.h"

static FILE *input;

static void
take(void *out, size_t bytes)
{
    if (fread(out, 1, bytes, input) != bytes) {
        fprintf(stderr, "profiles: the profile is cut\n");
        exit(2);
    }
}

static uint64_t
number(void)
{
    uint64_t n;
    take(&n, sizeof(n));
    return n;
}

static void *
room(size_t count, size_t bytes)
{
    void *out = calloc(count + 1, bytes);
    if (out == NULL) {
        abort();
    }
    return out;
}

static const char *
text(void)
{
    size_t length = number();
    char *out = room(length, 1);
    take(out, length);
    return out;
}

static void
read_frame(pim_profile_frame *out)
{
    out->file = (uint32_t)number();
    out->function = (uint32_t)number();
    out->line = (uint32_t)number();
}

static void
read_interp(pim_profile_interp *out)
{
    out->id = (int64_t)number();
    out->generation = (unsigned)number();
    out->name = text();
}

static void
read_stack(pim_profile_stack *out)
{
    out->interp = (uint32_t)number();
    out->domain = (unsigned)number();
    out->thread = (int64_t)number();
    out->live_bytes = number();
    out->live_blocks = number();
    out->total_bytes = number();
    out->total_blocks = number();
    out->full_depth = (unsigned)number();
    out->depth = (unsigned)number();
    uint32_t *frames = room(out->depth, sizeof(*frames));
    for (unsigned i = 0; i < out->depth; i++) {
        frames[i] = (uint32_t)number();
    }
    out->frames = frames;
}

static void
read_strings(pim_profile *out)
{
    out->string_count = number();
    const char **strings = room(out->string_count, sizeof(*strings));
    for (size_t i = 0; i < out->string_count; i++) {
        strings[i] = text();
    }
    out->strings = strings;
}

static const pim_profile *
read_profile(const char *path)
{
    pim_profile *out = room(1, sizeof(*out));
    input = fopen(path, "rb");
    if (input == NULL) {
        perror(path);
        exit(2);
    }
    out->period_bytes = number();
    out->dropped = number();
    out->begun_ns = (int64_t)number();
    out->ended_ns = (int64_t)number();
    out->process = (int64_t)number();
    out->program = text();
    read_strings(out);
    out->frame_count = number();
    pim_profile_frame *frames = room(out->frame_count, sizeof(*frames));
    for (size_t i = 0; i < out->frame_count; i++) {
        read_frame(&frames[i]);
    }
    out->interp_count = number();
    pim_profile_interp *interps = room(out->interp_count, sizeof(*interps));
    for (size_t i = 0; i < out->interp_count; i++) {
        read_interp(&interps[i]);
    }
    out->stack_count = number();
    pim_profile_stack *stacks = room(out->stack_count, sizeof(*stacks));
    for (size_t i = 0; i < out->stack_count; i++) {
        read_stack(&stacks[i]);
    }
    out->frames = frames;
    out->interps = interps;
    out->stacks = stacks;
    fclose(input);
    return out;
}

int
main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: profiles FORMAT OUTPUT PROFILE [EARLIER]\n");
        return 2;
    }
    const pim_profile *now = read_profile(argv[3]);
    const pim_profile *then = argc > 4 ? read_profile(argv[4]) : NULL;
    printf("%d\n", pim_profile_save(now, then, argv[1], argv[2]));
    return 0;
}

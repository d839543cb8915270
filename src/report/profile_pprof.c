// profile_pprof.c -- pprof's form: a protobuf message in gzip.
//
// A message that lies within another one has its length in front.  So it is
// written twice: to nowhere first, which counts, and then in earnest.  A frame
// is a location and a function, of the same id: pprof takes functions together
// by name and file.  Strings are numbered
//
//   fixed ones | comments, program | functions of the frames that no code has
//   | interpreters | profile.strings

#include "account/account.h"
#include "api/stats.h"
#include "base/utf8.h"
#include "report/gzip.h"
#include "report/profile.h"

// --- protobuf --------------------------------------------------------------

// Fields and wire types by their numbers in profile.proto.
typedef struct proto {
    pim_gzip *gzip; // NULL: counts only
    uint64_t bytes;
} proto;

typedef void proto_body(proto *to, const void *what);

static void
put(proto *to, const void *data, size_t bytes)
{
    to->bytes += bytes;
    if (to->gzip != NULL) {
        pim_gzip_bytes(to->gzip, data, bytes);
    }
}

static void
put_varint(proto *to, uint64_t n)
{
    unsigned char byte;
    do {
        byte = (unsigned char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        put(to, &byte, 1);
        n >>= 7;
    } while (n != 0);
}

// 0 is what a field has that is not there.
static void
put_number(proto *to, unsigned field, uint64_t n)
{
    if (n != 0) {
        put_varint(to, field << 3);
        put_varint(to, n);
    }
}

static void
put_message(proto *to, unsigned field, proto_body *body, const void *what)
{
    proto counted = {NULL, 0};
    body(&counted, what);
    put_varint(to, field << 3 | 2);
    put_varint(to, counted.bytes);
    body(to, what);
}

// A message of numbers: those of field 1, 2 and so on.
typedef struct numbers {
    uint64_t of[10];
} numbers;

static void
body_numbers(proto *to, const void *what)
{
    const numbers *all = what;
    for (unsigned i = 0; i < PIM_ARRAY_LEN(all->of); i++) {
        put_number(to, i + 1, all->of[i]);
    }
}

static void
put_numbers(proto *to, unsigned field, numbers of)
{
    put_message(to, field, body_numbers, &of);
}

static void
body_string(proto *to, const void *what)
{
    const char *text = what;
    const char *character;
    size_t bytes;
    while ((bytes = pim_utf8_next(&text, &character)) != 0) {
        put(to, character, bytes);
    }
}

// --- strings ---------------------------------------------------------------

enum {
    EMPTY,
    INUSE_OBJECTS,
    INUSE_SPACE,
    ALLOC_OBJECTS,
    ALLOC_SPACE,
    SPACE,
    COUNT,
    BYTES,
    INTERP,
    INTERP_NAME,
    DOMAIN,
    THREAD,
    ID,
    UNKNOWN,
    FIXED
};

static const char *const fixed[FIXED] = {
    [EMPTY] = "",
    [INUSE_OBJECTS] = "inuse_objects",
    [INUSE_SPACE] = "inuse_space",
    [ALLOC_OBJECTS] = "alloc_objects",
    [ALLOC_SPACE] = "alloc_space",
    [SPACE] = "space",
    [COUNT] = "count",
    [BYTES] = "bytes",
    [INTERP] = "interp",
    [INTERP_NAME] = "interp_name",
    [DOMAIN] = "domain",
    [THREAD] = "thread",
    [ID] = "id",
    [UNKNOWN] = "?",
};

enum {
    DOMAINS = FIXED,
    PERIOD = DOMAINS + PIM_DOMAINS,
    DROPS,
    PROGRAM,
    MORE_FRAMES,
    INTERPS = MORE_FRAMES + PIM_FRAMES_MORE,
};

static uint64_t
interp_string(uint32_t interp)
{
    return INTERPS + (uint64_t)interp;
}

static uint64_t
profile_string(const pim_profile *profile, uint32_t string)
{
    return INTERPS + profile->interp_count + string;
}

static void
put_string(proto *to, const char *text)
{
    put_message(to, 6, body_string, text);
}

static void
put_strings(proto *to, const pim_profile *profile)
{
    for (unsigned i = 0; i < FIXED; i++) {
        put_string(to, fixed[i]);
    }
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        put_string(to, pim_domain_names[d]);
    }
    put_string(to, pim_profile_say_period(profile).text);
    put_string(to, pim_profile_say_drops(profile).text);
    put_string(to, profile->program);
    for (size_t i = 0; i < PIM_FRAMES_MORE; i++) {
        put_string(
            to, pim_profile_name(profile, profile->frame_count + i).function);
    }
    for (size_t i = 0; i < profile->interp_count; i++) {
        put_string(to, pim_profile_interp_label(&profile->interps[i]).text);
    }
    for (size_t i = 0; i < profile->string_count; i++) {
        put_string(to, profile->strings[i]);
    }
}

// --- samples, locations, functions -----------------------------------------

// What a body is of.
typedef struct place {
    const pim_profile *profile;
    size_t number;
} place;

static uint64_t
frame_id(size_t frame)
{
    return frame + 1;
}

static void
body_stack(proto *to, const void *what)
{
    const place *at = what;
    const pim_profile_stack *stack = &at->profile->stacks[at->number];
    for (size_t i = 0; i < pim_profile_depth(stack); i++) {
        put_varint(to, frame_id(pim_profile_frame_at(at->profile, stack, i)));
    }
}

static void
body_values(proto *to, const void *what)
{
    const pim_profile_stack *stack = what;
    put_varint(to, stack->live_blocks);
    put_varint(to, stack->live_bytes);
    put_varint(to, stack->total_blocks);
    put_varint(to, stack->total_bytes);
}

// Labels are key, string, number, unit.  A number has a unit, or pprof would
// overlook a 0.
static void
body_sample(proto *to, const void *what)
{
    const place *at = what;
    const pim_profile_stack *stack = &at->profile->stacks[at->number];
    int64_t interp = at->profile->interps[stack->interp].id;
    put_message(to, 1, body_stack, at);
    put_message(to, 2, body_values, stack);
    if (interp != PIM_PROCESS_ID) {
        put_numbers(to, 3, (numbers){{INTERP, 0, (uint64_t)interp, ID}});
    }
    put_numbers(to, 3, (numbers){{INTERP_NAME, interp_string(stack->interp)}});
    put_numbers(to, 3, (numbers){{DOMAIN, DOMAINS + stack->domain}});
    if (stack->thread != 0) {
        put_numbers(to, 3, (numbers){{THREAD, 0, (uint64_t)stack->thread, ID}});
    }
}

static void
body_location(proto *to, const void *what)
{
    const place *at = what;
    uint64_t id = frame_id(at->number);
    uint32_t line = pim_profile_name(at->profile, at->number).line;
    put_number(to, 1, id);
    put_number(to, 2, 1); // the mapping
    put_numbers(to, 4, (numbers){{id, line}});
}

// Without a name of the system's: pprof would take one that is the same for one
// of C++ and cut what is between < and >, <module> for example.
static void
put_function(proto *to, const pim_profile *profile, size_t frame)
{
    uint64_t id = frame_id(frame);
    if (frame >= profile->frame_count) {
        uint64_t name = MORE_FRAMES + frame - profile->frame_count;
        put_numbers(to, 5, (numbers){{id, name}});
        return;
    }
    const pim_profile_frame *f = &profile->frames[frame];
    bool is_known = *profile->strings[f->function] != '\0';
    uint64_t name = is_known ? profile_string(profile, f->function) : UNKNOWN;
    put_numbers(to, 5,
                (numbers){{id, name, 0, profile_string(profile, f->file)}});
}

static void
put_profile(proto *to, const pim_profile *profile)
{
    put_numbers(to, 1, (numbers){{INUSE_OBJECTS, COUNT}});
    put_numbers(to, 1, (numbers){{INUSE_SPACE, BYTES}});
    put_numbers(to, 1, (numbers){{ALLOC_OBJECTS, COUNT}});
    put_numbers(to, 1, (numbers){{ALLOC_SPACE, BYTES}});
    for (size_t i = 0; i < profile->stack_count; i++) {
        put_message(to, 2, body_sample, &(place){profile, i});
    }
    // It has functions, files and lines.
    put_numbers(to, 3, (numbers){{1, [4] = PROGRAM, [6] = 1, 1, 1}});
    for (size_t i = 0; i < profile->frame_count + PIM_FRAMES_MORE; i++) {
        put_message(to, 4, body_location, &(place){profile, i});
        put_function(to, profile, i);
    }
    put_strings(to, profile);
    put_number(to, 9, (uint64_t)profile->ended_ns);
    put_number(to, 10, (uint64_t)(profile->ended_ns - profile->begun_ns));
    put_numbers(to, 11, (numbers){{SPACE, BYTES}});
    // Go says 1 if every block was recorded.
    put_number(to, 12, profile->period_bytes != 0 ? profile->period_bytes : 1);
    put_number(to, 13, PERIOD);
    if (profile->dropped != 0) {
        put_number(to, 13, DROPS);
    }
    put_number(to, 14, INUSE_SPACE);
}

void
pim_profile_pprof(const pim_profile *profile, pim_out *out)
{
    pim_gzip gzip;
    pim_gzip_open(&gzip, out);
    put_profile(&(proto){&gzip, 0}, profile);
    pim_gzip_close(&gzip);
}

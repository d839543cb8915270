// frame_layout.c -- where the fields of frames and code objects lie.
//
// 3.12 has no way to ask: constants, which hold for its release and debug builds.
// From 3.13 on CPython's runtime begins with a table of offsets for debuggers
// (_Py_DebugOffsets).  What the table says is right for the build that it is in.
// Where in the table a field stands differs from version to version, but not
// within one.
//
//     | cookie | version | free-threaded | ... | thread state | ... | frame |
//     code object | ...
//
// The table does not know the first traceable instruction: that is an int, and
// then a pointer comes before the bytecode in all builds with a GIL.

#include "hooks/frame_layout.h"

#include <string.h>

#define COOKIE "xdebugpy"
#define TSTATE_BYTES_MAX 4096

#define MINOR(hexversion) ((hexversion) >> 16)
#define MINOR_3_12 0x030cu

// From an int to the bytecode: itself, what aligns the pointer, the pointer.
#define FIRST_TRACEABLE_BEFORE 16

typedef struct table_head {
    char cookie[8];
    uint64_t version;
    uint64_t free_threaded;
} table_head;

typedef struct tstate_fields {
    uint64_t size, prev, next, interp, current_frame;
} tstate_fields;

typedef struct frame_fields {
    uint64_t size, previous, executable, instr_ptr, localsplus, owner;
} frame_fields;

typedef struct code_fields {
    uint64_t size, filename, name, qualname, linetable, firstlineno, argcount,
        localsplusnames, localspluskinds, bytecode;
} code_fields;

// Where the three stand in the table.
static const struct place {
    unsigned minor;
    uint16_t tstate, frame, code;
} places[] = {
    {0x030d, 152, 224, 272},
    {0x030e, 176, 248, 312},
    {0x030f, 176, 312, 376},
};

// The same in 3.12.1 and, as CPython keeps its ABI, in all of 3.12.
static const pim_frame_layout of_3_12 = {
    .newest = 56,
    .is_two_steps = true,
    .code = 0,
    .previous = 8,
    .instr = 56,
    .owner = 70,
    .file = 112,
    .function = 128,
    .line_table = 136,
    .first_line = 68,
    .first_traceable = 176,
    .bytecode = 192,
};

// What the table says, or 0 with *sane false where a field would lie outside.
static uint16_t
within(uint64_t offset, size_t bytes, uint64_t size, uint64_t most, bool *sane)
{
    *sane = *sane && size <= most && offset < size && bytes <= size - offset;
    return *sane ? (uint16_t)offset : 0;
}

static bool
read_fields(const char *table, const struct place *place, pim_frame_layout *out)
{
    const size_t word = sizeof(void *);
    tstate_fields tstate;
    frame_fields frame;
    code_fields code;
    bool sane = true;
    memcpy(&tstate, table + place->tstate, sizeof(tstate));
    memcpy(&frame, table + place->frame, sizeof(frame));
    memcpy(&code, table + place->code, sizeof(code));
    out->newest = within(tstate.current_frame, word, tstate.size,
                         TSTATE_BYTES_MAX, &sane);
#define IN_FRAME(field, bytes)                                                 \
    within(frame.field, bytes, frame.size, PIM_FRAME_BYTES_MAX, &sane)
    out->code = IN_FRAME(executable, word);
    out->previous = IN_FRAME(previous, word);
    out->instr = IN_FRAME(instr_ptr, word);
    out->owner = IN_FRAME(owner, 1);
#define IN_CODE(field, bytes)                                                  \
    within(code.field, bytes, code.size, PIM_CODE_BYTES_MAX, &sane)
    out->file = IN_CODE(filename, word);
    out->function = IN_CODE(qualname, word);
    out->line_table = IN_CODE(linetable, word);
    out->first_line = IN_CODE(firstlineno, sizeof(int));
    out->bytecode = IN_CODE(bytecode, 1);
    sane = sane && out->bytecode >= FIRST_TRACEABLE_BEFORE;
    out->first_traceable = (uint16_t)(out->bytecode - FIRST_TRACEABLE_BEFORE);
    return sane;
}

static const struct place *
place_of(unsigned long hexversion)
{
    for (size_t i = 0; i < PIM_ARRAY_LEN(places); i++) {
        if (places[i].minor == MINOR(hexversion)) {
            return &places[i];
        }
    }
    return NULL;
}

const char *
pim_frame_layout_find(const pim_py_api *py, pim_frame_layout *out)
{
    const struct place *place = place_of(py->hexversion);
    const table_head *head = py->runtime;
    *out = (pim_frame_layout){.is_two_steps = false};
    if (py->free_threaded) {
        return "this is a free-threaded build of CPython";
    }
    if (MINOR(py->hexversion) == MINOR_3_12) {
        *out = of_3_12;
        return NULL;
    }
    if (place == NULL) {
        return "this version of CPython is not known";
    }
    if (head == NULL) {
        return "CPython hides its runtime, which has a table of offsets";
    }
    if (memcmp(head->cookie, COOKIE, sizeof(head->cookie)) != 0) {
        return "CPython's runtime does not begin with a table of offsets";
    }
    if (head->version != py->hexversion) {
        return "CPython's table of offsets is another version's";
    }
    if (head->free_threaded != 0) {
        return "CPython's table of offsets is a free-threaded build's";
    }
    if (!read_fields(py->runtime, place, out)) {
        return "CPython's table of offsets is not as in its other builds";
    }
    return NULL;
}

// stacks.c -- see stacks.h.

#include "hooks/stacks.h"

#include <string.h>

#include "base/bits.h"
#include "hooks/frames.h"
#include "hooks/intern.h"
#include "hooks/side.h"

// Longer names are cut.
#define TEXT_BYTES 1024

static _Atomic uint32_t deaths;

void
pim_code_died(void)
{
    pim_add_relaxed(&deaths, 1);
}

// --- places ------------------------------------------------------------------

// `text` has room for a word of NULs behind its `length` bytes.
static uint32_t
intern_text(const char *text, size_t length)
{
    uint32_t words[TEXT_BYTES / sizeof(uint32_t) + 1] = {0};
    memcpy(words, text, length);
    return pim_intern(PIM_TEXT, words,
                      (unsigned)(length / sizeof(uint32_t) + 1));
}

static uint32_t
intern_place(uint32_t file, uint32_t function, int line)
{
    uint32_t words[PIM_PLACE_WORDS] = {file, function, (uint32_t)line};
    return file != 0 && function != 0
               ? pim_intern(PIM_PLACE, words, PIM_PLACE_WORDS)
               : 0;
}

static PIM_NOINLINE uint32_t
name_place(const pim_frame *frame)
{
    char text[TEXT_BYTES];
    uint32_t file =
        intern_text(text, pim_frames_file(frame->code, text, sizeof(text)));
    uint32_t function =
        intern_text(text, pim_frames_function(frame->code, text, sizeof(text)));
    return intern_place(file, function, pim_frames_line(frame));
}

PIM_INLINE size_t
slot_of(const void *instr)
{
    return (size_t)pim_hash((uintptr_t)instr, __builtin_ctz(PIM_PLACES_KEPT));
}

// *stays: the place is that of the instruction until some code dies.
PIM_INLINE uint32_t
place_of(pim_stack_memory *memory, const pim_frame *frame, uint32_t now,
         bool *stays)
{
    pim_kept_place *kept = &memory->places[slot_of(frame->instr)];
    *stays = true;
    if (PIM_UNLIKELY(kept->instr != frame->instr || kept->deaths != now)) {
        *stays = pim_side_mark_code(frame->code);
        uint32_t place = name_place(frame);
        if (!*stays || place == 0) {
            return place;
        }
        *kept = (pim_kept_place){
            .instr = frame->instr, .place = place, .deaths = now};
    }
    return kept->place;
}

// --- stacks ------------------------------------------------------------------

uint32_t
pim_stack_unknown(void)
{
    static const char file[] = "<unknown>";
    uint32_t place = intern_place(intern_text(file, sizeof(file) - 1),
                                  intern_text("", 0), 0);
    uint32_t words[] = {1, place};
    return place != 0 ? pim_intern(PIM_STACK, words, 2) : 0;
}

static bool
is_last(const pim_stack_memory *memory, const pim_frame *frames, unsigned n,
        unsigned total, uint32_t now)
{
    bool same = memory->stack != 0 && memory->deaths == now &&
                memory->count == n && memory->total == total;
    for (unsigned i = 0; i < n && same; i++) {
        same = memory->instr[i] == frames[i].instr;
    }
    return same;
}

static PIM_NOINLINE uint32_t
name_stack(pim_stack_memory *memory, const pim_frame *frames, unsigned n,
           unsigned total, uint32_t now)
{
    uint32_t words[1 + PIMALLOC_TRACE_FRAMES_MAX];
    bool all_stay = true;
    words[0] = total;
    memory->stack = 0;
    for (unsigned i = 0; i < n; i++) {
        bool stays;
        words[1 + i] = place_of(memory, &frames[i], now, &stays);
        memory->instr[i] = frames[i].instr;
        all_stay = all_stay && stays;
        if (words[1 + i] == 0) {
            return 0;
        }
    }
    uint32_t stack = pim_intern(PIM_STACK, words, 1 + n);
    memory->stack = all_stay ? stack : 0;
    memory->deaths = now;
    memory->count = n;
    memory->total = total;
    return stack;
}

// Where one frame is kept of each, most lines have one stack.
static uint32_t
stack_of_one(pim_stack_memory *memory, const pim_frame *frame, unsigned total,
             uint32_t now)
{
    pim_kept_place *kept = &memory->places[slot_of(frame->instr)];
    if (PIM_LIKELY(kept->instr == frame->instr && kept->deaths == now &&
                   kept->stack != 0 && kept->total == total)) {
        return kept->stack;
    }
    bool stays;
    uint32_t words[] = {total, place_of(memory, frame, now, &stays)};
    uint32_t stack = words[1] != 0 ? pim_intern(PIM_STACK, words, 2) : 0;
    if (stays && words[1] != 0) {
        kept->stack = stack;
        kept->total = total;
    }
    return stack;
}

uint32_t
pim_stack_of(pim_stack_memory *memory, const void *tstate, unsigned frames)
{
    pim_frame found[PIMALLOC_TRACE_FRAMES_MAX];
    unsigned total;
    unsigned n = pim_frames_walk(tstate, found, frames, &total);
    uint32_t now = pim_load_relaxed(&deaths);
    return n == 0   ? pim_stack_unknown()
           : n == 1 ? stack_of_one(memory, &found[0], total, now)
           : is_last(memory, found, n, total, now)
               ? memory->stack
               : name_stack(memory, found, n, total, now);
}

uint32_t
pim_stack_fresh(const void *tstate, unsigned frames)
{
    pim_frame found[PIMALLOC_TRACE_FRAMES_MAX];
    uint32_t words[1 + PIMALLOC_TRACE_FRAMES_MAX];
    unsigned n = pim_frames_walk(tstate, found, frames, &words[0]);
    for (unsigned i = 0; i < n; i++) {
        words[1 + i] = name_place(&found[i]);
        if (words[1 + i] == 0) {
            return 0;
        }
    }
    return n == 0 ? pim_stack_unknown() : pim_intern(PIM_STACK, words, 1 + n);
}

size_t
pimalloc_trace_stack(uint32_t stack, pimalloc_frame *out, size_t capacity,
                     size_t *total)
{
    unsigned n;
    if (stack == 0) { // of a block that was not found
        return 0;
    }
    const uint32_t *words = pim_interned(stack, &n);
    for (unsigned i = 0; i + 1 < n && i < capacity; i++) {
        const uint32_t *place = pim_interned(words[1 + i], NULL);
        out[i] = (pimalloc_frame){
            .file = (const char *)pim_interned(place[0], NULL),
            .function = (const char *)pim_interned(place[1], NULL),
            .line = (int)place[2]};
    }
    if (total != NULL) {
        *total = words[0];
    }
    return n - 1;
}

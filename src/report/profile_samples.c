// profile_samples.c -- the samples of a running profile as a pim_profile, and
// the public functions that write it.
//
//   sums -> numbers of stacks -> places -> texts      (hooks/intern.h)
//   each kind sorted, each once; a number's index is found by bisection
//
// All of it lies in maps of its own: what is made here may be about a process
// that has no other memory left, and is no part of its profile.

#define _GNU_SOURCE

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account/account.h"
#include "hooks/intern.h"
#include "hooks/sample.h"
#include "hooks/stacks.h"
#include "platform/gate_lock.h"
#include "platform/os.h"
#include "platform/threads.h"
#include "report/profile.h"

// Numbers, sorted, each once.
typedef struct number_set {
    uint32_t *at;
    size_t count;
} number_set;

// A map, which holds everything below.
typedef struct collected {
    char *map;
    size_t bytes;
    size_t used;
    pim_profile profile;
} collected;

static PIM_LOCK(lock);
static collected remembered; // by pimalloc_profile_mark(); under the lock

// --- memory ------------------------------------------------------------------

static void *
take(collected *c, size_t bytes)
{
    bytes = pim_align_up(bytes, PIM_ALIGNMENT);
    if (bytes > c->bytes - c->used) {
        return NULL;
    }
    void *memory = c->map + c->used;
    c->used += bytes;
    return memory;
}

static void
drop(collected *c)
{
    if (c->map != NULL) {
        pim_os->unmap(c->map, c->bytes);
    }
    *c = (collected){.map = NULL};
}

// --- numbers -----------------------------------------------------------------

static int
compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void
make_set(number_set *set)
{
    size_t n = 0;
    qsort(set->at, set->count, sizeof(*set->at), compare);
    for (size_t i = 0; i < set->count; i++) {
        if (n == 0 || set->at[n - 1] != set->at[i]) {
            set->at[n++] = set->at[i];
        }
    }
    set->count = n;
}

static uint32_t
index_in(const number_set *set, uint32_t number)
{
    const uint32_t *found =
        bsearch(&number, set->at, set->count, sizeof(*set->at), compare);
    return found == NULL ? 0 : (uint32_t)(found - set->at);
}

// --- parts of a profile ------------------------------------------------------

static bool
collect_places(collected *c, const pim_sample_sum *sums, size_t count,
               number_set *places)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned words;
        pim_interned(sums[i].stack, &words);
        n += words - 1;
    }
    *places = (number_set){.at = take(c, n * sizeof(uint32_t))};
    for (size_t i = 0; i < count && places->at != NULL; i++) {
        unsigned words;
        const uint32_t *stack = pim_interned(sums[i].stack, &words);
        for (unsigned w = 1; w < words; w++) {
            places->at[places->count++] = stack[w];
        }
    }
    if (places->at == NULL) {
        return false;
    }
    make_set(places);
    return true;
}

static bool
collect_frames(collected *c, const number_set *places)
{
    size_t n = places->count;
    number_set texts = {.at = take(c, 2 * n * sizeof(uint32_t)),
                        .count = 2 * n};
    pim_profile_frame *frames = take(c, n * sizeof(*frames));
    if (texts.at == NULL || frames == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t *place = pim_interned(places->at[i], NULL);
        texts.at[2 * i] = place[0];
        texts.at[2 * i + 1] = place[1];
    }
    make_set(&texts);
    const char **strings = take(c, texts.count * sizeof(*strings));
    for (size_t i = 0; i < texts.count && strings != NULL; i++) {
        strings[i] = (const char *)pim_interned(texts.at[i], NULL);
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t *place = pim_interned(places->at[i], NULL);
        frames[i] = (pim_profile_frame){index_in(&texts, place[0]),
                                        index_in(&texts, place[1]), place[2]};
    }
    c->profile.strings = strings;
    c->profile.string_count = texts.count;
    c->profile.frames = frames;
    c->profile.frame_count = n;
    return strings != NULL;
}

static uint32_t
interp_of(pim_profile_interp *interps, size_t *count, const pim_sample_sum *sum)
{
    size_t i = 0;
    while (i < *count && (interps[i].id != sum->interp ||
                          interps[i].generation != sum->generation)) {
        i++;
    }
    if (i == *count) {
        interps[(*count)++] = (pim_profile_interp){
            .id = sum->interp, .generation = sum->generation, .name = ""};
    }
    return (uint32_t)i;
}

static uint64_t
rounded(double value)
{
    return value > 0 ? (uint64_t)(value + 0.5) : 0;
}

static bool
collect_stacks(collected *c, const pim_sample_sum *sums, size_t count,
               const number_set *places)
{
    pim_profile *p = &c->profile;
    pim_profile_stack *stacks = take(c, count * sizeof(*stacks));
    pim_profile_interp *interps = take(c, count * sizeof(*interps));
    uint32_t unknown = pim_stack_unknown();
    for (size_t i = 0; i < count && stacks != NULL && interps != NULL; i++) {
        unsigned words;
        const pim_sample_sum *sum = &sums[i];
        const uint32_t *stack = pim_interned(sum->stack, &words);
        uint32_t *frames = take(c, (words - 1) * sizeof(*frames));
        if (frames == NULL) {
            return false;
        }
        for (unsigned w = 1; w < words; w++) {
            frames[w - 1] = index_in(places, stack[w]);
        }
        stacks[i] = (pim_profile_stack){
            .frames = frames,
            .depth = sum->stack != unknown ? words - 1 : 0,
            .full_depth = sum->stack != unknown ? stack[0] : 0,
            .domain = sum->domain,
            .interp = interp_of(interps, &p->interp_count, sum),
            .thread = sum->thread,
            .live_blocks = rounded(sum->live_blocks),
            .live_bytes = rounded(sum->live_bytes),
            .total_blocks = rounded(sum->total_blocks),
            .total_bytes = rounded(sum->total_bytes),
        };
    }
    p->stacks = stacks;
    p->stack_count = count;
    p->interps = interps;
    return stacks != NULL && interps != NULL;
}

// How much all of it takes at most.
static size_t
room_for(const pim_sample_sum *sums, size_t count)
{
    size_t words_in_all = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned words;
        pim_interned(sums[i].stack, &words);
        words_in_all += words;
    }
    return count * (sizeof(pim_profile_stack) + sizeof(pim_profile_interp) +
                    PIM_ALIGNMENT) +
           words_in_all * (4 * sizeof(uint32_t) + sizeof(pim_profile_frame) +
                           2 * sizeof(char *)) +
           8 * PIM_ALIGNMENT;
}

static int
collect_from(collected *c, const pim_sample_sum *sums,
             const pim_sample_state *state)
{
    number_set places;
    c->bytes = pim_align_up(room_for(sums, state->count), pim_os_page_size());
    c->map = pim_os->map(c->bytes);
    if (c->map == NULL || !collect_places(c, sums, state->count, &places) ||
        !collect_frames(c, &places) ||
        !collect_stacks(c, sums, state->count, &places)) {
        drop(c);
        return -ENOMEM;
    }
    c->profile.period_bytes = state->period;
    c->profile.dropped = state->dropped;
    c->profile.begun_ns = state->begun_ns;
    c->profile.ended_ns = pim_real_time_ns();
    c->profile.program = program_invocation_short_name;
    c->profile.process = getpid();
    return 0;
}

static int
collect(collected *c)
{
    pim_sample_state state;
    *c = (collected){.map = NULL};
    size_t bytes = PIM_SAMPLE_SUMS * sizeof(pim_sample_sum);
    pim_sample_sum *sums = pim_os->map(bytes);
    if (sums == NULL) {
        return -ENOMEM;
    }
    int err =
        pim_sample_copy(sums, &state) ? collect_from(c, sums, &state) : -ESRCH;
    pim_os->unmap(sums, bytes);
    return err;
}

// --- public ------------------------------------------------------------------

// What was remembered is the caller's from now on, and `next` is.
static collected
exchange_remembered(collected next)
{
    pim_lock_enter(&lock);
    collected before = remembered;
    remembered = next;
    pim_lock_leave(&lock);
    return before;
}

// Who saves has it for a while, in which it may have been replaced.
static void
give_back(collected *earlier)
{
    pim_lock_enter(&lock);
    bool replaced = remembered.map != NULL;
    if (!replaced) {
        remembered = *earlier;
    }
    pim_lock_leave(&lock);
    if (replaced) {
        drop(earlier);
    }
}

int
pimalloc_profile_save(const char *path, int format)
{
    static const char *const names[] = {
        [PIMALLOC_PPROF] = "pprof",
        [PIMALLOC_FOLDED] = "folded",
        [PIMALLOC_SPEEDSCOPE] = "speedscope",
        [PIMALLOC_HTML] = "html",
    };
    if (path == NULL || format < 0 || (size_t)format >= PIM_ARRAY_LEN(names)) {
        return -EINVAL;
    }
    collected now;
    int err = collect(&now);
    if (err != 0) {
        return err;
    }
    collected earlier = exchange_remembered((collected){.map = NULL});
    bool compares = format == PIMALLOC_HTML && earlier.map != NULL &&
                    earlier.profile.begun_ns == now.profile.begun_ns;
    err = pim_profile_save(&now.profile, compares ? &earlier.profile : NULL,
                           names[format], path);
    give_back(&earlier);
    drop(&now);
    return err;
}

int
pimalloc_profile_mark(void)
{
    collected now;
    int err = collect(&now);
    if (err == 0) {
        collected before = exchange_remembered(now);
        drop(&before);
    }
    return err;
}

// sample.c -- see sample.h.

#include "hooks/sample.h"

#include <errno.h>
#include <string.h>

#include "arena/region.h"
#include "base/bits.h"
#include "base/keep_errno.h"
#include "cpython/symbols.h"
#include "heap/sampled.h"
#include "hooks/frames.h"
#include "hooks/intern.h"
#include "hooks/poisson.h"
#include "hooks/stacks.h"
#include "platform/gate_lock.h"
#include "platform/os.h"
#include "platform/threads.h"

#define PERIOD_MIN 1024
#define PERIOD_MAX ((uint64_t)1 << 40)

// A mark: the sum's number, which profile it is of, and the block's size.
#define SIZE_BITS 36
#define PROFILE_BITS 12
#define PROFILES (1u << PROFILE_BITS)
#define SIZE_MASK ((UINT64_C(1) << SIZE_BITS) - 1)

_Static_assert(SIZE_BITS + PROFILE_BITS + 16 <= 64,
               "the numbers of all sums fit");

#define SLOT_BITS 17
#define SLOTS (1u << SLOT_BITS)

typedef struct sums {
    pim_sample_sum sum[PIM_SAMPLE_SUMS];
    uint32_t slot[SLOTS]; // numbers of sums, from 1; by hash
} sums;

static PIM_LOCK(lock); // guards all but what is atomic
static sums *table;    // stays, once it is there
static size_t count;
static bool running;
static unsigned profile; // 1 to PROFILES - 1, so marks of the last are known
static unsigned frames;
static int64_t begun_ns;
static _Atomic uint64_t period;
static _Atomic uint64_t seed;
static _Atomic uint64_t draws;
static uint64_t samples;
static uint64_t dropped;

// --- sums --------------------------------------------------------------------

static bool
is_like(const pim_sample_sum *a, const pim_sample_sum *b)
{
    return a->stack == b->stack && a->interp == b->interp &&
           a->generation == b->generation && a->domain == b->domain &&
           a->thread == b->thread;
}

// The number of a sum, from 1; 0: no room.  Under the lock.
static uint32_t
find_sum(const pim_sample_sum *like)
{
    uint64_t key = like->stack ^ (uint64_t)like->interp << 32 ^
                   (uint64_t)like->thread << 16 ^ like->domain << 30;
    size_t i = (size_t)pim_hash(key, SLOT_BITS);
    uint32_t number;
    while ((number = table->slot[i]) != 0 &&
           !is_like(&table->sum[number - 1], like)) {
        i = (i + 1) & (SLOTS - 1);
    }
    if (number == 0 && count < PIM_SAMPLE_SUMS) {
        table->sum[count++] = *like;
        number = (uint32_t)count;
        table->slot[i] = number;
    }
    return number;
}

// --- what the heaps call -----------------------------------------------------

static uint64_t
gap(void)
{
    uint64_t n = pim_add_relaxed(&draws, 1);
    return pim_poisson_gap(pim_load_relaxed(&period),
                           pim_random_at(pim_load_relaxed(&seed), n));
}

static uint64_t
add_sample(const pim_sample_sum *like, size_t bytes)
{
    uint64_t mark = 0;
    bytes = bytes < SIZE_MASK ? bytes : SIZE_MASK; // as its free will say
    pim_lock_enter(&lock);
    uint32_t number = 0;
    if (running) {
        samples++;
        number = like->stack != 0 ? find_sum(like) : 0;
        dropped += number == 0;
    }
    if (number != 0) {
        pim_sample_sum *sum = &table->sum[number - 1];
        double blocks = pim_poisson_weight(pim_load_relaxed(&period), bytes);
        sum->live_blocks += blocks;
        sum->live_bytes += blocks * (double)bytes;
        sum->total_blocks += blocks;
        sum->total_bytes += blocks * (double)bytes;
        mark = ((uint64_t)(number - 1) << PROFILE_BITS | profile) << SIZE_BITS |
               bytes;
    }
    pim_lock_leave(&lock);
    return mark;
}

static uint64_t
take(const pim_heap *heap, unsigned domain, size_t bytes)
{
    PIM_KEEP_ERRNO;
    const void *tstate = pim_py.tstate();
    pim_sample_sum like = {
        .stack = tstate != NULL ? pim_stack_fresh(tstate, frames)
                                : pim_stack_unknown(),
        .thread = (uint32_t)pim_thread_id(),
        .interp = heap->id,
        .generation = heap->generation,
        .domain = domain,
    };
    return add_sample(&like, bytes);
}

static void
freed(uint64_t mark)
{
    uint64_t bytes = mark & SIZE_MASK;
    size_t number = mark >> (SIZE_BITS + PROFILE_BITS);
    pim_lock_enter(&lock);
    if (running && (mark >> SIZE_BITS) % PROFILES == profile &&
        number < count) {
        pim_sample_sum *sum = &table->sum[number];
        double blocks = pim_poisson_weight(pim_load_relaxed(&period), bytes);
        sum->live_blocks -= blocks;
        sum->live_bytes -= blocks * (double)bytes;
    }
    pim_lock_leave(&lock);
}

static const pim_sampler sampler = {take, freed};

// --- start and stop ----------------------------------------------------------

// An empty profile.  Under the lock.
static void
begin(void)
{
    memset(table->slot, 0, sizeof(table->slot));
    count = 0;
    samples = 0;
    dropped = 0;
    profile = profile % (PROFILES - 1) + 1;
    begun_ns = pim_real_time_ns();
}

void
pim_sample_seed(uint64_t value)
{
    pim_store_relaxed(&seed, value);
}

// What the parent noted is not the child's, nor are its random numbers, or what
// all children say together were less sure than it looks.
static void
in_child(bool adrift)
{
    running = running && !adrift;
    if (running) {
        begin();
        pim_sample_seed(
            pim_random_at(pim_load_relaxed(&seed), (uint64_t)pim_process_id()));
    }
}

static int
begin_with(uint64_t mean, unsigned depth)
{
    if (running) {
        return -EALREADY;
    }
    if (table == NULL) {
        table = pim_os->map(sizeof(*table));
    }
    if (table == NULL) {
        return -ENOMEM;
    }
    begin();
    frames = depth;
    pim_store_relaxed(&period, mean);
    pim_store_relaxed(&draws, 0);
    running = true;
    pim_store_release(&pim_gate_on_fork_child[PIM_CHILD_SAMPLES], in_child);
    pim_store_release(&pim_sampler_now, &sampler);
    atomic_fetch_add(&pim_sample_epoch, 1);
    pim_store_release(&pim_sample_gap, gap);
    return 0;
}

int
pimalloc_profile_start(uint64_t mean, unsigned depth)
{
    mean = mean != 0 ? mean : PIMALLOC_PROFILE_PERIOD;
    depth = depth != 0 ? depth : PIMALLOC_PROFILE_FRAMES;
    if (mean < PERIOD_MIN || mean > PERIOD_MAX ||
        depth > PIMALLOC_TRACE_FRAMES_MAX) {
        return -EINVAL;
    }
    if (pim_region.base == NULL || pim_gate_is_adrift()) {
        return -ENOENT;
    }
    if (!PIM_ACCOUNTS) {
        return -ENOTSUP;
    }
    if (pim_load_relaxed(&seed) == 0) {
        pim_sample_seed((uint64_t)pim_real_time_ns());
    }
    pim_frames_start();
    pim_intern_keep(); // stacks of samples
    pim_lock_enter(&lock);
    int err = begin_with(mean, depth);
    pim_lock_leave(&lock);
    return err;
}

int
pimalloc_profile_stop(void)
{
    pim_lock_enter(&lock);
    bool was = running;
    running = false;
    pim_store_release(&pim_sample_gap, NULL);
    pim_lock_leave(&lock);
    return was ? 0 : -ESRCH;
}

// --- questions ---------------------------------------------------------------

const char *
pimalloc_profile_why(void)
{
    return pim_frames_refusal();
}

bool
pim_sample_copy(pim_sample_sum *out, pim_sample_state *state)
{
    pim_lock_enter(&lock);
    *state = (pim_sample_state){
        .count = count,
        .period = pim_load_relaxed(&period),
        .samples = samples,
        .dropped = dropped,
        .begun_ns = begun_ns,
    };
    bool there = table != NULL;
    if (there && out != NULL) {
        memcpy(out, table->sum, count * sizeof(*out));
    }
    pim_lock_leave(&lock);
    return there;
}

int
pimalloc_profile_get(pimalloc_profile_figures *out)
{
    if (out == NULL || out->size != sizeof(*out)) {
        return -EINVAL;
    }
    double live = 0;
    double total = 0;
    pim_lock_enter(&lock);
    for (size_t i = 0; i < count; i++) {
        live += table->sum[i].live_bytes;
        total += table->sum[i].total_bytes;
    }
    *out = (pimalloc_profile_figures){
        .size = sizeof(*out),
        .period = running ? pim_load_relaxed(&period) : 0,
        .samples = samples,
        .dropped = dropped,
        .live_bytes = live > 0 ? (uint64_t)live : 0,
        .total_bytes = (uint64_t)total,
    };
    pim_lock_leave(&lock);
    return 0;
}

int
pimalloc_profile_walk(pimalloc_trace_visitor visit, void *arg)
{
    int result = 0;
    pim_lock_enter(&lock);
    bool there = table != NULL;
    for (size_t i = 0; i < count && result == 0; i++) {
        const pim_sample_sum *sum = &table->sum[i];
        pimalloc_traced block = {
            .size = sizeof(block),
            .interp = sum->interp,
            .domain = (int)sum->domain,
            .bytes = sum->live_bytes > 0 ? (uint64_t)sum->live_bytes : 0,
            .stack = sum->stack};
        result = block.bytes != 0 ? visit(arg, &block) : 0;
    }
    pim_lock_leave(&lock);
    return there ? result : -ESRCH;
}

// reference.c -- the model's blocks and accounts.
//
// Which heap a block belongs to after a realloc follows from the contract: a
// block that stays where it is keeps its heap, one that moves belongs to the
// caller's.

#include "support/reference.h"

#include <stdlib.h>

#include "account/ledger.h"
#include "arena/region.h"
#include "domain/domain.h"
#include "heap/large.h"
#include "interp/figures.h"
#include "interp/roster.h"
#include "support/core.h"

// --- patterns --------------------------------------------------------------

// Bytes that are looked at: all of a small block, of a large one both ends and
// some of each system page.
static size_t
next_looked_at(size_t at, size_t size)
{
    bool dense = at < 600 || at + 64 >= size;
    size_t next = at + (dense ? 1 : 1021);
    return next + 64 > size && !dense && size > 64 ? size - 64 : next;
}

static unsigned char
pattern_at(const ref_block *block, size_t at)
{
    return (unsigned char)(block->pattern + at * 31);
}

static void
fill(const ref_block *block, size_t from)
{
    for (size_t at = 0; at < block->size;
         at = next_looked_at(at, block->size)) {
        if (at >= from) {
            block->start[at] = pattern_at(block, at);
        }
    }
}

// What a block of `was` bytes held must still be in its first `size` bytes.
static void
check(const ref_block *block, const unsigned char *start, size_t size)
{
    for (size_t at = 0; at < block->size;
         at = next_looked_at(at, block->size)) {
        if (at < size) {
            EXPECT_EQ(start[at], pattern_at(block, at));
        }
    }
}

// --- accounts --------------------------------------------------------------

// Above the spans the allocator is believed.
static size_t
usable_of(const void *start, size_t size)
{
    if (!pim_region_contains(start)) {
        size_t usable = pim_large_usable(start);
        EXPECT_GE(usable, size);
        return usable;
    }
    size_t block = pim_page_of(start)->block_size;
    EXPECT_LE(size, block);
    EXPECT_LE(block, PIM_SPAN_MAX);
    EXPECT(block <= PIM_SMALL_MAX || block % PIM_UNIT_SIZE == 0);
    return block;
}

// From where a block lies and how long it is.
static size_t
class_of(const void *start, size_t usable)
{
    return !pim_region_contains(start)   ? PIM_CLASS_LARGE
           : usable % PIM_UNIT_SIZE == 0 ? PIM_CLASS_SPAN
                                         : pim_size_class(usable);
}

static ref_class *
class_at(reference *ref, const ref_block *block)
{
    ref_usage *u = &ref->heaps[block->heap].domain[block->domain];
    return &u->by_class[class_of(block->start, block->usable)];
}

static void
grow(reference *ref, const ref_block *block, uint64_t extra_at_peak)
{
    ref_usage *u = &ref->heaps[block->heap].domain[block->domain];
    u->live_bytes += block->usable;
    u->live_blocks++;
    ref->live_bytes += block->usable;
    if (u->peak_bytes < u->live_bytes) {
        u->peak_bytes = u->live_bytes;
    }
    if (u->peak_bytes_max < u->live_bytes + extra_at_peak) {
        u->peak_bytes_max = u->live_bytes + extra_at_peak;
    }
    ref_class *c = class_at(ref, block);
    c->live_blocks++;
    c->live_bytes += block->usable;
    if (c->peak_blocks < c->live_blocks) {
        c->peak_blocks = c->live_blocks;
    }
}

// A block was allocated: it is in no class that had it before.
static void
count_new(reference *ref, const ref_block *block)
{
    ref_class *c = class_at(ref, block);
    c->total_blocks++;
    c->total_bytes += block->usable;
}

// A block was resized; `before` is gone by now.
static void
count_resized(reference *ref, const ref_block *before, const ref_block *block,
              bool moved)
{
    ref_class *c = class_at(ref, block);
    size_t was = class_of(before->start, before->usable);
    size_t is = class_of(block->start, block->usable);
    uint64_t grown =
        block->usable > before->usable ? block->usable - before->usable : 0;
    bool may_be_remapped = moved && was == PIM_CLASS_LARGE && is == was &&
                           before->heap == block->heap;
    if (moved && !may_be_remapped) {
        count_new(ref, block);
    } else {
        c->total_bytes += grown;
    }
    if (may_be_remapped) {
        c->total_blocks_more++;
        c->total_bytes_more += block->usable - grown;
    }
    if (moved && was == is) {
        c->peak_blocks_more = 1; // for a moment both were there
    }
}

static void
shrink(reference *ref, const ref_block *block, bool is_free)
{
    ref_heap *heap = &ref->heaps[block->heap];
    ref_usage *u = &heap->domain[block->domain];
    EXPECT_GE(u->live_bytes, block->usable);
    u->live_bytes -= block->usable;
    u->live_blocks--;
    ref->live_bytes -= block->usable;
    ref_class *c = class_at(ref, block);
    EXPECT_GE(c->live_blocks, 1);
    EXPECT_GE(c->live_bytes, block->usable);
    c->live_blocks--;
    c->live_bytes -= block->usable;
    if (is_free && block->heap != REF_PROCESS && block->heap != ref->current) {
        heap->remote_frees++;
    }
}

// --- requests ----------------------------------------------------------------

// What went before in this process stays in the figures.
static void
start_from(ref_heap *heap, int64_t id)
{
    pim_figures f = fake_figures(id);
    *heap = (ref_heap){.id = id, .remote_frees = f.remote_frees, .used = true};
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        heap->domain[PIM_INDEX_DOMAIN(d)] =
            (ref_usage){.live_bytes = f.by_domain[d].live_bytes,
                        .live_blocks = f.by_domain[d].live_blocks,
                        .peak_bytes = f.by_domain[d].peak_bytes,
                        .peak_bytes_max = f.by_domain[d].peak_bytes};
        pim_class_figures now;
        EXPECT(pim_registry_class_figures(id, d, &now));
        for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
            pim_usage u = pim_class_usage(&now, c);
            heap->domain[PIM_INDEX_DOMAIN(d)].by_class[c] =
                (ref_class){.live_blocks = u.live_blocks,
                            .live_bytes = u.live_bytes,
                            .peak_blocks = u.peak_blocks,
                            .total_blocks = u.total_blocks,
                            .total_bytes = u.total_bytes};
        }
    }
    if (id == PIM_PROCESS_ID) {
        pim_usage raw;
        pim_raw_figures(&raw);
        heap->domain[PIM_RAW].live_bytes += raw.live_bytes;
        heap->domain[PIM_RAW].live_blocks += raw.live_blocks;
    }
}

// Main's heap is known by now.
void
ref_open(reference *ref, uint64_t seed, size_t capacity)
{
    *ref = (reference){.random = random_from(seed), .capacity = capacity};
    ref->blocks = calloc(capacity, sizeof(*ref->blocks));
    EXPECT_NOT_NULL(ref->blocks);
    start_from(&ref->heaps[REF_PROCESS], PIM_PROCESS_ID);
    start_from(&ref->heaps[REF_MAIN], FAKE_MAIN);
}

void
ref_close(reference *ref)
{
    free(ref->blocks);
}

void
ref_malloc(reference *ref, unsigned domain, size_t size, bool zero,
           bool may_fail)
{
    EXPECT_LT(ref->count, ref->capacity);
    const core_domain *d = &core_domains[domain];
    unsigned char *start =
        zero ? d->calloc(NULL, 1, size) : d->malloc(NULL, size);
    if (start == NULL) {
        EXPECT(may_fail);
        ref->refused++;
        return;
    }
    EXPECT_EQ((uintptr_t)start % PIM_ALIGNMENT, 0);
    ref_block *block = &ref->blocks[ref->count++];
    *block = (ref_block){.start = start,
                         .size = size,
                         .heap = (uint8_t)ref->current,
                         .domain = (uint8_t)domain,
                         .pattern = (uint8_t)random_next(&ref->random)};
    block->usable = usable_of(start, size);
    if (pim_region_contains(start)) {
        EXPECT_EQ(block->usable, core_block_bytes(size));
    }
    for (size_t at = 0; zero && at < size; at = next_looked_at(at, size)) {
        EXPECT_EQ(start[at], 0);
    }
    ref->heaps[ref->current].used = true;
    grow(ref, block, 0);
    count_new(ref, block);
    fill(block, 0);
}

void
ref_realloc(reference *ref, size_t index, size_t size, bool may_fail)
{
    ref_block *block = &ref->blocks[index];
    check(block, block->start, block->size);
    unsigned char *start =
        core_domains[block->domain].realloc(NULL, block->start, size);
    if (start == NULL) {
        EXPECT(may_fail);
        ref->refused++;
        check(block, block->start, block->size);
        return;
    }
    EXPECT_EQ((uintptr_t)start % PIM_ALIGNMENT, 0);
    check(block, start, size);
    bool moved = start != block->start;
    ref_block before = *block;
    shrink(ref, &before, moved);
    block->start = start;
    block->size = size;
    if (moved) {
        block->heap = (uint8_t)ref->current;
    }
    block->usable = usable_of(start, size);
    // Copied, both count for a moment; a map that the system moves does not.
    grow(ref, block, moved && block->heap == before.heap ? before.usable : 0);
    count_resized(ref, &before, block, moved);
    if (moved) {
        ref->heaps[ref->current].used = true;
    }
    block->pattern = (uint8_t)random_next(&ref->random);
    fill(block, 0);
}

void
ref_free(reference *ref, size_t index)
{
    ref_block *block = &ref->blocks[index];
    check(block, block->start, block->size);
    core_domains[block->domain].free(NULL, block->start);
    shrink(ref, block, true);
    *block = ref->blocks[--ref->count];
}

void
ref_begin(reference *ref, unsigned heap, int64_t id)
{
    ref->heaps[heap] = (ref_heap){.id = id};
}

// By how many blocks the peak of a class may be missed.
static uint64_t
missed_of_class(size_t size_class)
{
    return size_class < PIM_CLASSES ? pim_classes[size_class].capacity : 0;
}

static void
compare_classes(const ref_heap *heap)
{
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        pim_class_figures now;
        if (heap->id == PIM_PROCESS_ID && d == RAW) {
            continue; // what is nobody's is in no class
        }
        EXPECT(pim_registry_class_figures(heap->id, d, &now));
        for (size_t i = 0; i < PIM_ACCOUNT_CLASSES; i++) {
            const ref_class *c = &heap->domain[PIM_INDEX_DOMAIN(d)].by_class[i];
            pim_usage u = pim_class_usage(&now, i);
            EXPECT_EQ(u.live_blocks, c->live_blocks);
            EXPECT_EQ(u.live_bytes, c->live_bytes);
            EXPECT_GE(u.total_blocks, c->total_blocks);
            EXPECT_LE(u.total_blocks, c->total_blocks + c->total_blocks_more);
            EXPECT_GE(u.total_bytes, c->total_bytes);
            EXPECT_LE(u.total_bytes, c->total_bytes + c->total_bytes_more);
            EXPECT_GE(u.peak_blocks + missed_of_class(i), c->peak_blocks);
            if (heap->id != PIM_PROCESS_ID && heap->remote_frees == 0) {
                EXPECT_LE(u.peak_blocks, c->peak_blocks + c->peak_blocks_more);
            }
        }
    }
}

static void
hand_over(ref_class *to, const ref_class *from)
{
    to->live_blocks += from->live_blocks;
    to->live_bytes += from->live_bytes;
    if (to->peak_blocks < to->live_blocks) {
        to->peak_blocks = to->live_blocks;
    }
}

void
ref_end(reference *ref, unsigned heap)
{
    ref_heap *ended = &ref->heaps[heap];
    ref_heap *process = &ref->heaps[REF_PROCESS];
    if (ended->used) {
        compare_classes(ended); // its last account
    }
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        ref_usage *to = &process->domain[d];
        to->live_bytes += ended->domain[d].live_bytes;
        to->live_blocks += ended->domain[d].live_blocks;
        if (to->peak_bytes < to->live_bytes) {
            to->peak_bytes = to->live_bytes;
        }
        for (size_t c = 0; c < PIM_ACCOUNT_CLASSES; c++) {
            hand_over(&to->by_class[c], &ended->domain[d].by_class[c]);
        }
    }
    for (size_t i = 0; i < ref->count; i++) {
        if (ref->blocks[i].heap == heap) {
            ref->blocks[i].heap = REF_PROCESS;
        }
    }
    *ended = (ref_heap){0};
}

// --- comparison ----------------------------------------------------------------

// Beside what ended interpreters left there are blocks of nobody's, the states of
// the interpreters that live among them.
static void
compare_process_raw(const pim_figures *f, const ref_usage *expected)
{
    pim_usage raw;
    pim_raw_figures(&raw);
    raw.live_bytes += f->by_domain[RAW].live_bytes;
    raw.live_blocks += f->by_domain[RAW].live_blocks;
    EXPECT_GE(raw.live_bytes, expected->live_bytes);
    EXPECT_GE(raw.live_blocks, expected->live_blocks);
    EXPECT_LE(raw.live_blocks, expected->live_blocks + REF_HEAPS);
}

static void
compare_heap(const ref_heap *heap)
{
    pim_figures f = fake_figures(heap->id);
    uint64_t small = 0;
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        const ref_usage *u = &heap->domain[PIM_INDEX_DOMAIN(d)];
        if (heap->id == PIM_PROCESS_ID && d == RAW) {
            compare_process_raw(&f, u);
            continue;
        }
        EXPECT_EQ(f.by_domain[d].live_bytes, u->live_bytes);
        EXPECT_EQ(f.by_domain[d].live_blocks, u->live_blocks);
        EXPECT_GE(f.by_domain[d].peak_bytes + PIM_CREDIT_MIN,
                  u->peak_bytes - u->peak_bytes / PIM_CREDIT_SHARE);
        EXPECT_GE(f.by_domain[d].peak_blocks, u->live_blocks);
        if (heap->id != PIM_PROCESS_ID && heap->remote_frees == 0) {
            EXPECT_LE(f.by_domain[d].peak_bytes, u->peak_bytes_max);
        }
        small += u->live_bytes;
    }
    compare_classes(heap);
    if (heap->id != PIM_PROCESS_ID) {
        EXPECT_EQ(f.remote_frees, heap->remote_frees);
        EXPECT_GE(f.committed_bytes, small);
    }
    EXPECT_LE(f.arenas * PIM_UNIT_SIZE, PIM_ARENA_SIZE * (f.pages + 1000));
}

void
ref_compare(const reference *ref)
{
    for (unsigned i = 0; i < REF_HEAPS; i++) {
        if (ref->heaps[i].used) {
            compare_heap(&ref->heaps[i]);
        }
    }
}

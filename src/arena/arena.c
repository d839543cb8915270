// arena.c -- the units of one arena, as sets of bits.
//
// A run is aligned to its length (1, 4 or 16 units), so it never straddles a
// word and a free one is found with a few shifts.  Warm units are preferred to
// ones that the system would have to fault in.
//
// Invariants:
//   ARENA-1  aged is part of dirty, and part of free.
//   ARENA-2  the descriptors of free units are unused (state and back are 0).

#include "arena/arena.h"

#include <string.h>

#include "platform/os.h"

// A bit for each aligned run of `units` whose bits are all set.
static uint64_t
whole_runs(uint64_t bits, unsigned units)
{
    if (units >= 4) {
        bits &= bits >> 1;
        bits &= bits >> 2;
        bits &= 0x1111111111111111;
    }
    if (units == 16) {
        bits &= bits >> 4;
        bits &= bits >> 8;
        bits &= 0x0001000100010001;
    }
    return bits;
}

static uint64_t
run_mask(unsigned bit, unsigned units)
{
    return (((uint64_t)1 << units) - 1) << bit;
}

// The position of a run in the sets.
typedef struct run_position {
    unsigned word;
    uint64_t mask;
    unsigned unit; // from the arena's start
} run_position;

static run_position
position_of(const pim_arena *arena, const pim_page *first, unsigned units)
{
    size_t unit = (size_t)(first - pim_arena_pages(arena));
    return (run_position){.word = (unsigned)unit / 64,
                          .mask = run_mask((unsigned)unit % 64, units),
                          .unit = (unsigned)unit};
}

unsigned
pim_unit_set_count(const pim_unit_set *set)
{
    unsigned n = 0;
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        n += pim_popcount(set->word[i]);
    }
    return n;
}

pim_fit
pim_arena_fit(const pim_arena *arena)
{
    pim_fit fit = PIM_FIT_NONE;
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        uint64_t free = arena->free.word[i];
        if (whole_runs(free, 16) != 0) {
            return PIM_FIT_16;
        }
        if (whole_runs(free, 4) != 0) {
            fit = PIM_FIT_4;
        } else if (free != 0 && fit == PIM_FIT_NONE) {
            fit = PIM_FIT_1;
        }
    }
    return fit;
}

// A page of which nearly all is live would slow its heir down and serve little.
bool
pim_page_is_worth_inheriting(const pim_page *page)
{
    return page->state == PIM_PAGE_SEALED &&
           pim_page_used(page) <= page->capacity - page->capacity / 8u;
}

size_t
pim_arena_room(const pim_arena *arena)
{
    size_t bytes = pim_unit_set_count(&arena->free) * PIM_UNIT_SIZE;
    const pim_page *first = pim_arena_pages(arena);
    for (unsigned unit = 0; unit < PIM_ARENA_UNITS; unit++) {
        const pim_page *page = first + unit;
        if (pim_page_is_worth_inheriting(page)) {
            bytes += (size_t)(page->capacity - pim_page_used(page)) *
                     page->block_size;
        }
    }
    return bytes;
}

// What of a sealed page may be resident and holds no live block.
static size_t
idle_in_page(const pim_arena *arena, const pim_page *page)
{
    run_position at =
        position_of(arena, page, pim_classes[page->size_class].units);
    size_t dirty =
        pim_popcount(arena->dirty.word[at.word] & at.mask) * PIM_UNIT_SIZE;
    size_t used = (size_t)pim_page_used(page) * page->block_size;
    return dirty > used ? dirty - used : 0;
}

size_t
pim_arena_idle(const pim_arena *arena)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        bytes += pim_popcount(arena->free.word[i] & arena->dirty.word[i]) *
                 PIM_UNIT_SIZE;
    }
    const pim_page *first = pim_arena_pages(arena);
    for (unsigned unit = 0; unit < PIM_ARENA_UNITS; unit++) {
        if (pim_page_is_worth_inheriting(first + unit)) {
            bytes += idle_in_page(arena, first + unit);
        }
    }
    return bytes;
}

pim_page *
pim_arena_take_run(pim_arena *arena, unsigned units)
{
    unsigned word = PIM_MAP_WORDS;
    uint64_t runs = 0;
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        uint64_t free = whole_runs(arena->free.word[i], units);
        uint64_t warm = free & arena->dirty.word[i]; // its first unit is
        if (warm != 0) {
            word = i;
            runs = warm;
            break;
        }
        if (free != 0 && word == PIM_MAP_WORDS) {
            word = i;
            runs = free;
        }
    }
    if (word == PIM_MAP_WORDS) {
        return NULL;
    }
    unsigned bit = pim_lowest_bit(runs);
    uint64_t mask = run_mask(bit, units);
    arena->free.word[word] &= ~mask;
    arena->aged.word[word] &= ~mask;

    pim_page *first = pim_arena_pages(arena) + word * 64 + bit;
    for (unsigned i = 1; i < units; i++) {
        first[i].back = (uint8_t)i;
    }
    return first;
}

unsigned
pim_arena_touch(pim_page *page, size_t from, size_t to)
{
    pim_arena *arena = pim_arena_of(page);
    size_t last = (to - 1) / PIM_UNIT_SIZE;
    run_position at = position_of(arena, page + from / PIM_UNIT_SIZE,
                                  (unsigned)(last - from / PIM_UNIT_SIZE) + 1);
    uint64_t clean = at.mask & ~arena->dirty.word[at.word];
    arena->dirty.word[at.word] |= clean;
    return pim_popcount(clean);
}

// Where a system page spans units, none can go alone: the system would round the
// range up and take the neighbours' memory too.
static bool
units_are_whole_pages(void)
{
    return PIM_UNIT_SIZE % pim_os_page_size() == 0;
}

static void
close_descriptors(pim_page *first, unsigned units)
{
    for (unsigned i = 0; i < units; i++) {
        first[i].back = 0;
        first[i].state = PIM_PAGE_UNUSED;
        pim_store_relaxed(&first[i].owner, 0);
    }
}

void
pim_arena_free_run(pim_arena *arena, pim_page *first, unsigned units)
{
    run_position at = position_of(arena, first, units);
    PIM_ASSERT((arena->free.word[at.word] & at.mask) == 0);
    close_descriptors(first, units);
    arena->free.word[at.word] |= at.mask;
}

void
pim_arena_return_run(pim_arena *arena, pim_page *first, unsigned units)
{
    run_position at = position_of(arena, first, units);
    close_descriptors(first, units);
    if (units_are_whole_pages()) {
        pim_os->reset(pim_arena_start(arena) + at.unit * PIM_UNIT_SIZE,
                      units * PIM_UNIT_SIZE);
    }
    pim_or_release(&arena->returned[at.word], at.mask);
}

void
pim_arena_take_returned(pim_arena *arena)
{
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        if (pim_load_relaxed(&arena->returned[i]) != 0) {
            uint64_t units = pim_exchange(&arena->returned[i], 0);
            arena->free.word[i] |= units;
            arena->dirty.word[i] &= ~units;
        }
    }
}

// Resets the memory of the units of one word, a system call per stretch.
static size_t
reset_units(const pim_arena *arena, unsigned word, uint64_t units)
{
    size_t bytes = 0;
    while (units != 0) {
        unsigned from = pim_lowest_bit(units);
        uint64_t gaps = ~(units >> from);
        unsigned n = gaps == 0 ? 64 - from : pim_lowest_bit(gaps);
        size_t length = n * PIM_UNIT_SIZE;
        pim_os->reset(pim_arena_start(arena) +
                          (word * 64 + from) * PIM_UNIT_SIZE,
                      length);
        bytes += length;
        units &= n == 64 ? 0 : ~run_mask(from, n);
    }
    return bytes;
}

size_t
pim_arena_purge(pim_arena *arena, bool all)
{
    if (!units_are_whole_pages() && !pim_arena_is_empty(arena)) {
        return 0;
    }
    size_t bytes = 0;
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        uint64_t idle = arena->free.word[i] & arena->dirty.word[i];
        uint64_t units = all ? idle : idle & arena->aged.word[i];
        bytes += reset_units(arena, i, units);
        arena->dirty.word[i] &= ~units;
        arena->aged.word[i] = idle & ~units;
    }
    return bytes;
}

// arena.c -- the units of one arena, as sets of bits.
//
// A span begins at a multiple of its length, rounded up to a power of two and
// 16 at most, so a free one is found with a few shifts, and has room to grow;
// but anywhere where address space is limited, for what lies between such spans
// is lost.  Dirty units are preferred to ones that the system would have to
// fault in.
//
// Invariants:
//   ARENA-1  aged is part of dirty, and part of free.
//   ARENA-2  the descriptors of free units are unused (state and offset_units
//            are 0).
//   ARENA-3  units that are not dirty read as zero, as long as
//            pim_arena_clean_is_zero() says so.

#include "arena/arena.h"

#include <string.h>

#include "platform/os.h"
#include "platform/scarcity.h"

pim_region_info pim_region;

// The units [unit, unit + units), which may straddle a word.
static pim_unit_set
range(unsigned unit, unsigned units)
{
    pim_unit_set set;
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        unsigned from = unit > 64 * i ? unit - 64 * i : 0;
        unsigned to = unit + units > 64 * i ? unit + units - 64 * i : 0;
        uint64_t below_to = to >= 64 ? UINT64_MAX : ((uint64_t)1 << to) - 1;
        uint64_t below_from =
            from >= 64 ? UINT64_MAX : ((uint64_t)1 << from) - 1;
        set.word[i] = below_to & ~below_from;
    }
    return set;
}

static pim_unit_set
units_of(const pim_arena *arena, const pim_page *first, unsigned units)
{
    return range((unsigned)(first - pim_arena_pages(arena)), units);
}

// Which of the aligned stretches of `units` (1, 2, 4, 8 or 16) are free: a bit
// at the first unit of each.
static uint64_t
free_stretches(uint64_t bits, unsigned units)
{
    static const uint64_t aligned[] = {UINT64_MAX, 0x5555555555555555,
                                       0x1111111111111111, 0x0101010101010101,
                                       0x0001000100010001};
    for (unsigned n = 1; n < units; n *= 2) {
        bits &= bits >> n;
    }
    return bits & aligned[pim_log2_floor(units)];
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
        if (free != 0 && fit == PIM_FIT_NONE) {
            fit = PIM_FIT_1;
        }
        if (arena->dense) {
            continue;
        }
        if (free_stretches(free, 16) != 0) {
            return PIM_FIT_16;
        }
        if (free_stretches(free, 4) != 0) {
            fit = PIM_FIT_4;
        }
    }
    return fit;
}

// A page of which nearly all is live would slow its reclaimer down and serve
// little.
bool
pim_page_is_worth_reclaiming(const pim_page *page)
{
    return page->state == PIM_PAGE_ABANDONED && page->capacity > 1 &&
           pim_page_used(page) + (page->capacity + 7u) / 8 <= page->capacity;
}

size_t
pim_arena_room(const pim_arena *arena)
{
    size_t bytes = pim_unit_set_count(&arena->free) * PIM_UNIT_SIZE;
    const pim_page *first = pim_arena_pages(arena);
    for (unsigned unit = 0; unit < PIM_ARENA_UNITS; unit++) {
        const pim_page *page = first + unit;
        if (pim_page_is_worth_reclaiming(page)) {
            bytes += (size_t)(page->capacity - pim_page_used(page)) *
                     page->block_size;
        }
    }
    return bytes;
}

// What of an abandoned page may be resident and holds no live block.
static size_t
idle_in_page(const pim_arena *arena, const pim_page *page)
{
    size_t dirty =
        pim_arena_dirty(arena, page, pim_page_units(page)) * PIM_UNIT_SIZE;
    size_t used = (size_t)pim_page_used(page) * page->block_size;
    return dirty > used ? dirty - used : 0;
}

unsigned
pim_arena_idle_units(const pim_arena *arena)
{
    unsigned n = 0;
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        n += pim_popcount(arena->free.word[i] & arena->dirty.word[i]);
    }
    return n;
}

size_t
pim_arena_idle(const pim_arena *arena)
{
    size_t bytes = pim_arena_idle_units(arena) * PIM_UNIT_SIZE;
    const pim_page *first = pim_arena_pages(arena);
    for (unsigned unit = 0; unit < PIM_ARENA_UNITS; unit++) {
        if (pim_page_is_worth_reclaiming(first + unit)) {
            bytes += idle_in_page(arena, first + unit);
        }
    }
    return bytes;
}

// Where a span of up to 8 units can be; PIM_ARENA_UNITS: nowhere.
static unsigned
find_short_span(const pim_arena *arena, unsigned units, bool dirty_only)
{
    unsigned found = PIM_ARENA_UNITS;
    unsigned stretch = units == 1 ? 1 : 2u << pim_log2_floor(units - 1);
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        uint64_t starts = free_stretches(arena->free.word[i], stretch);
        uint64_t dirty_starts =
            starts & arena->dirty.word[i]; // its first unit is
        if (dirty_starts != 0) {
            return i * 64 + pim_lowest_bit(dirty_starts);
        }
        if (starts != 0 && found == PIM_ARENA_UNITS && !dirty_only) {
            found = i * 64 + pim_lowest_bit(starts);
        }
    }
    return found;
}

// The same for longer ones.
static unsigned
find_long_span(const pim_arena *arena, unsigned units, bool dirty_only)
{
    unsigned found = PIM_ARENA_UNITS;
    unsigned length = 0; // free units up to here, in stretches of 16
    for (unsigned unit = 0; unit < PIM_ARENA_UNITS; unit += 16) {
        uint64_t free = arena->free.word[unit / 64] >> unit % 64;
        length = (uint16_t)free == UINT16_MAX ? length + 16 : 0;
        if (length < units) {
            continue;
        }
        unsigned first = unit + 16 - (units + 15) / 16 * 16;
        if ((arena->dirty.word[first / 64] >> first % 64 & 1) != 0) {
            return first;
        }
        found = found == PIM_ARENA_UNITS && !dirty_only ? first : found;
    }
    return found;
}

// Any span of free units.
static unsigned
find_anywhere(const pim_arena *arena, unsigned units, bool dirty_only)
{
    __extension__ typedef unsigned __int128 both_words;
    _Static_assert(PIM_MAP_WORDS == 2, "fit into one number");
    both_words starts =
        (both_words)arena->free.word[1] << 64 | arena->free.word[0];
    for (unsigned have = 1; have < units;) {
        unsigned step = units - have < have ? units - have : have;
        starts &= starts >> step;
        have += step;
    }
    unsigned found = PIM_ARENA_UNITS;
    for (unsigned i = PIM_MAP_WORDS; i-- != 0;) {
        uint64_t word = (uint64_t)(starts >> 64 * i);
        if (word != 0 && !dirty_only) {
            found = i * 64 + pim_lowest_bit(word);
        }
    }
    for (unsigned i = PIM_MAP_WORDS; i-- != 0;) {
        uint64_t dirty_starts =
            (uint64_t)(starts >> 64 * i) & arena->dirty.word[i];
        if (dirty_starts != 0) {
            found = i * 64 + pim_lowest_bit(dirty_starts);
        }
    }
    return found;
}

pim_page *
pim_arena_take_span(pim_arena *arena, unsigned units, bool dirty_only)
{
    unsigned unit = pim_is_limited() ? find_anywhere(arena, units, dirty_only)
                    : units <= 8     ? find_short_span(arena, units, dirty_only)
                                     : find_long_span(arena, units, dirty_only);
    if (unit == PIM_ARENA_UNITS) {
        return NULL;
    }
    pim_unit_set span = range(unit, units);
    pim_page *first = pim_arena_pages(arena) + unit;
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        arena->free.word[i] &= ~span.word[i];
        arena->aged.word[i] &= ~span.word[i];
    }
    for (unsigned i = 1; i < units; i++) {
        first[i].offset_units = (uint8_t)i;
    }
    return first;
}

bool
pim_arena_extend_span(pim_arena *arena, pim_page *first, unsigned units,
                      unsigned more)
{
    unsigned end = (unsigned)(first - pim_arena_pages(arena)) + units;
    if (end + more > PIM_ARENA_UNITS) {
        return false;
    }
    pim_unit_set span = range(end, more);
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        if ((span.word[i] & ~arena->free.word[i]) != 0) {
            return false;
        }
    }
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        arena->free.word[i] &= ~span.word[i];
        arena->aged.word[i] &= ~span.word[i];
    }
    for (unsigned i = units; i < units + more; i++) {
        first[i].offset_units = (uint8_t)i;
    }
    return true;
}

unsigned
pim_arena_dirty(const pim_arena *arena, const pim_page *first, unsigned units)
{
    pim_unit_set span = units_of(arena, first, units);
    unsigned n = 0;
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        n += pim_popcount(span.word[i] & arena->dirty.word[i]);
    }
    return n;
}

unsigned
pim_arena_touch(pim_page *page, size_t from, size_t to)
{
    pim_arena *arena = pim_arena_of(page);
    size_t first = from / PIM_UNIT_SIZE;
    size_t last = (to - 1) / PIM_UNIT_SIZE;
    pim_unit_set span =
        units_of(arena, page + first, (unsigned)(last - first) + 1);
    unsigned n = 0;
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        uint64_t clean = span.word[i] & ~arena->dirty.word[i];
        arena->dirty.word[i] |= clean;
        n += pim_popcount(clean);
    }
    return n;
}

// Where a system page spans units, none can go alone: the system would round
// the range up and take the neighbours' memory too.
bool
pim_arena_units_are_pages(void)
{
    return PIM_UNIT_SIZE % pim_os_page_size() == 0;
}

static _Atomic bool reset_failed;

bool
pim_arena_clean_is_zero(void)
{
    return pim_arena_units_are_pages() && !pim_load_relaxed(&reset_failed);
}

void
pim_arena_reset(void *start, size_t bytes)
{
    if (pim_os->reset(start, bytes) != 0) {
        pim_store_relaxed(&reset_failed, true);
    }
}

void
pim_arena_expect_clean(const pim_page *first, unsigned units)
{
    pim_arena *arena = pim_arena_of(first);
    pim_unit_set span = units_of(arena, first, units);
    for (unsigned i = 0; pim_arena_units_are_pages() && i < PIM_MAP_WORDS;
         i++) {
        arena->dirty.word[i] &= ~span.word[i];
    }
}

static void
close_descriptors(pim_page *first, unsigned units)
{
    for (unsigned i = 0; i < units; i++) {
        first[i].offset_units = 0;
        first[i].state = PIM_PAGE_UNUSED;
        pim_store_relaxed(&first[i].owner, 0);
    }
}

void
pim_arena_free_span(pim_arena *arena, pim_page *first, unsigned units)
{
    pim_unit_set span = units_of(arena, first, units);
    close_descriptors(first, units);
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        PIM_ASSERT((arena->free.word[i] & span.word[i]) == 0);
        arena->free.word[i] |= span.word[i];
    }
}

void
pim_arena_return_span(pim_arena *arena, pim_page *first, unsigned units)
{
    pim_unit_set span = units_of(arena, first, units);
    close_descriptors(first, units);
    if (pim_arena_units_are_pages()) {
        pim_arena_reset(pim_page_start(first), units * PIM_UNIT_SIZE);
    }
    for (unsigned i = 0; i < PIM_MAP_WORDS; i++) {
        if (span.word[i] != 0) {
            pim_or_release(&arena->returned[i], span.word[i]);
        }
    }
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
        pim_arena_reset(pim_arena_start(arena) +
                            (word * 64 + from) * PIM_UNIT_SIZE,
                        length);
        bytes += length;
        units &= n == 64 ? 0 : ~((((uint64_t)1 << n) - 1) << from);
    }
    return bytes;
}

size_t
pim_arena_purge(pim_arena *arena, bool all)
{
    if (!pim_arena_units_are_pages() && !pim_arena_is_empty(arena)) {
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

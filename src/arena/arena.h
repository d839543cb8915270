// arena.h -- where pages come from: arenas, carved into units.
//
//   main stretch   | arena | arena | arena | -> grows upward, arena by arena
//   elsewhere        | arena |   | arena |      where the system had room
//   arena            | unit 0 | unit 1 | ...    owned by one heap at a time
//   table            | descriptor of unit 0 |   out of line, same order
//
// No address space is taken before it is needed (space.h).  "Is it ours?" is
// one subtraction and one compare for all but the arenas elsewhere, and the
// descriptor of an address is found by a shift, wherever it lies.

#ifndef PIM_ARENA_ARENA_H
#define PIM_ARENA_ARENA_H

#include "page/page.h"

#define PIM_MAP_WORDS (PIM_ARENA_UNITS / 64)

// Sets of units, one bit each.
typedef struct pim_unit_set {
    uint64_t word[PIM_MAP_WORDS];
} pim_unit_set;

// How long a span an arena can still serve: the index of the list it
// is in.
typedef enum pim_fit {
    PIM_FIT_NONE = 0,
    PIM_FIT_1,
    PIM_FIT_4,
    PIM_FIT_16,
    PIM_FITS
} pim_fit;

PIM_INLINE pim_fit
pim_fit_for(unsigned units)
{
    return units == 1 ? PIM_FIT_1 : units <= 4 ? PIM_FIT_4 : PIM_FIT_16;
}

// The set of what ended interpreters left has two lists instead: arenas with
// room enough to be worth reclaiming, and the others.
#define PIM_LIST_ABANDONED PIM_FITS
#define PIM_LIST_SPENT (PIM_FITS + 1)
#define PIM_ARENA_LISTS (PIM_FITS + 2)

// "Owner" as in page.h, of the heap that owns the arena.
typedef struct pim_arena {
    _Atomic(struct pim_arena_set *) set; // NULL while no heap has it; changes
                                         // under the process heap's lock
    struct pim_arena *next;              // owner: neighbours in the set's list
    struct pim_arena *prev;
    pim_unit_set free;  // owner: units not in use
    pim_unit_set dirty; // owner: units that may hold memory of the system
    pim_unit_set aged;  // owner: free and dirty since the last purge tick
    _Atomic uint64_t returned[PIM_MAP_WORDS]; // any thread: units freed by
                                              // others, owner takes them in
    uint64_t retained_until; // abandoned: when idle memory goes, in now_ms()
    uint32_t retained_bytes; // abandoned: idle memory kept; 0: it is gone
    uint8_t list;            // owner: pim_fit or one of the lists above
    bool dense;              // serves spans of one unit only

    // What follows outlives the arena's turn with a heap.
    _Atomic bool mapped;          // region's lock writes: its memory is there
    struct pim_arena *next_free;  // region's lock: stack of unowned arenas
    struct pim_arena *next_chunk; // of a chunk's first: see space.h
    _Atomic(_Atomic uint64_t *) notes; // of the checked mode: see shadow.c
} PIM_CACHE_ALIGNED pim_arena;

_Static_assert(sizeof(pim_arena) == 2 * PIM_CACHE_LINE,
               "a chunk's part of the table of arenas is whole system pages");

// The three tables have an entry for each unit or arena of all addresses that
// space.h may choose from.  They are indexed by the address itself, so each is
// known by where the entry of address 0 would lie.
typedef struct pim_region {
    char *base;            // of the main stretch; NULL before pim_region_init
    _Atomic uint64_t size; // bytes of it that were handed out so far
    pim_page *main_pages;  // descriptor of its first unit
    uintptr_t pages;       // descriptors, one for each unit
    uintptr_t orphans;     // PIM_SET_WORDS a unit, for pages that hold some
    uintptr_t arenas;
    _Atomic size_t elsewhere; // arenas outside the main stretch
} pim_region_info;

// Written by space.c.  All but the two counts is constant after
// pim_region_init(), which comes before any heap exists.
extern pim_region_info pim_region;

// Whether an address lies in the part of the main stretch that was handed out,
// so that it has a descriptor.
PIM_INLINE bool
pim_region_main_contains(const void *p)
{
    return pim_is_below_fast((uintptr_t)p - (uintptr_t)pim_region.base,
                             &pim_region.size);
}

// The descriptor of the unit of an address of the main stretch.
PIM_INLINE pim_page *
pim_main_unit_of(const void *p)
{
    return pim_region.main_pages +
           (((uintptr_t)p - (uintptr_t)pim_region.base) >> PIM_UNIT_SHIFT);
}

// The descriptor of the unit of an address of the region.
PIM_INLINE pim_page *
pim_unit_of(const void *p)
{
    return (pim_page *)(pim_region.pages +
                        ((uintptr_t)p >> PIM_UNIT_SHIFT) * sizeof(pim_page));
}

// The descriptor that rules an address of the region.
PIM_INLINE pim_page *
pim_page_of(const void *p)
{
    pim_page *page = pim_unit_of(p);
    if (PIM_UNLIKELY(page->offset_units != 0)) {
        page -= page->offset_units;
    }
    return page;
}

// The number of a descriptor's unit, counted from address 0; likewise below.
PIM_INLINE uintptr_t
pim_page_number(const pim_page *page)
{
    return ((uintptr_t)page - pim_region.pages) / sizeof(pim_page);
}

PIM_INLINE uintptr_t
pim_arena_number(const pim_arena *arena)
{
    return ((uintptr_t)arena - pim_region.arenas) / sizeof(pim_arena);
}

PIM_INLINE char *
pim_page_start(const pim_page *page)
{
    return (char *)(pim_page_number(page) << PIM_UNIT_SHIFT);
}

PIM_INLINE pim_block_set *
pim_page_orphans(const pim_page *page)
{
    return (pim_block_set *)(pim_region.orphans +
                             pim_page_number(page) * PIM_SET_BYTES);
}

// The set that the functions of page.h want: NULL for most pages.
PIM_INLINE pim_block_set *
pim_page_orphans_or_null(const pim_page *page)
{
    bool holds_orphans;
    pim_page_owner(page, &holds_orphans);
    return holds_orphans ? pim_page_orphans(page) : NULL;
}

PIM_INLINE pim_arena *
pim_arena_at(uintptr_t number)
{
    return (pim_arena *)(pim_region.arenas + number * sizeof(pim_arena));
}

// The arena of an address of the region.
PIM_INLINE pim_arena *
pim_arena_holding(const void *p)
{
    return pim_arena_at((uintptr_t)p >> PIM_ARENA_SHIFT);
}

PIM_INLINE pim_arena *
pim_arena_of(const pim_page *page)
{
    return pim_arena_at(pim_page_number(page) / PIM_ARENA_UNITS);
}

// The first of the arena's descriptors.
PIM_INLINE pim_page *
pim_arena_pages(const pim_arena *arena)
{
    return (pim_page *)(pim_region.pages + pim_arena_number(arena) *
                                               PIM_ARENA_UNITS *
                                               sizeof(pim_page));
}

PIM_INLINE char *
pim_arena_start(const pim_arena *arena)
{
    return (char *)(pim_arena_number(arena) << PIM_ARENA_SHIFT);
}

// Takes a span of up to PIM_SPAN_UNITS units and returns its descriptors'
// first; NULL if there is no such span.  Dirty ones come first, or are the only
// ones that will do; a span is dirty if its first unit is.  Owner.
pim_page *pim_arena_take_span(pim_arena *arena, unsigned units,
                              bool dirty_only);

// Makes a span longer by the units that follow it.  False: they are not all
// free, and nothing changed.  Owner.
bool pim_arena_extend_span(pim_arena *arena, pim_page *first, unsigned units,
                           unsigned more);

// Notes that a page's memory is about to be written in [from, to), offsets from
// its start.  Returns how many units became dirty.  Owner.
unsigned pim_arena_touch(pim_page *page, size_t from, size_t to);

// The span's memory is about to go back: counts it as clean already.  Owner.
void pim_arena_expect_clean(const pim_page *first, unsigned units);

// How many of a span's units may hold memory of the system.  Owner.
unsigned pim_arena_dirty(const pim_arena *arena, const pim_page *first,
                         unsigned units);

// Frees a span; its descriptors become unused.  Owner.
void pim_arena_free_span(pim_arena *arena, pim_page *first, unsigned units);

// Frees a span of an arena that another heap owns: the memory goes back to the
// system at once and the owner learns of it by pim_arena_take_returned().
void pim_arena_return_span(pim_arena *arena, pim_page *first, unsigned units);

// Whether the system can give and take the memory of single units.
bool pim_arena_units_are_pages(void);

// Whether units that are not dirty read as zero.  They do unless the system
// ever refused to take memory back (it does where memory is locked) or cannot
// take single units.
bool pim_arena_clean_is_zero(void);

// Gives memory of the region back to the system.
void pim_arena_reset(void *start, size_t bytes);

// Takes in the units that others returned.  Owner.
void pim_arena_take_returned(pim_arena *arena);

// The longest span the arena can serve.  Owner.
pim_fit pim_arena_fit(const pim_arena *arena);

// Returns the memory of free units to the system: all of them, or those that
// were free at the last call too.  Returns bytes returned.  Owner.
size_t pim_arena_purge(pim_arena *arena, bool all);

// Bytes that a reclaimer could use: free units, and what is not live in
// abandoned pages that are worth reclaiming.  Owner.
size_t pim_arena_room(const pim_arena *arena);

// Units that are free and may be resident.  Owner.
unsigned pim_arena_idle_units(const pim_arena *arena);

// Bytes of the room that may be resident.  Owner.
size_t pim_arena_idle(const pim_arena *arena);

// Whether an abandoned page has enough room to be worth reclaiming.
bool pim_page_is_worth_reclaiming(const pim_page *page);

unsigned pim_unit_set_count(const pim_unit_set *set);

PIM_INLINE bool
pim_arena_is_empty(const pim_arena *arena)
{
    return pim_unit_set_count(&arena->free) == PIM_ARENA_UNITS;
}

#endif // PIM_ARENA_ARENA_H

// arena_set.h -- the arenas that one heap has, and what is counted of them.
//
// They lie in one list for each length of span that they can still serve.  A
// request goes to the shortest that suffices, so long spans stay whole.  The
// set of what ended interpreters left has two lists of its own.
//
// Nothing here gives memory back by itself but pim_arena_set_purge_arena():
// what is freed is counted as idle, and who owns the set decides.
//
// Owner of the heap, as in page.h, unless a function says otherwise.

#ifndef PIM_ARENA_ARENA_SET_H
#define PIM_ARENA_ARENA_SET_H

#include "arena/region.h"

typedef struct pim_arena_set {
    pim_arena *list[PIM_ARENA_LISTS]; // by what they can still serve
    uint64_t used_units;              // that are not free
    uint64_t idle_units;              // that are free and may hold memory
    unsigned dense;                   // arenas that were asked to be huge pages
    _Atomic uint64_t arenas;          // any thread reads
    _Atomic uint64_t dirty_units;     // that may hold memory; any thread reads
    _Atomic bool returned;            // any thread: others freed units of ours
} pim_arena_set;

// The arena becomes the set's; `as_abandoned`: it holds what is left of
// another.
void pim_arena_set_gain(pim_arena_set *set, pim_arena *arena,
                        bool as_abandoned);
void pim_arena_set_lose(pim_arena_set *set, pim_arena *arena);

// An orphan of the abandoned page was freed: its arena may be worth reclaiming
// now.
void pim_arena_set_room_made(pim_arena_set *set, pim_page *page);

// Whether a span of `units` is free, of as many as all lists show.
bool pim_arena_set_has_span(pim_arena_set *set, unsigned units);

// A span, dirty ones if there are any; NULL: there is none.
pim_page *pim_arena_set_take_span(pim_arena_set *set, unsigned units);

// Takes the units behind a span into it.  False: they are not all free, or it
// is another set's.
bool pim_arena_set_extend_span(pim_arena_set *set, pim_page *first,
                               unsigned units, unsigned more);

// Frees units at the end of a span, or all of it.
void pim_arena_set_free_units(pim_arena_set *set, pim_page *first,
                              unsigned units);

// Frees a whole page.  False: the arena is another set's, whose owner learns of
// it.
bool pim_arena_set_free_page(pim_arena_set *set, pim_page *page);

// Bytes [from, to) of a page are about to be written for the first time.
void pim_arena_set_touch(pim_arena_set *set, pim_page *page, size_t from,
                         size_t to);

// Takes in what others returned to our arenas.
void pim_arena_set_take_returned(pim_arena_set *set);

// Gives memory of an arena's free units back: all of it, or what was idle from
// one tick to the next.  Returns bytes.
size_t pim_arena_set_purge_units(pim_arena_set *set, pim_arena *arena,
                                 bool all);

// The same, and the arena if it is empty.  Adds to *bytes; returns whether the
// set still has the arena.
bool pim_arena_set_purge_arena(pim_arena_set *set, pim_arena *arena, bool all,
                               size_t *bytes);

// The list an arena belongs into now.
unsigned pim_arena_list_for(const pim_arena *arena);

// Units of an arena that are not free, and that may hold memory.
unsigned pim_arena_used_units(const pim_arena *arena);
unsigned pim_arena_dirty_units(const pim_arena *arena);

#endif // PIM_ARENA_ARENA_SET_H

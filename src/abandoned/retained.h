// retained.h -- what ended interpreters leave resident for those that follow.
//
// The set is the process heap's, whose lock is held, unless a function says
// otherwise.

#ifndef PIM_ABANDONED_RETAINED_H
#define PIM_ABANDONED_RETAINED_H

#include "arena/arena_set.h"

// The page was abandoned: returns what of its memory nobody would reclaim.
void pim_retained_page_abandoned(const pim_page *page);

// The abandoned page is not reclaimed with its arena: returns the same.
void pim_retained_page_passed_over(const pim_page *page);

// An arena is about to become an abandoned arena: keeps its idle memory or
// returns it.
void pim_retained_take_arena(pim_arena_set *set, pim_arena *arena);

// Frees a page, or units at the end of a run.  Their memory goes, unless their
// arena's is kept: nobody else would give it back.
void pim_retained_free_page(pim_arena_set *set, pim_page *page);
void pim_retained_free_units(pim_arena_set *set, pim_page *first,
                             unsigned units);

// Gives back what is kept: all of it, or what nobody wanted in time.  Returns
// bytes given back.
size_t pim_retained_trim(pim_arena_set *set, bool all);

// When to call pim_retained_trim(), in now_ms(); 0: nothing is kept.  Any
// thread.
extern _Atomic uint64_t pim_retained_until;

#endif // PIM_ABANDONED_RETAINED_H

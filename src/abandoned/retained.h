// retained.h -- what ended interpreters leave resident for those that follow.
//
// The set is the process heap's, whose lock is held, unless a function says otherwise.

#ifndef PIM_ABANDONED_RETAINED_H
#define PIM_ABANDONED_RETAINED_H

#include "arena/arena_set.h"

// The page was sealed: returns what of its memory nobody would inherit.
void pim_warm_sealed(const pim_page *page);

// The sealed page is not inherited with its arena: returns the same.
void pim_warm_passed_over(const pim_page *page);

// An arena is about to become an estate: keeps its idle memory or returns it.
void pim_warm_keep(pim_arena_set *set, pim_arena *arena);

// Frees a page, or units at the end of a run.  Their memory goes, unless their arena's
// is kept: nobody else would give it back.
void pim_warm_free_page(pim_arena_set *set, pim_page *page);
void pim_warm_free_units(pim_arena_set *set, pim_page *first, unsigned units);

// Gives back what is kept: all of it, or what nobody wanted in time.  Returns
// bytes given back.
size_t pim_warm_trim(pim_arena_set *set, bool all);

// When to call pim_warm_trim(), in now_ms(); 0: nothing is kept.  Any thread.
extern _Atomic uint64_t pim_warm_until;

#endif // PIM_ABANDONED_RETAINED_H

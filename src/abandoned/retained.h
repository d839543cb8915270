// retained.h -- what ended interpreters left, and what of its memory stays
// resident for those that follow.
//
// No heap has these arenas and pages: nobody allocates from them, and the owner
// word of a page names the defunct heap.  The process heap's lock guards them,
// and is held unless a function says otherwise.

#ifndef PIM_ABANDONED_RETAINED_H
#define PIM_ABANDONED_RETAINED_H

#include "arena/arena_set.h"

extern pim_arena_set pim_abandoned_arenas;

// Pages, some of them in arenas that were reclaimed.  Any thread reads.
extern _Atomic uint64_t pim_abandoned_pages;

// A page with live blocks, whose heap ends, becomes an abandoned one.  A free
// that looks from now on finds `defunct`, the heap that nobody has.  Returns
// what of its memory no reclaimer would want.
void pim_abandon_page(pim_page *page, bool holds_orphans,
                      const struct pim_heap *defunct);

// Blocks of an abandoned page were freed: its arena may be worth reclaiming
// now, or the page is empty and goes.
void pim_abandoned_gained(pim_page *page);

// The abandoned page is not reclaimed with its arena: returns the memory of its
// holes.
void pim_retained_page_passed_over(const pim_page *page);

// An arena that no heap has any more becomes an abandoned one: keeps its idle
// memory or returns it.
void pim_retained_take_arena(pim_arena *arena);

// Frees a page.  Its memory goes, unless its arena's is kept: nobody else would
// give it back.
void pim_retained_free_page(pim_page *page);

// Gives back what is kept: all of it, or what nobody wanted in time.  Returns
// bytes given back.
size_t pim_retained_trim(bool all);

// When to call pim_retained_trim(), in now_ms(); 0: nothing is kept.  Any
// thread.
extern _Atomic uint64_t pim_retained_until;

#endif // PIM_ABANDONED_RETAINED_H

// roster.h -- which interpreters there are, and what is known of them.
//
// All functions: any thread; inside the gate or outside unless they say so.

#ifndef PIM_INTERP_ROSTER_H
#define PIM_INTERP_ROSTER_H

#include "interp/ended.h"
#include "interp/figures.h"

// The heap of an interpreter, or NULL if it is not known as this one.
pim_heap *pim_registry_find(const void *interp, int64_t id,
                            uint32_t generation);

// The heap of the newest living interpreter with that id, main's for a legacy
// one; NULL: there is none.
pim_heap *pim_registry_heap(int64_t id);

// Whether somebody is known under that pointer.
bool pim_registry_is_bound(const void *interp);

// Whether that was said of it.
bool pim_registry_is_doubted(const void *interp);

// Copies ids out, of the ended ones in order of their end, then of the living
// in order of birth, without those that share another's heap; returns how many.
size_t pim_registry_ids(int64_t *ids, size_t capacity);

// Figures of the newest interpreter with that id, PIM_PROCESS_ID included.
// A shared heap's figures carry the id of the interpreter that it belongs to.
bool pim_registry_figures(int64_t id, pim_figures *out);

// The same by size class, of one domain.
bool pim_registry_class_figures(int64_t id, unsigned domain_index,
                                pim_class_figures *out);

// Whether an interpreter of that id and runtime has ended, of the last
// PIM_ENDED_KEPT.
bool pim_registry_has_ended(int64_t id, uint32_t generation);

// Calls visit() with the heap of the newest living interpreter with that id,
// which does not end meanwhile.  Under the lock, as below.  False: there is
// none.
bool pim_registry_visit(int64_t id, void (*visit)(void *arg, pim_heap *heap),
                        void *arg);

// Calls visit() with the figures of all that pim_registry_ids() lists, in its
// order.  Unlike asking for each id it tells those apart whose ids repeat.
// visit() runs under the lock: it neither allocates nor calls the registry.
void pim_registry_each(void (*visit)(void *arg, const pim_figures *figures),
                       void *arg);

// Calls visit() with each living interpreter's heap, main's too; under the
// lock, as above.
void pim_registry_each_heap(void (*visit)(void *arg, pim_heap *heap),
                            void *arg);

#endif // PIM_INTERP_ROSTER_H

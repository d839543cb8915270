// hooked.h -- where requests leave the domains for somebody who wants to see
// them, and where they come back.
//
//   table's function --> fast path?  served             nobody hooks this heap
//                    --> slow path --> pim_hooked ---> hooks/chain.c
//                                                          |  each hook
//                        served <--- pim_unhooked_... <----+
//
// The fast paths know nothing of it: of a heap that is hooked no thread
// remembers what they would need (CURRENT-3), and a block of another heap's
// never passes them.
//
// Invariant:
//   HOOK-1  while a heap is hooked, each request of its interpreter and each
//           free and realloc of a block of its is seen once: malloc, calloc, all
//           ways of realloc, frees by others, raw with and without a thread
//           state.

#ifndef PIM_DOMAIN_HOOKED_H
#define PIM_DOMAIN_HOOKED_H

#include "platform/gate.h"

// Instead of what serves requests; NULL: nobody.  The arguments are as CPython
// sends them, but `block` is not NULL; calloc asks for its product.  Any thread,
// outside the gate.
typedef struct pim_request_ops {
    void *(*alloc)(unsigned domain, size_t size, bool zero);
    void *(*resize)(unsigned domain, void *block, size_t size);
    void (*free)(unsigned domain, void *block);
} pim_request_ops;

extern _Atomic(const pim_request_ops *) pim_hooked;

// The same for the calling thread: who is asked from within a hook serves.
PIM_INLINE const pim_request_ops *
pim_hooked_now(void)
{
    const pim_request_ops *ops = pim_load_acquire(&pim_hooked);
    return PIM_LIKELY(ops == NULL) || pim_gate_self.in_chain ? NULL : ops;
}

// What serves: mem and obj, and raw.
void *pim_unhooked_alloc(unsigned domain, size_t size, bool zero);
void *pim_unhooked_resize(unsigned domain, void *block, size_t size);
void pim_unhooked_free(unsigned domain, void *block);

// The parts of these.  NULL: errno says nothing.
void *pim_mem_obj_alloc(unsigned domain, size_t size, bool zero);
void *pim_mem_obj_resize(unsigned domain, void *block, size_t size);
void pim_mem_obj_free(unsigned domain, void *block);
void *pim_raw_alloc(size_t size, bool zero);
void *pim_raw_resize(void *block, size_t size);
void pim_raw_give(void *block);

// The id of the heap that would serve a request of the calling thread, and that
// a block is of.  PIM_PROCESS_ID: no interpreter's.
int64_t pim_request_interp(unsigned domain);
int64_t pim_block_interp(unsigned domain, const void *block);

// How many bytes a block has; 0: nobody knows.  Outside the gate.
size_t pim_block_bytes(unsigned domain, void *block);

#endif // PIM_DOMAIN_HOOKED_H

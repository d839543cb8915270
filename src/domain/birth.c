// birth.c -- see birth.h.
//
// The size of an interpreter's state depends on the version.  It is known once an
// interpreter was found in a block that was seen; until then none is refused.

#include "domain/birth.h"

// The blocks that a thread asked for last: the state's is followed by one as large for
// its small-block allocator.
#define ASKED_KEPT 4

typedef struct asked_block {
    uintptr_t start;
    size_t size;
    pim_maker maker;
} asked_block;

static PIM_TLS asked_block asked[ASKED_KEPT];
static PIM_TLS unsigned asked_count;
static _Atomic size_t state_size; // 0: not known

bool pim_birth_is_told_later;

bool
pim_birth_admits(size_t size)
{
    pim_current_owner(); // so that the maker is who is current, if any is
    pim_current *self = &pim_current_self;
    return size != pim_load_relaxed(&state_size) ||
           pim_limit_admits_birth(&self->maker, pim_birth_is_told_later,
                                  &self->credit);
}

void
pim_birth_asked(const void *block, size_t size)
{
    asked[asked_count++ % ASKED_KEPT] = (asked_block){
        (uintptr_t)block, block != NULL ? size : 0, pim_current_self.maker};
}

pim_maker
pim_birth_maker(const void *interp)
{
    for (unsigned i = 1; i <= ASKED_KEPT; i++) { // the last one first
        const asked_block *a = &asked[(asked_count - i) % ASKED_KEPT];
        if ((uintptr_t)interp - a->start < a->size) {
            pim_store_relaxed(&state_size, a->size);
            return a->maker;
        }
    }
    return pim_current_self.maker;
}

// birth.c -- see birth.h.
//
// The size of an interpreter's state depends on the version.  CPython asks for a little
// more where it aligns the state, and its debug hooks add something.

#include "domain/birth.h"

#include "heap/registry.h"

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

void
pim_birth_expect(size_t state_bytes)
{
    pim_store_relaxed(&state_size, state_bytes);
}

// Where the size is not known none is refused.
static bool
is_state(size_t size)
{
    size_t state = pim_load_relaxed(&state_size);
    return state != 0 && size - state < PIM_STATE_OFFSET_MAX;
}

bool
pim_birth_admits(size_t size)
{
    pim_current_owner(); // so that the maker is who is current, if any is
    pim_current *self = &pim_current_self;
    return !is_state(size) ||
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
            return a->maker;
        }
    }
    return pim_current_self.maker;
}

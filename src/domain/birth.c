// birth.c -- see birth.h.
//
// The size of an interpreter's state depends on the version.  CPython asks for
// a little more where it aligns the state, and its debug hooks add something.

#include "domain/birth.h"

#include "interp/registry.h"

// The blocks of PIM_RAW_WATCH_BYTES that a thread got last, and who was
// current: CPython makes one or two more between an interpreter's state and its
// first request.
#define RECENT 4

typedef struct recent_block {
    const void *start; // NULL: it was freed
    pim_maker maker;
} recent_block;

static PIM_TLS recent_block recent[RECENT];
static PIM_TLS unsigned recent_count;

// Where the state of the next interpreter may lie; NULL: none was asked for.  A
// further block of that size is somebody else's, so only one at a time has
// privileges.
static PIM_TLS const void *awaited;

static _Atomic size_t state_size; // 0: not known

bool pim_birth_is_told_later;

void
pim_birth_expect(size_t state_bytes)
{
    pim_store_relaxed(&state_size, state_bytes);
}

// Where the size is not known none is refused.
static bool
may_be_state(size_t size)
{
    size_t state = pim_load_relaxed(&state_size);
    return state != 0 && size - state < PIM_STATE_OFFSET_MAX && awaited == NULL;
}

// CPython can be told only if it took the thread state away before, as it does
// where Python code makes one.
static pim_birth_refusal
how_to_refuse(bool is_attached)
{
    return pim_birth_is_told_later ? PIM_REFUSE_LATER
           : is_attached           ? PIM_REFUSE_NOT
                                   : PIM_REFUSE_STATE;
}

bool
pim_birth_admits(size_t size)
{
    // Asked in any case, so that the maker is who is current, if any is.
    bool is_attached = pim_current_owner() != NULL;
    pim_current *self = &pim_current_self;
    return !may_be_state(size) ||
           pim_limit_admits_birth(&self->maker, how_to_refuse(is_attached),
                                  &pim_thread_credit);
}

bool
pim_birth_survives(size_t size)
{
    return awaited == NULL &&
           (!may_be_state(size) ||
            how_to_refuse(pim_current_owner() != NULL) == PIM_REFUSE_STATE);
}

void
pim_birth_asked(const void *block, size_t size)
{
    if (may_be_state(size)) {
        awaited = block;
        if (block == NULL) {
            pim_limit_drop_credit(&pim_thread_credit);
        }
    }
}

void
pim_birth_note(const void *block)
{
    recent[recent_count++ % RECENT] =
        (recent_block){block, pim_current_self.maker};
}

void
pim_birth_freed(const void *block)
{
    for (unsigned i = 0; i < RECENT; i++) {
        if (recent[i].start == block) {
            recent[i].start = NULL;
        }
    }
    if (block == awaited) { // CPython gave up
        awaited = NULL;
        pim_limit_drop_credit(&pim_thread_credit);
    }
}

// The last one first; NULL: none.
static const recent_block *
find(const void *interp)
{
    for (unsigned i = 1; i <= RECENT; i++) {
        const recent_block *r = &recent[(recent_count - i) % RECENT];
        if (r->start != NULL &&
            (uintptr_t)interp - (uintptr_t)r->start < PIM_STATE_OFFSET_MAX) {
            return r;
        }
    }
    return NULL;
}

bool
pim_birth_has_seen(const void *interp)
{
    return find(interp) != NULL;
}

pim_maker
pim_birth_maker(const void *interp)
{
    const recent_block *r = find(interp);
    awaited = NULL;
    return r != NULL ? r->maker : pim_current_self.maker;
}

// current.c -- the thread-local half of current.h.

#include "interp/current.h"

#include "account/budget.h"
#include "heap/admit.h"

static pim_heap *
resolve_to_process(void)
{
    return &pim_process_heap;
}

static pim_heap *
know_none(void)
{
    return NULL;
}

static int64_t
no_interpreter(void)
{
    return PIM_PROCESS_ID;
}

PIM_TLS pim_current pim_current_self;
_Atomic bool pim_hooked_process;
pim_heap *(*pim_current_resolve)(void) = resolve_to_process;
pim_heap *(*pim_current_lookup)(void) = know_none;
int64_t (*pim_current_ask_id)(void) = no_interpreter;
void (*pim_current_verify)(const void *tstate);

// Inside the gate the record stays the interpreter's, if it still is.
static void
grow_up(pim_current *self)
{
    pim_gate_enter();
    if (self->newborn != NULL &&
        pim_load_relaxed(&self->newborn->serial) == self->newborns) {
        pim_limit_born(&self->newborn->limit);
    }
    pim_gate_exit();
    self->newborn = NULL;
}

// Main is begun with Python itself.
void
pim_current_begin(pim_heap *heap, const pim_maker *maker)
{
    pim_current *self = &pim_current_self;
    if (heap->id != 0) {
        grow_up(self); // who makes another one is made
        self->newborn = heap;
        self->newborns = pim_load_relaxed(&heap->serial);
        self->mother = maker != NULL ? maker->budget : NULL;
    }
}

static uint64_t
live_bytes(const pim_heap *heap)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < PIM_DOMAINS; i++) {
        bytes += pim_account_live_bytes(&heap->account[i]);
    }
    return bytes;
}

bool
pim_current_makes(int64_t id)
{
    pim_current *self = &pim_current_self;
    if (self->newborn == NULL) {
        return false;
    }
    pim_gate_enter();
    bool is_one = pim_load_relaxed(&self->newborn->serial) == self->newborns;
    bool is_made = !is_one || live_bytes(self->newborn) > PIM_LIMIT_BIRTH;
    bool is_this = id == PIM_PROCESS_ID || self->newborn->id == id;
    pim_gate_exit();
    if (is_made) {
        grow_up(self);
    }
    return !is_made && is_this;
}

void
pim_current_made(void)
{
    if (pim_current_self.newborn != NULL) {
        grow_up(&pim_current_self);
    }
}

// CPython makes an interpreter in one thread, in which main's thread state may
// be current for a moment.  When its maker's is again or any other's, or it
// runs in another thread, it is made.
void
pim_current_changed(pim_heap *heap)
{
    pim_current *self = &pim_current_self;
    pim_limit_obey(heap);
    if (self->newborn == NULL) {
        pim_limit_born(&heap->limit);
    } else if (heap != self->newborn &&
               (heap->id != 0 || self->mother == NULL ||
                heap->limit.budget == self->mother)) {
        grow_up(self);
    }
}

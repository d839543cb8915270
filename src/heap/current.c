// current.c -- the thread-local half of current.h.

#include "heap/current.h"

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

static void
take_for_sure(const pim_heap *heap)
{
    (void)heap;
}

PIM_TLS pim_current pim_current_self;
_Atomic uint64_t pim_current_epoch = 1;
pim_heap *(*pim_current_resolve)(void) = resolve_to_process;
pim_heap *(*pim_current_look)(void) = know_none;
int64_t (*pim_current_ask_id)(void) = no_interpreter;
void (*pim_current_look_again)(const pim_heap *heap) = take_for_sure;
void (*pim_current_verify)(const void *tstate);

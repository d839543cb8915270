// current.c -- the thread-local half of current.h.

#include "heap/current.h"

static pim_heap *
resolve_to_process(void)
{
    return &pim_process_heap;
}

static int64_t
no_interpreter(void)
{
    return PIM_PROCESS_ID;
}

PIM_TLS pim_current pim_current_self;
_Atomic uint64_t pim_current_epoch = 1;
pim_heap *(*pim_current_resolve)(void) = resolve_to_process;
int64_t (*pim_current_ask_id)(void) = no_interpreter;
void (*pim_current_verify)(const void *tstate);

// wrapper.c -- raw requests that no limit may refuse.
//
// tracemalloc notes each block of a tenant in a raw block, which it asks for
// under the tenant's thread state, and CPython ends the process where a note
// cannot be had.  Our functions cannot tell such a request from one of the
// tenant's: both come from the functions on top of ours.  So while somebody is
// there, raw requests count, but are refused only if they are larger than any
// that are needed to take notes.  A tenant is not better off for long: once it
// has more than it may, its other requests are refused.

#include "cpython/wrapper.h"

#include "account/ledger.h"
#include "cpython/table.h"
#include "domain/raw_small.h"
#include "heap/admit.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "interp/roster.h"

// The longest traceback has 65,535 frames of 16 bytes.
#define NOTE_BYTES ((size_t)2 << 20)

// A lock, also under debug hooks: a CPython that cannot be told that there is
// no room for an interpreter asks for one before.
#define LOCK_BYTES 64

// tracemalloc's table has up to seven pointers for each traced block when it
// grows.
#define TABLE_BYTES_FOR_BLOCK 64

static void
add_blocks(void *arg, const pim_figures *figures)
{
    for (unsigned domain_index = 0;
         domain_index < PIM_DOMAINS && !figures->ended; domain_index++) {
        *(uint64_t *)arg += figures->by_domain[domain_index].live_blocks;
    }
}

static uint64_t
live_blocks(void)
{
    pim_usage raw;
    pim_figures process;
    uint64_t blocks = 0;
    pim_raw_figures(&raw);
    pim_heap_figures(&pim_process_heap, &process);
    add_blocks(&blocks, &process);
    pim_registry_each(add_blocks, &blocks);
    return blocks + (raw.live_blocks <= INT64_MAX ? raw.live_blocks : 0);
}

static bool
spares(size_t size)
{
    if (size <= LOCK_BYTES && pim_py_needs_state()) {
        return true;
    }
    return pim_table_is_wrapped() &&
           (size <= NOTE_BYTES ||
            size - NOTE_BYTES <= live_blocks() * TABLE_BYTES_FOR_BLOCK);
}

void
pim_wrapper_start(void)
{
    pim_limit_spares = spares;
}

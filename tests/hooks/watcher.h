// watcher.h -- a hook that keeps a book of what it sees, for tests.
//
// The book must agree with the accounts: what was served is live until it is
// freed, and each event is seen once (HOOK-1).

#ifndef PIM_TESTS_HOOKS_WATCHER_H
#define PIM_TESTS_HOOKS_WATCHER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "hooks/chain.h"

#define WATCHER_BLOCKS 8192

typedef struct watcher {
    int handle;
    atomic_uint allocs; // calls
    atomic_uint zeroed; // of these
    atomic_uint resizes;
    atomic_uint frees;
    atomic_uint unknown; // frees and resizes of blocks that were not seen
    atomic_uint live;    // blocks
    atomic_uint born, ended, forked;
    atomic_uchar domains[3]; // that it saw
    _Atomic int64_t interp;  // of the last request
    atomic_flag lock;
    void *block[WATCHER_BLOCKS]; // seen and not freed
} watcher;

// Pushes it, its book empty.
void watcher_begin(watcher *w, int64_t interp);
void watcher_end(watcher *w);

// Whether it saw the block and no free of it.
bool watcher_has(watcher *w, const void *block);

#endif // PIM_TESTS_HOOKS_WATCHER_H

// orphans.h -- an interpreter that leaves blocks, under a policy.

#ifndef PIM_TESTS_ORPHANS_H
#define PIM_TESTS_ORPHANS_H

#include "support/interp_case.h"

#define SPAN_BYTES (5 * PIM_UNIT_SIZE)
#define HUGE ((size_t)3 << 20)

// What a case leaves: small blocks of two classes, a span and a map.
typedef struct orphans {
    char *small;
    char *large_small; // several system pages
    char *span;
    char *map;
} orphans;

extern orphans leak;
extern uint64_t mapped; // bytes, at the beginning

// A case's set-up and tear-down; `process` is noted when the interpreter is there.
int orphans_begin(int policy);
int orphans_end(void **state);

void begin_under(fake_interp *in, int policy);

// Fills a block with x.
char *left(void *block, size_t size);

void leave_orphans(void);
void free_orphans(void);

// Gives back all that the process keeps for others.
void trim_process(void);

#endif // PIM_TESTS_ORPHANS_H

// blocks.h -- large blocks of one interpreter, and what is kept of them.

#ifndef PIM_TESTS_BLOCKS_H
#define PIM_TESTS_BLOCKS_H

#include "support/fake_interp.h"

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)

// The interpreter of a case, current from blocks_begin() to blocks_end().
typedef struct blocks_case {
    fake_interp interp;
    int64_t id;
    pim_heap *heap;
    uint64_t mapped; // bytes, at the beginning
    uint64_t calls;  // see count_calls()
} blocks_case;

extern blocks_case the;

// As a case's set-up and tear-down; the clock stands in between.  At the end
// nothing may be live, and what is kept goes back.
int blocks_begin(void **state);
int blocks_end(void **state);

// A block that is written to from end to end.
char *make(size_t size);
void drop(void *block);

// Grows a block, or NULL, as lists grow, and writes to what is new.
char *grow(char *block, size_t from, size_t to);

// Bytes kept that are in the interpreter's figures.
size_t idle(void);

// pim_extent_trim(), and an audit.
void trim_extents(bool all);

// Requests for maps, and for larger ones, that came to the system since
// count_calls().
void count_calls(void);
uint64_t calls_since(void);

#endif // PIM_TESTS_BLOCKS_H

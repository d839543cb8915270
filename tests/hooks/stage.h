// stage.h -- a Python stack that a test makes up, in place of hooks/frames.c.
//
// Code objects are blocks of obj, which die as those of CPython do.  Each thread
// has a stack of its own.

#ifndef PIM_TESTS_HOOKS_STAGE_H
#define PIM_TESTS_HOOKS_STAGE_H

#include "hooks/frames.h"
#include "pimalloc/trace.h"
#include "support/core.h"
#include "support/fake_interp.h"

#define STAGE_INSTRUCTIONS 64
#define STAGE_DEPTH 300

typedef struct stage_code {
    char function[32];
    int first_line; // of instruction 0; each next one is a line further
    char instr[STAGE_INSTRUCTIONS];
} stage_code;

// Sets core_set_up() up, with chains and a CPython that has such stacks.
int stage_set_up(void **state);
int stage_set_up_with_clock(void **state);

// Makes a code object, and has it die.
stage_code *stage_make(const char *function, int first_line);
void stage_unmake(stage_code *code);

// The calling thread's stack becomes one frame deeper; goes on; returns.
void stage_call(const stage_code *code, unsigned instr);
void stage_step(unsigned instr);
void stage_return(void);

// Whether frames can be read, and whether there is a thread state.
extern bool stage_is_hidden;

// What is traced of a block, which must be.
pimalloc_traced stage_find(const void *block);
bool stage_is_traced(const void *block);

// The newest frame of a block's stack is that; line 0: <unknown>.
void stage_expect_at(const void *block, const char *function, int line);

// Figures of an interpreter, or all.
pimalloc_trace_figures stage_figures(int64_t interp);
void stage_expect_live(int64_t interp, uint64_t blocks, uint64_t bytes);

// Bytes and blocks that a walk finds.
void stage_expect_walk(int64_t interp, uint64_t blocks, uint64_t bytes);

#endif // PIM_TESTS_HOOKS_STAGE_H

// raw_world.h -- two interpreters, a and b, and raw blocks of each kind.

#ifndef PIM_TESTS_RAW_WORLD_H
#define PIM_TESTS_RAW_WORLD_H

#include "domain/domain.h"
#include "support/fake_interp.h"

typedef struct raw_usage {
    uint64_t bytes;
    uint64_t blocks;
} raw_usage;

typedef struct raw_world_state {
    fake_interp a;
    fake_interp b;
    raw_usage process; // of the process, before the test
} raw_world_state;

extern raw_world_state raw_world;

// As a test's set-up and tear-down: both are known, and a is current.
int raw_world_begin(void **state);
int raw_world_end(void **state);

// Makes an interpreter known and leaves it current.
void raw_be_born(fake_interp *interp);

// Audits an interpreter's heap, and leaves none current.
void raw_audit(fake_interp *interp);

// Ends a or b; the process answers for its state's block no more.
void raw_end_interp(fake_interp *interp);

// Live raw figures; the process's are all that is in no interpreter's.
raw_usage raw_of(int64_t id);
raw_usage raw_of_interp(const fake_interp *interp);

void raw_expect(raw_usage now, uint64_t bytes, uint64_t blocks);
void raw_expect_process_as_before(void);

// Blocks of each kind: tiny, of one and of several units, from mimalloc, maps.
#define RAW_BLOCKS 16
extern void *raw_blocks[RAW_BLOCKS];

// The raw domain's figures in all.
pim_usage raw_now(void);

// Whether a block is of the raw heap.
bool raw_is_small(const void *block);

// Blocks out of the raw heap: live, in caches, or caches themselves.
uint64_t raw_taken(void);

// The blocks that the caller keeps of the class of `size`.
size_t raw_kept(size_t size);

// How many bytes the account has for a block, where raw is our own.
size_t raw_usable(const void *block);

// Returns their usable bytes.
uint64_t raw_allocate_all(void);
void raw_free_all(void);

#endif // PIM_TESTS_RAW_WORLD_H

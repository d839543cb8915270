// reference.h -- a simple model of what the allocator must do.
//
// A table of live blocks, each with a pattern that is checked when it is resized
// or freed, and an account per heap and domain, computed from the requests alone
// and compared with the allocator's figures.

#ifndef PIM_TESTS_REFERENCE_H
#define PIM_TESTS_REFERENCE_H

#include "support/fake_interp.h"
#include "support/random.h"

#define REF_HEAPS 10
#define REF_PROCESS 0 // place of the process heap
#define REF_MAIN 1    // place of main's

// One size class.  A large block that moves was copied to a new one or remapped,
// which cannot be told from outside: *_more is by how much a figure may be higher.
typedef struct ref_class {
    uint64_t live_blocks;
    uint64_t live_bytes;
    uint64_t peak_blocks;      // at least
    uint64_t peak_blocks_more; // if nobody but the owner freed
    uint64_t total_blocks;
    uint64_t total_bytes;
    uint64_t total_blocks_more;
    uint64_t total_bytes_more;
} ref_class;

typedef struct ref_usage {
    uint64_t live_bytes;
    uint64_t live_blocks;
    uint64_t peak_bytes;     // at least
    uint64_t peak_bytes_max; // at most, if nobody but the owner freed
    ref_class by_class[PIM_ACCOUNT_CLASSES]; // of mem and obj
} ref_usage;

typedef struct ref_heap {
    int64_t id;
    ref_usage domain[PIM_DOMAINS]; // raw only for the process
    uint64_t remote_frees;
    bool used; // it has made a request, so the registry knows it
} ref_heap;

typedef struct ref_block {
    unsigned char *start;
    size_t size;   // as requested
    size_t usable; // as accounted
    uint8_t heap;  // place in `heaps`
    uint8_t domain;
    uint8_t pattern;
} ref_block;

typedef struct reference {
    random_state random;
    ref_heap heaps[REF_HEAPS];
    ref_block *blocks;
    size_t count;
    size_t capacity;
    uint64_t live_bytes; // of all blocks
    unsigned current;    // whose requests these are
    uint64_t refused;    // requests that got NULL
} reference;

void ref_open(reference *ref, uint64_t seed, size_t capacity);
void ref_close(reference *ref);

// Requests as the current heap, in a domain.  A refused one changes nothing and
// is allowed only if `may_fail`.  Blocks are chosen by index.
void ref_malloc(reference *ref, unsigned domain, size_t size, bool zero,
                bool may_fail);
void ref_realloc(reference *ref, size_t index, size_t size, bool may_fail);
void ref_free(reference *ref, size_t index);

// The heap at a place begins with this id, or ends: its blocks are the
// process's.
void ref_begin(reference *ref, unsigned heap, int64_t id);
void ref_end(reference *ref, unsigned heap);

// Compares all accounts, those of size classes too, with what the registry says.
void ref_compare(const reference *ref);

#endif // PIM_TESTS_REFERENCE_H

// domain.h -- CPython's three domains as policy over heaps.
//
// Requests come as CPython sends them: sizes of 0 and above PIM_REQUEST_MAX,
// NULL to free and realloc.  The rules, for every function here:
//
//   - blocks are 16-byte aligned; a request for 0 bytes gets a distinct block
//   - a request that cannot be served returns NULL with ENOMEM in errno, as libc's
//     does, and changes nothing else
//   - what is served, and a free, leave errno alone (base/keep_errno.h)
//   - realloc(p, 0) gives a block and is not a free; calloc checks for overflow
//   - any thread may free any block
//
// mem and obj: on the heap of the interpreter whose thread state is current,
// the process heap without one.  raw: any thread, see raw.c.

#ifndef PIM_DOMAIN_DOMAIN_H
#define PIM_DOMAIN_DOMAIN_H

#include <errno.h>

#include "interp/figures.h"

void *pim_mem_malloc(void *ctx, size_t size);
void *pim_mem_calloc(void *ctx, size_t count, size_t size);
void *pim_mem_realloc(void *ctx, void *block, size_t size);
void pim_mem_free(void *ctx, void *block);

void *pim_obj_malloc(void *ctx, size_t size);
void *pim_obj_calloc(void *ctx, size_t count, size_t size);
void *pim_obj_realloc(void *ctx, void *block, size_t size);
void pim_obj_free(void *ctx, void *block);

void *pim_raw_malloc(void *ctx, size_t size);
void *pim_raw_calloc(void *ctx, size_t count, size_t size);
void *pim_raw_realloc(void *ctx, void *block, size_t size);
void pim_raw_free(void *ctx, void *block);

// The answer to a request that cannot be served.
PIM_INLINE void *
pim_domain_refuse(void)
{
    errno = ENOMEM;
    return NULL;
}

typedef enum pim_raw_source {
    PIM_RAW_LIBC,
    PIM_RAW_MIMALLOC,
    PIM_RAW_OWN, // heaps of our own; what is large and nobody's from mimalloc
} pim_raw_source;

// The functions of a raw allocator that we stand in for.
typedef struct pim_raw_table {
    void *ctx;
    void *(*realloc)(void *ctx, void *block, size_t size);
    void (*free)(void *ctx, void *block);
} pim_raw_table;

// Where raw blocks come from, the same in every runtime of a process, and who
// takes back blocks that are older than the installation.  At install.
void pim_raw_set_source(pim_raw_source source, pim_raw_table replaced);
pim_raw_source pim_raw_get_source(void);

// For people and reports: libc, mimalloc or pimalloc.
const char *pim_raw_source_name(void);

// A raw block of at least this many bytes may hold an interpreter's state; its
// free is reported below.  CPython's are 195 to 385 KB.
#define PIM_RAW_WATCH_BYTES ((size_t)64 << 10)

// Figures of the raw domain: those that threads have published, and with what
// they have not.  Live figures may be negative for a while (raw.c).
typedef struct pim_raw_account {
    _Atomic uint64_t live_bytes;
    _Atomic uint64_t live_blocks;
    _Atomic uint64_t peak_bytes;
    _Atomic uint64_t peak_blocks;
    _Atomic uint64_t total_bytes; // of threads without a record
    _Atomic uint64_t total_blocks;
} pim_raw_account;

extern pim_raw_account pim_raw_published;

void pim_raw_figures(pim_usage *out);

#endif // PIM_DOMAIN_DOMAIN_H

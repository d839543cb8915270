// check.h -- the checked mode (PIMALLOC_CHECK=1): misuse is named.
//
// The functions below go into CPython's tables instead of those of domain.h,
// which they call.  Each block is looked up first (shadow.h).  These end the
// process with a message that names the function, the interpreter it was called
// in, and the block's size, domain and owner:
//
//   double free          a block that is free already is freed
//   use after free       such a block is reallocated
//   wrong domain         a block is freed or reallocated by another domain's function
//   interior pointer     an address inside a block is, not its beginning
//   foreign pointer      no block of pimalloc's ever began there
//   ended interpreter    memory is asked for or freed in an interpreter that has
//                        ended, or a block of one is reallocated
//
// What CPython does itself is not misuse: up to 3.13 it frees blocks of
// interpreters that have ended, and raw blocks come and go without us (raw.c).

#ifndef PIM_DOMAIN_CHECK_H
#define PIM_DOMAIN_CHECK_H

#include <stdbool.h>
#include <stddef.h>

// Begins; the region is open.  Once in a process, before the first block.
// all_raw: raw blocks outside the region come and go through us, so one that is
// freed and was not handed out since is a double free.
void pim_check_start(bool all_raw);

// Whether it has begun.
bool pim_check_is_on(void);

// The first argument of the functions that serve a domain.
void *pim_check_context(unsigned domain);

// The rules are those of domain.h.
void *pim_check_malloc(void *ctx, size_t size);
void *pim_check_calloc(void *ctx, size_t count, size_t size);
void *pim_check_realloc(void *ctx, void *block, size_t size);
void pim_check_free(void *ctx, void *block);

#endif // PIM_DOMAIN_CHECK_H

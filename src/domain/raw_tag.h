// raw_tag.h -- whose account a block of somebody else's malloc is in.
//
//   | block: what was asked for ...            | tag |
//   |<---------- usable bytes, as malloc says -------->|
//
// The tag says which heap counted the block, and is made from the block's
// address and a secret of the process.  Blocks come and go past us where
// CPython swaps its raw table; one without a tag of its own was not counted,
// and is not when it goes.

#ifndef PIM_DOMAIN_RAW_TAG_H
#define PIM_DOMAIN_RAW_TAG_H

#include "heap/heap.h"

// How much longer than asked for a block must be.
#define PIM_RAW_TAG_BYTES sizeof(uint64_t)

// Once, before the first block.
void pim_raw_tag_start(void);

// Counts a block of `bytes` usable bytes in the account of `heap`, which the
// caller owns, or with NULL of the process.  Any thread, as all functions here.
void pim_raw_tag_put(pim_heap *heap, void *block, size_t bytes);

// A block's tag, and PIM_RAW_NO_TAG if it has none.
typedef uint64_t pim_raw_tag;
#define PIM_RAW_NO_TAG ((pim_raw_tag)0)

// Takes a block's tag away, so that nobody counts it twice, or puts that back.
pim_raw_tag pim_raw_tag_take(void *block, size_t bytes);
void pim_raw_tag_restore(void *block, size_t bytes, pim_raw_tag tag);

// Counts the block that had the tag as gone, if it had one; `caller` is the
// heap that the caller owns, or NULL.
void pim_raw_tag_uncount(const pim_heap *caller, pim_raw_tag tag, size_t bytes);

#endif // PIM_DOMAIN_RAW_TAG_H

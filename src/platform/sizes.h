// sizes.h -- sizes as people write them, and what else limits are made of.
//
// The launcher has a copy of this part, as of signals.h.

#ifndef PIM_PLATFORM_SIZES_H
#define PIM_PLATFORM_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes, or with a suffix: 64M, 1G.  Neither 0 nor a sign.  False: it is no size,
// or more than 64 bits; *out is as it was.
bool pim_size_of(const char *text, uint64_t *out);

// SOFT[:HARD], of which HARD is not below SOFT, and 0 if it is left out.
bool pim_limits_of(const char *text, uint64_t *soft, uint64_t *hard);

// Whether interpreters count for the one that made them.
typedef enum pim_tree {
    PIM_TREE_UNSAID,
    PIM_TREE_NONE,    // each for itself
    PIM_TREE_TENANTS, // but for those that main made
    PIM_TREE_ALL
} pim_tree;

// "none", "tenants" or "all".
bool pim_tree_of(const char *text, pim_tree *out);

#endif // PIM_PLATFORM_SIZES_H

// sizes.h -- sizes as people write them, and what else limits are made of.
//
// The launcher is linked with this part, too.

#ifndef PIM_PLATFORM_SIZES_H
#define PIM_PLATFORM_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What is smaller is a slip: no Python starts with it.
#define PIM_SIZE_MIN ((uint64_t)1 << 20)

// Bytes, or with a suffix: 64M, 1G.  Returns NULL, or what is wrong with the
// text in words that follow it, and *out is as it was.
const char *pim_size_of(const char *text, uint64_t *out);

// SOFT[:HARD], of which HARD is not below SOFT, and 0 if it is left out.
const char *pim_limits_of(const char *text, uint64_t *soft, uint64_t *hard);

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

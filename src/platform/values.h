// values.h -- values of options as people write them: sizes, words, and where
// to write to.
//
// The launcher is linked with this part, too.

#ifndef PIM_PLATFORM_VALUES_H
#define PIM_PLATFORM_VALUES_H

#include "base/compiler.h"

// What is smaller is a slip: no Python starts with it.
#define PIM_SIZE_MIN ((uint64_t)1 << 20)

// Bytes, or with a suffix: 64M, 1G.  Returns NULL, or what is wrong with the
// text in words that follow it, and *out is as it was.
const char *pim_size_of(const char *text, uint64_t *out);

// SOFT[:HARD], of which HARD is not below SOFT, and 0 if it is left out.
const char *pim_limits_of(const char *text, uint64_t *soft, uint64_t *hard);

// Bytes between two samples, 1K to 1T.
const char *pim_period_of(const char *text, uint64_t *out);

// SECONDS[:KEEP], whole numbers of 1 to 1000000; *keep: as it was if it is left
// out.
const char *pim_every_of(const char *text, unsigned *seconds, unsigned *keep);
// A number of frames, 0 to PIM_FRAMES_MAX; -1: none.
#define PIM_FRAMES_MAX 256
int pim_frames_of(const char *text);

// Whether the first `length` characters of the text are the word.
bool pim_is_word(const char *word, const char *text, size_t length);

// Which of the words the text is; -1: none.
int pim_word_of(const char *text, const char *const *words, size_t count);

// The same for a text WORD[:FILE].  *file: what follows the colon, or NULL.
int pim_form_of(const char *text, const char *const *words, size_t count,
                const char **file);

// Whether interpreters count for the one that made them.
typedef enum pim_tree {
    PIM_TREE_UNSAID,
    PIM_TREE_NONE,    // each for itself
    PIM_TREE_TENANTS, // but for those that main made
    PIM_TREE_ALL
} pim_tree;

// "none", "tenants" or "all"; else PIM_TREE_UNSAID.
pim_tree pim_tree_of(const char *text);

#endif // PIM_PLATFORM_VALUES_H

// sizes.c -- numbers with a suffix.

#include "platform/sizes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Returns what follows the size, or NULL.
static const char *
read_size(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = *end == 'K'   ? 10
                     : *end == 'M' ? 20
                     : *end == 'G' ? 30
                     : *end == 'T' ? 40
                                   : 0;
    end += shift != 0;
    if (errno != 0 || *text < '1' || *text > '9' || n > UINT64_MAX >> shift) {
        return NULL;
    }
    *out = (uint64_t)n << shift;
    return end;
}

bool
pim_size_of(const char *text, uint64_t *out)
{
    uint64_t bytes;
    const char *end = read_size(text, &bytes);
    bool ok = end != NULL && *end == '\0';
    if (ok) {
        *out = bytes;
    }
    return ok;
}

bool
pim_limits_of(const char *text, uint64_t *soft, uint64_t *hard)
{
    uint64_t first;
    uint64_t second = 0;
    const char *end = read_size(text, &first);
    if (end != NULL && *end == ':') {
        end = read_size(end + 1, &second);
    }
    if (end == NULL || *end != '\0' || (second != 0 && second < first)) {
        return false;
    }
    *soft = first;
    *hard = second;
    return true;
}

bool
pim_tree_of(const char *text, pim_tree *out)
{
    static const char *const words[] = {
        [PIM_TREE_NONE] = "none",
        [PIM_TREE_TENANTS] = "tenants",
        [PIM_TREE_ALL] = "all",
    };
    for (int i = PIM_TREE_NONE; i <= PIM_TREE_ALL; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = (pim_tree)i;
            return true;
        }
    }
    return false;
}

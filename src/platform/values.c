// values.c -- see values.h.

#include "platform/values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Reads up to `end`, a colon or the text's own end.
static const char *
lack_of_bytes(const char *text, const char *end, uint64_t *out)
{
    static const char units[] = "KMGT";
    char *unit;
    errno = 0;
    unsigned long long n = strtoull(text, &unit, 10);
    if (*text < '0' || *text > '9') {
        return "begins with no digit";
    }
    const char *at = *unit != '\0' && unit != end ? strchr(units, *unit) : NULL;
    unsigned shift = at != NULL ? 10 * (unsigned)(at - units + 1) : 0;
    if (unit + (at != NULL) != end) {
        return "is no whole number with nothing or one of the units K, M, G "
               "and T behind it";
    }
    if (errno != 0 || n > UINT64_MAX >> shift) {
        return "has more than 64 bits";
    }
    *out = (uint64_t)n << shift;
    return NULL;
}

static const char *
lack_of_size(const char *text, const char *end, uint64_t *out)
{
    uint64_t bytes = 0;
    const char *lack = lack_of_bytes(text, end, &bytes);
    _Static_assert(PIM_SIZE_MIN == 1 << 20, "the text says 1M");
    if (lack == NULL && bytes < PIM_SIZE_MIN) {
        lack = "is less than 1M; a number without a unit is bytes";
    }
    *out = lack == NULL ? bytes : *out;
    return lack;
}

const char *
pim_size_of(const char *text, uint64_t *out)
{
    return lack_of_size(text, text + strlen(text), out);
}

const char *
pim_limits_of(const char *text, uint64_t *soft, uint64_t *hard)
{
    uint64_t first;
    uint64_t second = 0;
    const char *colon = text + strcspn(text, ":");
    const char *lack = lack_of_size(text, colon, &first);
    if (lack == NULL && *colon == ':') {
        lack = pim_size_of(colon + 1, &second);
        if (lack == NULL && second < first) {
            lack = "has a second size that is smaller than the first";
        }
    }
    if (lack == NULL) {
        *soft = first;
        *hard = second;
    }
    return lack;
}

const char *
pim_period_of(const char *text, uint64_t *out)
{
    uint64_t bytes = 0;
    const char *lack = lack_of_bytes(text, text + strlen(text), &bytes);
    if (lack == NULL &&
        (bytes < (uint64_t)1 << 10 || bytes > (uint64_t)1 << 40)) {
        lack = "is not within 1K and 1T; a number without a unit is bytes";
    }
    *out = lack == NULL ? bytes : *out;
    return lack;
}

// Reads up to `end`; 0: it is no number, or one that is out of range.
static unsigned
count_of(const char *text, const char *end)
{
    char *stop;
    errno = 0;
    unsigned long n = strtoul(text, &stop, 10);
    return *text >= '0' && *text <= '9' && stop == end && errno == 0 &&
                   n <= 1000000
               ? (unsigned)n
               : 0;
}

const char *
pim_every_of(const char *text, unsigned *seconds, unsigned *keep)
{
    const char *colon = text + strcspn(text, ":");
    unsigned first = count_of(text, colon);
    unsigned second =
        *colon == ':' ? count_of(colon + 1, colon + strlen(colon)) : *keep;
    if (first == 0 || (*colon == ':' && second == 0)) {
        return "has a number that is none of 1 to 1000000";
    }
    *seconds = first;
    *keep = second;
    return NULL;
}

int
pim_frames_of(const char *text)
{
    char *end;
    unsigned long frames = strtoul(text, &end, 10);
    bool is_number = *text >= '0' && *text <= '9' && *end == '\0';
    return is_number && frames <= PIM_FRAMES_MAX ? (int)frames : -1;
}

bool
pim_is_word(const char *word, const char *text, size_t length)
{
    return strncmp(word, text, length) == 0 && word[length] == '\0';
}

static int
find(const char *text, size_t length, const char *const *words, size_t count)
{
    size_t i = 0;
    while (i < count && !pim_is_word(words[i], text, length)) {
        i++;
    }
    return i < count ? (int)i : -1;
}

int
pim_word_of(const char *text, const char *const *words, size_t count)
{
    return find(text, strlen(text), words, count);
}

int
pim_form_of(const char *text, const char *const *words, size_t count,
            const char **file)
{
    size_t length = strcspn(text, ":");
    *file = text[length] == ':' ? text + length + 1 : NULL;
    return find(text, length, words, count);
}

pim_tree
pim_tree_of(const char *text)
{
    static const char *const words[] = {"none", "tenants", "all"};
    return (pim_tree)(PIM_TREE_NONE +
                      pim_word_of(text, words, PIM_ARRAY_LEN(words)));
}

// rules.c -- see rules.h.

#include "platform/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/values.h"

// A word that is not closed by a NUL.
typedef struct word {
    const char *text;
    size_t length;
} word;

typedef struct key {
    const char *name;
    const char *(*read)(word value, pimalloc_fault *out, char *function);
} key;

static const char not_a_number[] =
    "has a number that is not whole, or not of 64 bits";

// With K, M or G behind it.
static const char *
read_number(word value, uint64_t *out)
{
    static const char units[] = "KMG";
    const char *end = value.text + value.length;
    char *unit;
    errno = 0;
    unsigned long long n = strtoull(value.text, &unit, 10);
    if (value.length == 0 || *value.text < '0' || *value.text > '9') {
        return not_a_number;
    }
    const char *at = unit != end && *unit != '\0' ? strchr(units, *unit) : NULL;
    unsigned shift = at != NULL ? 10 * (unsigned)(at - units + 1) : 0;
    if (unit + (at != NULL) != end || errno != 0 || n > UINT64_MAX >> shift) {
        return not_a_number;
    }
    *out = (uint64_t)n << shift;
    return NULL;
}

static const char *
read_positive(word value, uint64_t *out)
{
    const char *lack = read_number(value, out);
    return lack == NULL && *out == 0 ? "has a 0 where rules count from 1"
                                     : lack;
}

static const char *
read_nth(word value, pimalloc_fault *out, char *function)
{
    (void)function;
    return read_positive(value, &out->nth);
}

static const char *
read_every(word value, pimalloc_fault *out, char *function)
{
    (void)function;
    return read_positive(value, &out->every);
}

static const char *
read_seed(word value, pimalloc_fault *out, char *function)
{
    (void)function;
    return read_number(value, &out->seed);
}

// Not by strtod(), which asks the locale for the point.
static const char *
read_probability(word value, pimalloc_fault *out, char *function)
{
    double p = 0;
    double unit = 0; // of the next digit behind the point; 0: before it
    bool is_good = value.length != 0;
    (void)function;
    for (size_t i = 0; i < value.length && is_good; i++) {
        char c = value.text[i];
        is_good = (c >= '0' && c <= '9') || (c == '.' && unit == 0);
        if (c == '.') {
            unit = 0.1;
        } else if (unit == 0) {
            p = 10 * p + (c - '0');
        } else {
            p += unit * (c - '0');
            unit /= 10;
        }
    }
    out->probability = p;
    return is_good && p > 0 && p <= 1
               ? NULL
               : "has a probability that is not above 0 and up to 1";
}

static const char *
read_min_size(word value, pimalloc_fault *out, char *function)
{
    uint64_t size = 0;
    const char *lack = read_number(value, &size);
    (void)function;
    out->min_size = (size_t)size;
    return lack;
}

static const char *
read_max_size(word value, pimalloc_fault *out, char *function)
{
    uint64_t size = 0;
    const char *lack = read_positive(value, &size);
    (void)function;
    out->max_size = (size_t)size;
    return lack;
}

// Several with + between them.
static const char *
read_domain(word value, pimalloc_fault *out, char *function)
{
    static const char *const names[] = {"raw", "mem", "obj"};
    const char *end = value.text + value.length;
    const char *at = value.text;
    (void)function;
    for (; at <= end; at++) {
        const char *stop = memchr(at, '+', (size_t)(end - at));
        stop = stop != NULL ? stop : end;
        unsigned d = 0;
        while (d < PIM_ARRAY_LEN(names) &&
               !pim_is_word(names[d], at, (size_t)(stop - at))) {
            d++;
        }
        if (d == PIM_ARRAY_LEN(names)) {
            return "has a domain that is none of raw, mem and obj";
        }
        out->domains |= 1u << d;
        at = stop;
    }
    return NULL;
}

static const char *
read_interp(word value, pimalloc_fault *out, char *function)
{
    uint64_t id = 0;
    (void)function;
    if (pim_is_word("each", value.text, value.length)) {
        out->interp = PIMALLOC_EACH;
    } else if (pim_is_word("process", value.text, value.length)) {
        out->interp = PIMALLOC_PROCESS;
    } else if (read_number(value, &id) == NULL && id <= INT64_MAX) {
        out->interp = (int64_t)id;
    } else {
        return "has an interp that is neither an id nor each or process";
    }
    return NULL;
}

static const char *
read_function(word value, pimalloc_fault *out, char *function)
{
    if (value.length == 0 || value.length > PIMALLOC_FAULT_NAME_MAX) {
        return "has a function without a name, or with one that is too long";
    }
    memcpy(function, value.text, value.length);
    function[value.length] = '\0';
    out->function = function;
    return NULL;
}

static const key keys[] = {
    {"nth", read_nth},           {"every", read_every},
    {"seed", read_seed},         {"probability", read_probability},
    {"min_size", read_min_size}, {"max_size", read_max_size},
    {"domain", read_domain},     {"interp", read_interp},
    {"function", read_function},
};

// KEY=VALUE.
static const char *
read_pair(word pair, pimalloc_fault *out, char *function)
{
    const char *sign = memchr(pair.text, '=', pair.length);
    size_t length = sign != NULL ? (size_t)(sign - pair.text) : pair.length;
    for (size_t i = 0; i < PIM_ARRAY_LEN(keys) && sign != NULL; i++) {
        if (pim_is_word(keys[i].name, pair.text, length)) {
            word value = {sign + 1, pair.length - length - 1};
            return keys[i].read(value, out, function);
        }
    }
    return "has something else than nth=, every=, probability=, seed=, "
           "min_size=, max_size=, domain=, interp= and function=";
}

// What no pair shows.
static const char *
lack_of(const pimalloc_fault *f)
{
    int kinds = (f->nth != 0) + (f->every != 0) + (f->probability != 0);
    return kinds != 1 ? "has a rule with none or several of nth, every and "
                        "probability"
           : f->max_size != 0 && f->max_size < f->min_size
               ? "has a max_size that is below min_size"
               : NULL;
}

const char *
pim_rule_of(const char **text, pimalloc_fault *out, char *function)
{
    const char *at = *text;
    const char *end = at + strcspn(at, ";");
    *text = *end == ';' ? end + 1 : end;
    *out = (pimalloc_fault){.size = sizeof(*out), .interp = PIMALLOC_EACH};
    const char *lack = NULL;
    for (; at <= end && lack == NULL; at++) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        comma = comma != NULL ? comma : end;
        lack = read_pair((word){at, (size_t)(comma - at)}, out, function);
        at = comma;
    }
    return lack != NULL ? lack : lack_of(out);
}

const char *
pim_rules_lack(const char *text)
{
    pimalloc_fault ignored;
    char function[PIMALLOC_FAULT_NAME_MAX + 1];
    unsigned count = 0;
    const char *lack = NULL;
    do {
        lack = pim_rule_of(&text, &ignored, function);
        count++;
    } while (lack == NULL && *text != '\0');
    return lack == NULL && count > PIMALLOC_HOOKS_MAX
               ? "has more rules than there may be hooks"
               : lack;
}

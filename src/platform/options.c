// options.c -- a table of variables, each with a parser.

#define _GNU_SOURCE

#include "platform/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define PREFIX "PIMALLOC_"

typedef struct option {
    const char *name; // without the prefix
    const char *valid;
    bool (*parse)(const char *value, pim_options *out);
} option;

static bool
parse_mimalloc(const char *value, pim_options *out)
{
    if (*value == '\0') {
        return false;
    }
    out->mimalloc = value;
    return true;
}

// Bytes, or with a suffix: 64M, 1G.
static bool
parse_region(const char *value, pim_options *out)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(value, &end, 10);
    unsigned shift = *end == 'K'   ? 10
                     : *end == 'M' ? 20
                     : *end == 'G' ? 30
                     : *end == 'T' ? 40
                                   : 0;
    end += shift != 0;
    bool ok = errno == 0 && *value >= '1' && *value <= '9' && *end == '\0' &&
              n <= SIZE_MAX >> shift;
    if (ok) {
        out->region_bytes = (size_t)n << shift;
    }
    return ok;
}

static bool
parse_tstate(const char *value, pim_options *out)
{
    out->tstate_by_call = strcmp(value, "call") == 0;
    return out->tstate_by_call || strcmp(value, "auto") == 0;
}

static bool
parse_verbose(const char *value, pim_options *out)
{
    out->verbose = strcmp(value, "1") == 0;
    return out->verbose || strcmp(value, "0") == 0;
}

static const option options[] = {
    {"MIMALLOC", "the path of libmimalloc.so.3", parse_mimalloc},
    {"REGION", "a size such as 64G", parse_region},
    {"TSTATE", "auto or call", parse_tstate},
    {"VERBOSE", "0 or 1", parse_verbose},
};

static void
report_unknown(int name_length, const char *name)
{
    char valid[128] = "";
    for (size_t i = 0; i < PIM_ARRAY_LEN(options); i++) {
        size_t used = strlen(valid);
        snprintf(valid + used, sizeof(valid) - used, "%s" PREFIX "%s",
                 i == 0 ? "" : ", ", options[i].name);
    }
    fprintf(stderr, "pimalloc: there is no option %.*s; valid are %s\n",
            name_length, name, valid);
}

static void
read_one(const char *entry, bool quiet, pim_options *out)
{
    const char *name = entry + strlen(PREFIX);
    size_t length = strcspn(name, "=");
    if (name[length] != '=') {
        return;
    }
    for (size_t i = 0; i < PIM_ARRAY_LEN(options); i++) {
        const option *o = &options[i];
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0) {
            if (!o->parse(name + length + 1, out) && !quiet) {
                fprintf(stderr, "pimalloc: bad value in %s; valid is %s\n",
                        entry, o->valid);
            }
            return;
        }
    }
    if (!quiet) {
        report_unknown((int)(strlen(PREFIX) + length), entry);
    }
}

void
pim_options_read(pim_options *out)
{
    static bool reported;
    *out = (pim_options){0};
    if (getauxval(AT_SECURE) != 0) {
        return;
    }
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        if (strncmp(*entry, PREFIX, strlen(PREFIX)) == 0) {
            read_one(*entry, reported, out);
        }
    }
    reported = true;
}

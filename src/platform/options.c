// options.c -- a table of variables, each with a parser.

#define _GNU_SOURCE

#include "platform/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "pimalloc/tenants.h"
#include "platform/say.h"
#include "platform/signals.h"

#define PREFIX "PIMALLOC_"

// Room for one name, with prefix and separator, in a list of all.
#define LISTED_MAX 32

typedef struct option {
    const char *name; // without the prefix
    const char *valid;
    bool (*parse)(const char *value, pim_options *out);
} option;

// A copy that stays, since whoever shows a title in ps (setproctitle) writes it
// over the environment.  The same text is kept once; an older one is not freed,
// somebody may still read it.  NULL: no memory.
static const char *
keep(const char *text, char **kept)
{
    if (*kept == NULL || strcmp(*kept, text) != 0) {
        *kept = strdup(text);
    }
    return *kept;
}

static bool
parse_mimalloc(const char *value, pim_options *out)
{
    static char *kept;
    out->mimalloc = keep(value, &kept);
    return out->mimalloc != NULL;
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
parse_switch(const char *value, bool *on)
{
    *on = strcmp(value, "1") == 0;
    return *on || strcmp(value, "0") == 0;
}

static bool
parse_verbose(const char *value, pim_options *out)
{
    return parse_switch(value, &out->verbose);
}

static bool
parse_debug(const char *value, pim_options *out)
{
    return parse_switch(value, &out->debug);
}

static bool
parse_teardown(const char *value, pim_options *out)
{
    static const char *const names[] = {[PIMALLOC_KEEP] = "keep",
                                        [PIMALLOC_POISON] = "poison",
                                        [PIMALLOC_RELEASE] = "release"};
    for (int policy = PIMALLOC_KEEP; policy <= PIMALLOC_RELEASE; policy++) {
        if (strcmp(value, names[policy]) == 0) {
            out->teardown = policy;
            return true;
        }
    }
    return false;
}

static bool
parse_purge_thread(const char *value, pim_options *out)
{
    return parse_switch(value, &out->purge_thread);
}

static bool
parse_check(const char *value, pim_options *out)
{
    return parse_switch(value, &out->check);
}

// A format, and a file after a colon.
static bool
parse_stats(const char *value, pim_options *out)
{
    static const struct {
        const char *name;
        int format;
    } formats[] = {{"0", -1},
                   {"1", PIMALLOC_TEXT},
                   {"text", PIMALLOC_TEXT},
                   {"json", PIMALLOC_JSON},
                   {"openmetrics", PIMALLOC_OPENMETRICS}};
    static char *kept;
    size_t length = strcspn(value, ":");
    const char *file = value[length] == ':' ? value + length + 1 : NULL;
    if (file != NULL && (*file == '\0' || length < 2)) {
        return false;
    }
    for (size_t i = 0; i < PIM_ARRAY_LEN(formats); i++) {
        if (strlen(formats[i].name) == length &&
            memcmp(formats[i].name, value, length) == 0) {
            out->stats_file = file != NULL ? keep(file, &kept) : NULL;
            if (file != NULL && out->stats_file == NULL) {
                return false;
            }
            out->stats_format = formats[i].format;
            return true;
        }
    }
    return false;
}

static bool
parse_signal(const char *value, pim_options *out)
{
    int number = pim_signal_of(value);
    bool ok = pim_signal_is_free(number);
    out->stats_signal = ok ? number : 0;
    return ok;
}

static const option options[] = {
    {"MIMALLOC", "the path of libmimalloc.so.3", parse_mimalloc},
    {"REGION", "a size such as 64G", parse_region},
    {"TSTATE", "auto or call", parse_tstate},
    {"VERBOSE", "0 or 1", parse_verbose},
    {"DEBUG", "0 or 1", parse_debug},
    {"PURGE_THREAD", "0 or 1", parse_purge_thread},
    {"TEARDOWN", "keep, poison or release", parse_teardown},
    {"STATS", "text, json or openmetrics, with or without :FILE; 0 or 1",
     parse_stats},
    {"STATS_SIGNAL", "a signal that is free to be used, such as USR1",
     parse_signal},
    {"CHECK", "0 or 1", parse_check},
};

static void
report_unknown(int name_length, const char *name)
{
    char valid[PIM_ARRAY_LEN(options) * LISTED_MAX] = "";
    for (size_t i = 0; i < PIM_ARRAY_LEN(options); i++) {
        size_t used = strlen(valid);
        snprintf(valid + used, sizeof(valid) - used, "%s" PREFIX "%s",
                 i == 0 ? "" : ", ", options[i].name);
    }
    pim_say("pimalloc: there is no option %.*s; valid are %s\n", name_length,
            name, valid);
}

static void
read_one(const char *entry, bool quiet, pim_options *out)
{
    const char *name = entry + strlen(PREFIX);
    size_t length = strcspn(name, "=");
    if (name[length] != '=' || name[length + 1] == '\0') {
        return;
    }
    for (size_t i = 0; i < PIM_ARRAY_LEN(options); i++) {
        const option *o = &options[i];
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0) {
            if (!o->parse(name + length + 1, out) && !quiet) {
                pim_say("pimalloc: bad value in %s; valid is %s\n", entry,
                        o->valid);
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
    *out = (pim_options){.stats_format = -1};
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

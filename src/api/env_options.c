// env_options.c -- a table of variables, each with a parser.

#define _GNU_SOURCE

#include "api/env_options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pimalloc/tenants.h"
#include "platform/privilege.h"
#include "platform/rules.h"
#include "platform/say.h"
#include "platform/signals.h"
#include "platform/values.h"

#define PREFIX "PIMALLOC_"
#define INTERNAL "RUN_CHECK" // nobody is told of it

// Room for one name, with prefix and separator, in a list of all.
#define LISTED_MAX 32

typedef struct option {
    const char *name; // without the prefix
    const char *valid;
    bool (*parse)(const char *value, pim_options *out); // NULL: a switch
    size_t at; // of a switch, where it is in pim_options
} option;

#define SWITCH(member) "0 or 1", .at = offsetof(pim_options, member)

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

static bool
parse_record(const char *value, pim_options *out)
{
    static char *kept;
    out->record = keep(value, &kept);
    return out->record != NULL;
}

static bool
parse_region(const char *value, pim_options *out)
{
    return pim_size_of(value, &out->region_bytes) == NULL;
}

static bool
parse_limit(const char *value, pim_options *out)
{
    return pim_limits_of(value, &out->limit_soft, &out->limit_hard) == NULL;
}

static bool
parse_faults(const char *value, pim_options *out)
{
    static char *kept;
    out->faults = pim_rules_lack(value) == NULL ? keep(value, &kept) : NULL;
    return out->faults != NULL;
}

static bool
parse_limit_tree(const char *value, pim_options *out)
{
    out->limit_tree = pim_tree_of(value);
    return out->limit_tree != PIM_TREE_UNSAID;
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

// What it says is for the preload library, which reads it before all others
// (preload/children.c) and puts a process's id behind the 0.
static bool
parse_children(const char *value, pim_options *out)
{
    bool ignored;
    (void)out;
    return parse_switch(value, &ignored) || strncmp(value, "0:", 2) == 0;
}

static bool
parse_teardown(const char *value, pim_options *out)
{
    static const char *const policies[] = {"keep", "poison", "release"};
    int i = pim_word_of(value, policies, PIM_ARRAY_LEN(policies));
    out->teardown = PIMALLOC_KEEP + i; // 0 for none of them
    return i >= 0;
}

// forms: "0", "1", for which the third stands, too, and others.  Returns 0 for
// "0", 1 for "1" and the third, 2 for the fourth; *file is what follows a colon
// behind one of these words, or NULL.  -1: it is none of them, and *file is as
// it was.
static int
form_of(const char *value, const char *const *forms, size_t count, char **kept,
        const char **file)
{
    const char *path;
    int form = pim_form_of(value, forms, count, &path);
    if (form < 0 || (path != NULL && (*path == '\0' || form < 2))) {
        return -1;
    }
    const char *copy = path != NULL ? keep(path, kept) : NULL;
    if (path != NULL && copy == NULL) {
        return -1;
    }
    *file = copy;
    return form < 2 ? form : form - 1;
}

static bool
parse_stats(const char *value, pim_options *out)
{
    static const char *const forms[] = {"0", "1", "text", "json",
                                        "openmetrics"};
    static char *kept;
    int form =
        form_of(value, forms, PIM_ARRAY_LEN(forms), &kept, &out->stats_file);
    if (form >= 0) {
        out->stats_format = form - 1; // enum pimalloc_format
    }
    return form >= 0;
}

static bool
parse_leaks(const char *value, pim_options *out)
{
    static const char *const forms[] = {"0", "1", "text", "json", "fail"};
    static char *kept;
    int form =
        form_of(value, forms, PIM_ARRAY_LEN(forms), &kept, &out->leaks_file);
    if (form >= 0) {
        out->leaks = (pim_leaks_form)form;
    }
    return form >= 0;
}

static bool
parse_profile(const char *value, pim_options *out)
{
    static const char *const forms[] = {"0",     "1",      "html",
                                        "pprof", "folded", "speedscope"};
    static char *kept;
    int form =
        form_of(value, forms, PIM_ARRAY_LEN(forms), &kept, &out->profile_file);
    if (form >= 0) {
        out->profile_format = form - 1; // enum pimalloc_profile_format
    }
    return form >= 0;
}

static bool
parse_profile_period(const char *value, pim_options *out)
{
    return pim_period_of(value, &out->profile_period) == NULL;
}

static bool
parse_profile_every(const char *value, pim_options *out)
{
    return pim_every_of(value, &out->profile_seconds, &out->profile_keep) ==
           NULL;
}

static bool
parse_signal(const char *value, pim_options *out)
{
    int number = pim_signal_of(value);
    bool ok = pim_signal_is_free(number);
    out->stats_signal = ok ? number : 0;
    return ok;
}

static bool
parse_trace(const char *value, pim_options *out)
{
    int frames = pim_frames_of(value);
    out->trace = frames > 0 ? (unsigned)frames : 0;
    return frames >= 0;
}

// In the order in which they are listed.
static const option options[] = {
    {"CHECK", SWITCH(check)},
    {"CHILDREN", "0 or 1", .parse = parse_children},
    {"DEBUG", SWITCH(debug)},
    {"FAULTS",
     "KEY=VALUE,... of nth, every or probability, seed, min_size, max_size, "
     "domain, interp and function, and a semicolon between rules: "
     "every=1000,domain=obj",
     .parse = parse_faults},
    {"LEAKS", "text, json or fail, with or without :FILE; 0 or 1",
     .parse = parse_leaks},
    {"LIMIT",
     "SOFT or SOFT:HARD, whole numbers with K, M, G or T such as 64M, 1M at "
     "least, the second not smaller",
     .parse = parse_limit},
    {"LIMIT_TREE", "none, tenants or all", .parse = parse_limit_tree},
    {"MIMALLOC", "the path of libmimalloc.so.3", .parse = parse_mimalloc},
    {"PROFILE",
     "html, pprof, folded or speedscope, with or without :FILE; 0 or 1",
     .parse = parse_profile},
    {"PROFILE_EVERY", "SECONDS or SECONDS:KEEP, whole numbers such as 60:24",
     .parse = parse_profile_every},
    {"PROFILE_PERIOD",
     "a whole number with K, M, G or T such as 64K, from 1K to 1T",
     .parse = parse_profile_period},
    {"PURGE_THREAD", SWITCH(purge_thread)},
    {"RECORD", "the path of a file", .parse = parse_record},
    {"REGION", "a whole number with K, M, G or T such as 64G, 1M at least",
     .parse = parse_region},
    {INTERNAL, SWITCH(run_check)},
    {"STATS", "text, json or openmetrics, with or without :FILE; 0 or 1",
     .parse = parse_stats},
    {"STATS_SIGNAL", "a signal that is free to be used, such as USR1",
     .parse = parse_signal},
    {"TEARDOWN", "keep, poison or release", .parse = parse_teardown},
    {"TRACE", "how many frames of each stack to keep, 1 to 256; 0",
     .parse = parse_trace},
    {"TSTATE", "auto or call", .parse = parse_tstate},
    {"VERBOSE", SWITCH(verbose)},
};

static void
report_unknown(int name_length, const char *name)
{
    char valid[PIM_ARRAY_LEN(options) * LISTED_MAX] = "";
    for (size_t i = 0; i < PIM_ARRAY_LEN(options); i++) {
        size_t used = strlen(valid);
        if (strcmp(options[i].name, INTERNAL) != 0) {
            snprintf(valid + used, sizeof(valid) - used, "%s" PREFIX "%s",
                     i == 0 ? "" : ", ", options[i].name);
        }
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
        if (pim_is_word(o->name, name, length)) {
            const char *value = name + length + 1;
            bool ok = o->parse != NULL
                          ? o->parse(value, out)
                          : parse_switch(value, (bool *)((char *)out + o->at));
            if (!ok && !quiet) {
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

static pim_options kept;
static bool is_kept;

void
pim_options_keep(const pim_options *from_now_on)
{
    kept = *from_now_on;
    is_kept = true;
}

void
pim_options_read(pim_options *out)
{
    static bool reported;
    if (is_kept) {
        *out = kept;
        return;
    }
    *out = (pim_options){.stats_format = -1,
                         .profile_format = -1,
                         .profile_keep = PIM_PROFILE_KEEP};
    if (pim_is_privileged()) {
        pim_privilege_forget(PREFIX);
        return;
    }
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        if (strncmp(*entry, PREFIX, strlen(PREFIX)) == 0) {
            read_one(*entry, reported, out);
        }
    }
    reported = true;
}

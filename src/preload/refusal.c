// refusal.c -- why a Python is not served, in words, and what it therefore
// lacks.

#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/say.h"
#include "preload/preload.h"

const char *
pim_preload_without_name(const char *text)
{
    static const char name[] = "pimalloc: ";
    size_t length = sizeof(name) - 1;
    return strncmp(text, name, length) == 0 ? text + length : text;
}

// What was asked for and is not done where Python is not served, each behind a
// comma; "": nothing that would be missed.  pimalloc-run --check tells it in its
// answer.
static const char *
missed(void)
{
    static char text[128];
    const pim_options *o = &pim_preload_options;
    const struct {
        const char *name;
        bool asked;
    } wishes[] = {{"PIMALLOC_LIMIT", o->limit_soft != 0},
                  {"PIMALLOC_LEAKS", o->leaks != PIM_LEAKS_UNTOLD},
                  {"PIMALLOC_FAULTS", o->faults != NULL},
                  {"PIMALLOC_RECORD", o->record != NULL},
                  {"PIMALLOC_PROFILE", o->profile_format >= 0}};
    unsigned asked = 0;
    text[0] = '\0';
    for (size_t i = 0; i < PIM_ARRAY_LEN(wishes) && !o->run_check; i++) {
        if (wishes[i].asked) {
            size_t used = strlen(text);
            snprintf(text + used, sizeof(text) - used, "%s%s",
                     asked++ == 0 ? ", " : " and ", wishes[i].name);
        }
    }
    size_t used = strlen(text);
    snprintf(text + used, sizeof(text) - used, "%s",
             asked == 0   ? ""
             : asked == 1 ? " does nothing"
                          : " do nothing");
    return text;
}

static void
say_why_not(const char *undone, const char *why)
{
    pim_say("pimalloc: not active in %s (process %ld)%s: %s\n",
            program_invocation_short_name, (long)getpid(), undone,
            pim_preload_without_name(why));
}

void
pim_preload_say_why_not(const char *why)
{
    if (pim_preload_options.verbose) {
        say_why_not("", why);
    }
}

void
pim_preload_not_served(const char *why)
{
    const char *undone = missed();
    if (pim_preload_options.verbose || undone[0] != '\0') {
        say_why_not(undone, why);
    }
    pim_preload_leaks_unknown();
}

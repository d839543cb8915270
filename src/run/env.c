// env.c -- env(1)'s options, as far as they decide what is executed.

#define _GNU_SOURCE

#include "run/env.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define BLANKS " \t"

static size_t
count(char **argv)
{
    size_t n = 0;
    while (argv[n] != NULL) {
        n++;
    }
    return n;
}

// The words of `text`, then `rest`; kept until the process ends.
static char **
split(const char *text, char **rest)
{
    char *words = strdup(text);
    size_t n = count(rest);
    char **out = calloc(strlen(text) / 2 + 1 + n + 1, sizeof(*out));
    if (words == NULL || out == NULL || strpbrk(text, "'\"\\$#") != NULL) {
        free(words);
        free(out);
        return NULL;
    }
    size_t used = 0;
    char *state;
    for (char *word = strtok_r(words, BLANKS, &state); word != NULL;
         word = strtok_r(NULL, BLANKS, &state)) {
        out[used++] = word;
    }
    memcpy(out + used, rest, n * sizeof(*out));
    return out;
}

// What follows one of two spellings of an option in the same word, or NULL.
static const char *
value_of(const char *word, const char *brief, const char *full)
{
    if (strncmp(word, brief, strlen(brief)) == 0) {
        return word + strlen(brief);
    }
    return strncmp(word, full, strlen(full)) == 0 ? word + strlen(full) : NULL;
}

static void
unset(const char *name, bool for_check, bool *clears)
{
    if (strcmp(name, "LD_PRELOAD") == 0) {
        *clears = true;
    } else if (for_check) {
        unsetenv(name);
    }
}

static void
assign(char *assignment, bool for_check, bool *clears)
{
    if (strncmp(assignment, "LD_PRELOAD=", strlen("LD_PRELOAD=")) == 0) {
        *clears = true;
    } else if (for_check) {
        putenv(assignment);
    }
}

static bool
is_harmless(const char *word)
{
    static const char *const known[] = {"-v", "--debug", "-0", "--null"};
    for (size_t i = 0; i < PIM_ARRAY_LEN(known); i++) {
        if (strcmp(word, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

// One option; returns where to go on, or NULL if it is not understood.
static char **
skip_option(char **at, bool for_check, bool *clears)
{
    const char *value;
    if (strcmp(*at, "-") == 0 || strcmp(*at, "-i") == 0 ||
        strcmp(*at, "--ignore-environment") == 0) {
        *clears = true;
        return at + 1;
    }
    if ((value = value_of(*at, "-S", "--split-string=")) != NULL) {
        if (*value != '\0') {
            return split(value, at + 1);
        }
        return at[1] != NULL ? split(at[1], at + 2) : NULL;
    }
    if ((value = value_of(*at, "-u", "--unset=")) != NULL) {
        if (*value == '\0') {
            value = *++at;
        }
        if (value == NULL) {
            return NULL;
        }
        unset(value, for_check, clears);
        return at + 1;
    }
    return is_harmless(*at) ? at + 1 : NULL;
}

char **
pim_env_command(char **argv, bool for_check, bool *clears)
{
    char **at = argv + 1;
    while (at != NULL && *at != NULL && (*at)[0] == '-') {
        if (strcmp(*at, "--") == 0) {
            at++;
            break;
        }
        at = skip_option(at, for_check, clears);
    }
    while (at != NULL && *at != NULL && strchr(*at, '=') != NULL) {
        assign(*at, for_check, clears);
        at++;
    }
    return at != NULL && *at != NULL ? at : NULL;
}

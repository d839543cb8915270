// env.c -- env(1)'s options, as far as they decide what is executed.

#define _GNU_SOURCE

#include "run/env.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

// --- options -------------------------------------------------------------------

enum effect {
    IGNORE_ENVIRONMENT,
    UNSET,
    SPLIT,
    CHANGE_DIRECTORY,
    NAME_ARGV0,
    NOTHING, // with a value behind "=", or without
};

static const struct {
    char brief; // 0: has none
    enum effect effect;
    const char *full;
} known[] = {
    {'i', IGNORE_ENVIRONMENT, "ignore-environment"},
    {'u', UNSET, "unset"},
    {'S', SPLIT, "split-string"},
    {'C', CHANGE_DIRECTORY, "chdir"},
    {'a', NAME_ARGV0, "argv0"},
    {'v', NOTHING, "debug"},
    {'0', NOTHING, "null"},
    {0, NOTHING, "block-signal"},
    {0, NOTHING, "default-signal"},
    {0, NOTHING, "ignore-signal"},
    {0, NOTHING, "list-signal-handling"},
};

static bool
takes_value(enum effect effect)
{
    return effect != IGNORE_ENVIRONMENT && effect != NOTHING;
}

typedef struct env {
    char **at; // the next word
    bool for_check;
    bool *clears;
    const char *folder; // of -C
} env;

// False if what env would do is not known.
static bool
apply(env *e, enum effect effect, const char *value)
{
    switch (effect) {
    case IGNORE_ENVIRONMENT:
        *e->clears = true;
        return true;
    case UNSET:
        unset(value, e->for_check, e->clears);
        return true;
    case SPLIT:
        e->at = split(value, e->at);
        return e->at != NULL;
    case CHANGE_DIRECTORY:
        e->folder = value;
        return true;
    default:
        return true;
    }
}

// One word of letters, of which the last may have a value: -i, -iS "a b", -uX.
static bool
read_letters(env *e, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        size_t i = 0;
        while (i < PIM_ARRAY_LEN(known) && known[i].brief != *letters) {
            i++;
        }
        if (i == PIM_ARRAY_LEN(known)) {
            return false;
        }
        if (takes_value(known[i].effect)) {
            const char *value = letters[1] != '\0' ? letters + 1 : *e->at++;
            return value != NULL && apply(e, known[i].effect, value);
        }
        apply(e, known[i].effect, NULL);
    }
    return true;
}

// --name, --name=value or --name value, the name in full.
static bool
read_name(env *e, const char *name)
{
    size_t length = strcspn(name, "=");
    for (size_t i = 0; i < PIM_ARRAY_LEN(known); i++) {
        if (strlen(known[i].full) == length &&
            memcmp(known[i].full, name, length) == 0) {
            const char *value = name[length] != '\0' ? name + length + 1 : NULL;
            if (takes_value(known[i].effect) && value == NULL) {
                value = *e->at++;
            }
            return (value != NULL || !takes_value(known[i].effect)) &&
                   apply(e, known[i].effect, value);
        }
    }
    return false;
}

static bool
read_options(env *e)
{
    bool ok = true;
    while (ok && *e->at != NULL && (*e->at)[0] == '-') {
        const char *word = *e->at++;
        if (strcmp(word, "--") == 0) {
            break;
        }
        if (word[1] == '\0') {
            *e->clears = true; // as -i
        } else {
            ok = word[1] == '-' ? read_name(e, word + 2)
                                : read_letters(e, word + 1);
        }
    }
    return ok;
}

bool
pim_env_command(char **argv, bool for_check, bool *clears, char ***command)
{
    env e = {.at = argv + 1, .for_check = for_check, .clears = clears};
    *command = NULL;
    if (!read_options(&e)) {
        return false;
    }
    while (*e.at != NULL && strchr(*e.at, '=') != NULL) {
        assign(*e.at, for_check, clears);
        e.at++;
    }
    // Ours would change where COMMAND is looked for, unless it is not run.
    if (e.folder != NULL && (!for_check || chdir(e.folder) != 0)) {
        return false;
    }
    *command = *e.at != NULL ? e.at : NULL;
    return true;
}

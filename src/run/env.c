// env.c -- env(1)'s command line, read as env itself reads it: by
// getopt_long(3).

#define _GNU_SOURCE

#include "run/env.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/common.h"

#define BLANKS " \t"

#define BRIEF "+a:C:iS:u:v0"
static const struct option full[] = {
    {"argv0", required_argument, NULL, 'a'},
    {"block-signal", optional_argument, NULL, 0},
    {"chdir", required_argument, NULL, 'C'},
    {"debug", no_argument, NULL, 'v'},
    {"default-signal", optional_argument, NULL, 0},
    {"ignore-environment", no_argument, NULL, 'i'},
    {"ignore-signal", optional_argument, NULL, 0},
    {"list-signal-handling", no_argument, NULL, 0},
    {"null", no_argument, NULL, '0'},
    {"split-string", required_argument, NULL, 'S'},
    {"unset", required_argument, NULL, 'u'},
    {0},
};

// env, the words of `text`, then `rest`.  NULL: quotes, escapes or too many
// words.
static char **
split(const char *env, const char *text, char **rest)
{
    const char *words[256] = {env};
    size_t used = 1;
    char *left = pim_text("%s", text);
    for (char *word = strtok(left, BLANKS); word != NULL;
         word = strtok(NULL, BLANKS)) {
        if (used == PIM_ARRAY_LEN(words) || strpbrk(word, "'\"\\$#") != NULL) {
            return NULL;
        }
        words[used++] = word;
    }
    return pim_words(words, used, rest);
}

// entry: NAME=VALUE to set, or NAME to remove.
static void
change(char *entry, bool apply, bool *clears)
{
    char *name = pim_text("%.*s", (int)strcspn(entry, "="), entry);
    if (strcmp(name, "LD_PRELOAD") == 0) {
        *clears = true;
    } else if (apply) {
        putenv(entry);
    }
}

bool
pim_env_command(char **argv, bool apply, bool *clears, char ***command)
{
    const char *folder = NULL;
    int letter;
    *command = NULL;
    opterr = 0;
    optind = 0; // getopt_long() starts anew
    while ((letter = getopt_long(pim_count(argv), argv, BRIEF, full, NULL)) !=
           -1) {
        if (letter == 'S') {
            argv = split(argv[0], optarg, argv + optind);
            optind = 0;
        }
        if (letter == '?' || argv == NULL) {
            return false;
        }
        if (letter == 'C') {
            folder = optarg;
        } else if (letter == 'i') {
            *clears = true;
        } else if (letter == 'u') {
            change(optarg, apply, clears);
        }
    }
    argv += optind;
    if (*argv != NULL && strcmp(*argv, "-") == 0) {
        *clears = true; // as -i
        argv++;
    }
    for (; *argv != NULL && strchr(*argv, '=') != NULL; argv++) {
        change(*argv, apply, clears);
    }
    // Ours would change where COMMAND is looked for, unless it is not run.
    if (folder != NULL && (!apply || chdir(folder) != 0)) {
        return false;
    }
    *command = *argv != NULL ? argv : NULL;
    return true;
}

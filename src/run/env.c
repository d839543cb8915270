// env.c -- env(1)'s command line, read as env itself reads it: by getopt_long(3).

#define _GNU_SOURCE

#include "run/env.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static int
count(char **argv)
{
    int n = 0;
    while (argv[n] != NULL) {
        n++;
    }
    return n;
}

// "env", the words of `text`, then `rest`; never freed.  NULL: not possible.
static char **
split(char *env, const char *text, char **rest)
{
    size_t n = (size_t)count(rest);
    char *words = strdup(text);
    char **out = calloc(strlen(text) / 2 + n + 3, sizeof(*out));
    if (words == NULL || out == NULL || strpbrk(text, "'\"\\$#") != NULL) {
        free(words);
        free(out);
        return NULL;
    }
    size_t used = 0;
    out[used++] = env;
    char *state;
    for (char *word = strtok_r(words, BLANKS, &state); word != NULL;
         word = strtok_r(NULL, BLANKS, &state)) {
        out[used++] = word;
    }
    memcpy(out + used, rest, n * sizeof(*out));
    return out;
}

// entry: NAME=VALUE to set, or NAME to remove.
static void
change(char *entry, bool apply, bool *clears)
{
    static const char preload[] = "LD_PRELOAD";
    size_t length = strcspn(entry, "=");
    if (length == strlen(preload) && memcmp(entry, preload, length) == 0) {
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
    while ((letter = getopt_long(count(argv), argv, BRIEF, full, NULL)) != -1) {
        switch (letter) {
        case '?':
            return false;
        case 'C':
            folder = optarg;
            break;
        case 'i':
            *clears = true;
            break;
        case 'S':
            argv = split(argv[0], optarg, argv + optind);
            if (argv == NULL) {
                return false;
            }
            optind = 0;
            break;
        case 'u':
            change(optarg, apply, clears);
            break;
        default: // changes nothing that matters here
            break;
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

// choice.c -- was Python told to use another allocator?
//
// Python itself decides that, after us; this is for telling people in advance
// and for naming the cause.  The command line is read as Python reads it:
// options end at the first argument, at -c and at -m.

#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>

#include "preload/preload.h"

typedef struct python_flags {
    bool ignores_environment; // -E, -I
    bool dev_mode;            // -X dev
} python_flags;

// -X dev, which may have a value that does not matter.
static bool
is_dev(const char *x)
{
    return strncmp(x, "dev", 3) == 0 && (x[3] == '\0' || x[3] == '=');
}

// One word of short options, such as -Ic; `next` is the word after it.  Returns
// how many words it took; 0: options end here.
static int
read_word(const char *word, const char *next, python_flags *out)
{
    for (const char *at = word + 1; *at != '\0'; at++) {
        const char *value = at[1] != '\0' ? at + 1 : next;
        switch (*at) {
        case 'E':
        case 'I':
            out->ignores_environment = true;
            break;
        case 'c':
        case 'm':
            return 0;
        case 'X':
            out->dev_mode |= value != NULL && is_dev(value);
            return at[1] != '\0' ? 1 : 2;
        case 'W':
            return at[1] != '\0' ? 1 : 2;
        default:
            break;
        }
    }
    return 1;
}

static python_flags
read_command_line(char **argv)
{
    python_flags flags = {false, false};
    if (argv == NULL || argv[0] == NULL) {
        return flags;
    }
    char **at = argv + 1;
    while (*at != NULL) {
        const char *word = *at;
        if (word[0] != '-' || word[1] == '\0' || strcmp(word, "--") == 0) {
            break;
        }
        int words = strcmp(word, "--check-hash-based-pycs") == 0 ? 2
                    : word[1] == '-'                             ? 1
                                     : read_word(word, at[1], &flags);
        if (words == 0 || (words == 2 && at[1] == NULL)) {
            break;
        }
        at += words;
    }
    return flags;
}

static bool
is_set(const char *name)
{
    const char *value = secure_getenv(name);
    return value != NULL && *value != '\0';
}

const char *
pim_preload_other_choice(char **argv)
{
    python_flags flags = read_command_line(argv);
    if (!flags.ignores_environment && is_set("PYTHONMALLOC")) {
        return "PYTHONMALLOC chooses Python's allocator; unset it (for debug "
               "hooks on pimalloc set PIMALLOC_DEBUG=1)";
    }
    if (flags.dev_mode ||
        (!flags.ignores_environment && is_set("PYTHONDEVMODE"))) {
        return "development mode (-X dev, PYTHONDEVMODE) chooses Python's "
               "allocator; leave it out and set PIMALLOC_DEBUG=1 for debug "
               "hooks on pimalloc";
    }
    return NULL;
}

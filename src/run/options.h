// options.h -- the command line of pimalloc-run.

#ifndef PIM_RUN_OPTIONS_H
#define PIM_RUN_OPTIONS_H

#include <limits.h>
#include <stdbool.h>

// A form and a file, as their variables have them.
#define PIM_RUN_FORM_MAX (PATH_MAX + 32)

typedef struct pim_run_options {
    bool check;
    bool debug;
    bool verbose; // also if PIMALLOC_VERBOSE=1 was there already
    bool no_children;
    bool with_malloc;
    bool with_module;
    int signal; // --stats-signal; 0: none
    char
        stats[PIM_RUN_FORM_MAX]; // PIMALLOC_STATS, FILE absolute; "": not asked
    char leaks[PIM_RUN_FORM_MAX]; // PIMALLOC_LEAKS, likewise
    const char *limit;            // PIMALLOC_LIMIT; NULL: not asked
    const char *limit_tree;       // PIMALLOC_LIMIT_TREE, likewise
    char **command;               // COMMAND and its arguments, then NULL
} pim_run_options;

// Reads the options up to the first argument that is none, or to "--".  --help
// and --version are answered here, and errors are reported; neither returns.
void pim_run_options_read(char **argv, pim_run_options *out);

#endif // PIM_RUN_OPTIONS_H

// command_line.h -- the command line of pimalloc-run.

#ifndef PIM_RUN_COMMAND_LINE_H
#define PIM_RUN_COMMAND_LINE_H

enum pim_run_option {
    PIM_OPT_CHECK,
    PIM_OPT_DEBUG,
    PIM_OPT_HELP,
    PIM_OPT_LEAKS,
    PIM_OPT_LIMIT,
    PIM_OPT_LIMIT_TREE,
    PIM_OPT_NO_CHILDREN,
    PIM_OPT_STATS,
    PIM_OPT_STATS_SIGNAL,
    PIM_OPT_VERBOSE,
    PIM_OPT_VERSION,
    PIM_OPT_WITH_MALLOC,
    PIM_OPT_WITH_MODULE,
    PIM_OPT_COUNT
};

typedef struct pim_run_options {
    // The value of the variable that the option stands for; NULL: not given.
    const char *given[PIM_OPT_COUNT];
    char **command; // COMMAND and its arguments, then NULL
} pim_run_options;

// Reads the options up to the first argument that is none, or to "--", and two
// from their variables, which mean the same to us: PIMALLOC_VERBOSE=1 and
// PIMALLOC_CHILDREN=0.  --help and --version are answered here, and errors are
// reported; neither returns.
void pim_run_options_read(char **argv, pim_run_options *out);

// Sets the variables of all options given.
void pim_run_options_export(const pim_run_options *o);

#endif // PIM_RUN_COMMAND_LINE_H

// run.h -- the parts of pimalloc-run.
//
// Each calls those below it only:
//
//   main.c          prepares the environment, and becomes COMMAND or --checks it
//   command_line.c  the options
//   place.c         where the parts of pimalloc are
//   target.c        which program COMMAND becomes, and can it be preloaded?
//   image.c         what a file tells about the process that it would become
//   common.c        texts, and asking other programs

#ifndef PIM_RUN_RUN_H
#define PIM_RUN_RUN_H

#include <err.h>
#include <limits.h>

#include "base/compiler.h"

// --- common.c ----------------------------------------------------------------

// env(1), nohup(1) and timeout(1) use the same values from 125 on, so a script
// can tell them from most statuses of COMMAND.
enum pim_run_status {
    PIM_RUN_SERVED = 0,        // --check: the Python in COMMAND is served
    PIM_RUN_NOT_SERVED = 1,    // --check: it is not
    PIM_RUN_NO_PYTHON = 2,     // --check: COMMAND has none at its start
    PIM_RUN_FAILED = 125,      // usage error, or a part of pimalloc is missing
    PIM_RUN_NOT_STARTED = 126, // COMMAND was found and cannot be executed
    PIM_RUN_NOT_FOUND = 127,   // COMMAND was not found
};

// As errx(3), which writes "pimalloc-run: " in front.
#define pim_fail(...) errx(PIM_RUN_FAILED, __VA_ARGS__)

// exit(3), or a failure if stdout cannot be written to.
_Noreturn void pim_exit(int status);

// As setenv(3) and asprintf(3).  Nobody frees texts: they last until COMMAND
// takes our place.
void pim_set_variable(const char *name, const char *value);
char *pim_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

// How many words an argv has; and a new one of those of `count` words that are
// not NULL, and then of `rest`.
int pim_count(char *const *argv);
char **pim_words(const char *const *words, size_t count, char *const *rest);

typedef struct pim_answer {
    int status;       // exit status, 126 if not started; -1: it was killed
    char text[65536]; // its stdout
} pim_answer;

// Runs argv[0], found as by execvp(), with stdin from /dev/null and stderr as
// ours.  After `seconds`, or if it writes more, it is killed with its process
// group.
void pim_ask(char *const argv[], unsigned seconds, pim_answer *out);

// --- image.c -----------------------------------------------------------------

// What separates the words of a line #!.
#define PIM_BLANKS " \t"

// With neither machine nor script the file cannot be read, or is of a format
// not known here.
typedef struct pim_image {
    uint32_t machine;      // of an ELF file: EI_CLASS, EI_DATA, e_machine
    char loader[PATH_MAX]; // PT_INTERP; "" in a static program
    char script[256];      // its interpreter with an argument: what follows #!
} pim_image;

void pim_image_read(const char *path, pim_image *out);

// What gives a process of this file privileges that its starter does not have,
// as a phrase ("it is setuid"); NULL if nothing does.
const char *pim_image_privilege(const char *path);

// --- command_line.c ----------------------------------------------------------

enum pim_run_option {
    PIM_OPT_CHECK,
    PIM_OPT_DEBUG,
    PIM_OPT_FAULTS,
    PIM_OPT_HELP,
    PIM_OPT_LEAKS,
    PIM_OPT_LIMIT,
    PIM_OPT_LIMIT_TREE,
    PIM_OPT_NO_CHILDREN,
    PIM_OPT_RECORD,
    PIM_OPT_PROFILE,
    PIM_OPT_PROFILE_EVERY,
    PIM_OPT_PROFILE_PERIOD,
    PIM_OPT_STATS,
    PIM_OPT_STATS_SIGNAL,
    PIM_OPT_TRACE,
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

// --- target.c ----------------------------------------------------------------

typedef struct pim_target {
    const char *name;   // COMMAND, as it was given
    bool for_check;     // --check: it is not run as it stands
    bool with_children; // not --no-children

    enum pim_run_status status; // PIM_RUN_SERVED: nothing is against it
    const char *why;            // it is another status, and a remedy
    const char *file;           // of the program; COMMAND if it was not found
    char **argv; // what executing COMMAND comes down to; argv[0] as looked up
    bool is_script;  // a script led there
    bool is_foreign; // its loader cannot load our library, and would complain
    bool is_cleared; // env takes LD_PRELOAD away on the way
    bool hands_on;   // it is not served, and its child processes are
} pim_target;

// With --check its Python gets what is in between: env's assignments become our
// environment, and the program that pyenv names replaces its shim.
void pim_target_follow(const pim_run_options *o, pim_target *out);

// --- place.c -----------------------------------------------------------------

// Each returns an absolute path, or exits with a message that says where it
// looked and what to do.
const char *pim_place_library(void);
const char *pim_place_module(void); // its folder

// The libmimalloc, 3.6 or newer, that pimalloc would load.  library: the path
// of the preload library.
const char *pim_place_mimalloc(const char *library);

#endif // PIM_RUN_RUN_H

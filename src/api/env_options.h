// env_options.h -- the PIMALLOC_* environment, one variable an option.

#ifndef PIM_API_ENV_OPTIONS_H
#define PIM_API_ENV_OPTIONS_H

#include "base/compiler.h"
#include "platform/values.h"

// How interpreters tell what they leave at their end.
typedef enum pim_leaks_form {
    PIM_LEAKS_UNTOLD,
    PIM_LEAKS_TEXT,
    PIM_LEAKS_JSON,
    PIM_LEAKS_FAIL // as text; preload library only: and an exit status
} pim_leaks_form;

// Files of a profile that are kept where nobody says how many.
#define PIM_PROFILE_KEEP 24

typedef struct pim_options {
    const char *mimalloc;   // PIMALLOC_MIMALLOC: path of the library to load
    uint64_t region_bytes;  // PIMALLOC_REGION: 0 if not set
    bool tstate_by_call;    // PIMALLOC_TSTATE=call
    bool verbose;           // PIMALLOC_VERBOSE=1
    bool debug;             // PIMALLOC_DEBUG=1: CPython's debug hooks on top
    bool check;             // PIMALLOC_CHECK=1: every block is looked up first
    pim_leaks_form leaks;   // PIMALLOC_LEAKS
    const char *leaks_file; // what follows its colon, or NULL
    uint64_t limit_soft;    // PIMALLOC_LIMIT=SOFT[:HARD]: bytes; 0 if not set
    uint64_t limit_hard;
    pim_tree limit_tree; // PIMALLOC_LIMIT_TREE
    const char *faults;  // PIMALLOC_FAULTS: rules that can be read, or NULL
    bool purge_thread;   // PIMALLOC_PURGE_THREAD=1
    const char *record;  // PIMALLOC_RECORD: the file, or NULL
    int teardown;        // PIMALLOC_TEARDOWN: enum pimalloc_policy, 0: not set
    unsigned trace;      // PIMALLOC_TRACE: frames of each stack; 0: no trace

    // Acted upon by the preload library only.
    int stats_format; // PIMALLOC_STATS: enum pimalloc_format, -1: not asked
    const char *stats_file; // PIMALLOC_STATS: what follows the colon, or NULL
    int stats_signal;       // PIMALLOC_STATS_SIGNAL: its number, or 0
    int profile_format; // PIMALLOC_PROFILE: enum pimalloc_profile_format, or -1
    const char
        *profile_file; // PIMALLOC_PROFILE: what follows the colon, or NULL
    uint64_t profile_period;  // PIMALLOC_PROFILE_PERIOD: bytes, or 0
    unsigned profile_seconds; // PIMALLOC_PROFILE_EVERY: or 0
    unsigned profile_keep;    // what follows its colon
    bool run_check; // PIMALLOC_RUN_CHECK=1: internal, of pimalloc-run --check
} pim_options;

// Reads the environment; in a privileged process (platform/privilege.h)
// nothing, and takes these variables out of it.  An empty value counts as not
// set.  Unknown PIMALLOC_* names and bad values are reported on stderr with the
// valid ones, once per process, and otherwise ignored.  Texts are copies that
// last as long as the process.  By one thread at a time.
void pim_options_read(pim_options *out);

// Every later read answers this, whatever the environment says by then.
void pim_options_keep(const pim_options *from_now_on);

#endif // PIM_API_ENV_OPTIONS_H

// state.c -- what is known of this process: its options, and what became of the
// Python that was tried last.

#include "preload/preload.h"

pim_options pim_preload_options;
bool pim_preload_installed;
int pim_preload_outcome;

// Once: a thread of ours may be reading them.
void
pim_preload_read_options(void)
{
    static bool done;
    if (!done) {
        done = true;
        pim_options_read(&pim_preload_options);
    }
}

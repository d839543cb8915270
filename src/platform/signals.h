// signals.h -- which signals may ask for figures, by name and number.
//
// The launcher is linked with this part, too.

#ifndef PIM_PLATFORM_SIGNALS_H
#define PIM_PLATFORM_SIGNALS_H

#include <stdbool.h>

// USR1, SIGUSR1, RTMIN+1 in any case, or a number; 0 if there is no such
// signal.
int pim_signal_of(const char *text);

// Whether it has no meaning of its own that a process needs.
bool pim_signal_is_free(int number);

#endif // PIM_PLATFORM_SIGNALS_H

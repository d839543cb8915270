// privilege.h -- a process with privileges that its user does not have.
//
// Setuid, setgid, file capabilities (AT_SECURE).  Whoever starts such a process
// chooses its environment, its argv[0], its current directory and its open
// files.  So none of these says what is loaded or where something is written
// to.

#ifndef PIM_PLATFORM_PRIVILEGE_H
#define PIM_PLATFORM_PRIVILEGE_H

#include <limits.h>

#include "base/compiler.h"

bool pim_is_privileged(void);

// Takes all variables whose names begin so, in any case of letters, out of the
// environment: other libraries may read them, and so may child processes, which
// look unprivileged once the privilege is complete.  Like unsetenv(3), not
// beside threads that use the environment.
void pim_privilege_forget(const char *prefix);

// Replaces a path by one without symbolic links.  False: it does not exist, or
// somebody but root could replace it or what leads to it.
bool pim_privilege_trusts(char path[PATH_MAX]);

#endif // PIM_PLATFORM_PRIVILEGE_H

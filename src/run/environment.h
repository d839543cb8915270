// environment.h -- changing the environment that COMMAND gets.

#ifndef PIM_RUN_ENVIRONMENT_H
#define PIM_RUN_ENVIRONMENT_H

void pim_environment_set(const char *name, const char *value);

// Appends `path` to the list in the variable `name`, unless the list names that
// file already.  What the list holds stays as it is.  separators: the characters
// between entries, of which the first is written.  Exits with a message if `path`
// contains one of them, because such a list has no way to quote.
void pim_environment_append(const char *name, const char *path,
                            const char *separators);

#endif // PIM_RUN_ENVIRONMENT_H

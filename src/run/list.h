// list.h -- lists of paths in the environment: LD_PRELOAD, PYTHONPATH.

#ifndef PIM_RUN_LIST_H
#define PIM_RUN_LIST_H

// Appends `path` to the list in the variable `name` unless the list names that
// file already.  What the list holds stays as it is.  separators: the characters
// between entries; the first is the one that is written.  Exits with a message
// if `path` contains one of them: such a list has no way to quote.
void pim_list_append(const char *name, const char *path,
                     const char *separators);

#endif // PIM_RUN_LIST_H

// path.h -- from the path that a user gave to the file that it means.

#ifndef PIM_PLATFORM_PATH_H
#define PIM_PLATFORM_PATH_H

#include <limits.h>
#include <sys/stat.h>

#include "base/compiler.h"

// Every %p becomes the id of the process and every %% a per cent sign; other
// signs stay.  0 or -ENAMETOOLONG.
int pim_path_expand(const char *path, char out[PATH_MAX], bool *has_pid);

// The length of what is in front of the name, its slash included.
size_t pim_path_folder(const char *path);

// What follows the last slash.
const char *pim_path_name(const char *path);

// Whether both lead to one file that exists.
bool pim_path_is_same(const char *a, const char *b);

// Whether somebody else may have put this file into a shared folder, one that
// is sticky and that all may write to, for us to find: it belongs neither to us
// nor to the folder's owner, or it is a regular file that has another name
// somewhere.
bool pim_path_is_planted(const char *path, const struct stat *file);

// Replaces the path of a symbolic link by that of the file that it leads to,
// which need not exist.  *ends_in_link: it is now that of a link which only
// open(2) can follow (/proc/self/fd/N).  0, -EACCES for a planted link, -ELOOP,
// -ENAMETOOLONG, or what open(2) failed with.
int pim_path_follow(char path[PATH_MAX], bool *ends_in_link);

#endif // PIM_PLATFORM_PATH_H

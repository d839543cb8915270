// locale.c -- noticing that a Python runtime starts.
//
// A libpython may come into the process at any time (a plug-in of a web server,
// an editor, a database), under any name, by dlopen with RTLD_LOCAL, and it is
// initialised through pointers that dlsym returned, so its own functions cannot
// be relied on to pass here.  But the first thing every runtime does, from
// Py_PreInitialize() and from every function that implies it, at each
// initialisation, in 3.12 to 3.15, is to ask for the current locale:
//
//   reset of the tables -> setlocale(LC_CTYPE, NULL) -> PYTHONMALLOC is obeyed
//
// That call leaves libpython through the dynamic linker, which finds us first.
// All other calls go on to libc untouched.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <locale.h>

#include "base/atomic.h"
#include "pimalloc/pimalloc.h"
#include "preload/preload.h"

typedef char *set_locale(int category, const char *locale);

// May be called before our constructor ran.
static set_locale *
next_setlocale(void)
{
    static _Atomic(set_locale *) found;
    set_locale *next = pim_load_acquire(&found);
    if (next == NULL) {
        // A function pointer from an object pointer, as POSIX has it.
        next = (set_locale *)(uintptr_t)dlsym(RTLD_NEXT, "setlocale");
        pim_store_release(&found, next);
    }
    return next;
}

void
pim_preload_find_setlocale(void)
{
    next_setlocale();
}

PIMALLOC_EXPORT char *
setlocale(int category, const char *locale)
{
    if (category == LC_CTYPE && locale == NULL) {
        int saved = errno;
        pim_preload_runtime_starts(__builtin_return_address(0));
        errno = saved;
    }
    set_locale *next = next_setlocale();
    return next != NULL ? next(category, locale) : NULL;
}

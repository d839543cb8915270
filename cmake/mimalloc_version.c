// mimalloc_version.c -- which mimalloc is behind a path or a SONAME?
//
// Prints "<version> <path of the file>", for example "30601 /usr/lib/...".
// The SONAME cannot tell: 3.0 and 3.6 share libmimalloc.so.3.  Exits with 1 if
// the library does not load or is no mimalloc.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

int
main(int argc, char **argv)
{
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL) {
        const char *why = argc == 2 ? dlerror() : "one argument expected";
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    int (*version)(void) = NULL;
    *(void **)&version = dlsym(library, "mi_version");
    Dl_info info;
    if (version == NULL || dladdr(*(void **)&version, &info) == 0) {
        return 1;
    }
    printf("%d %s\n", version(), info.dli_fname);
    return 0;
}

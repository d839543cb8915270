// host.c -- a program that installs pimalloc and tells what that came to.
//
//     host [LIBRARY [MIMALLOC]]
//
// LIBRARY: libpimalloc.so to load; "": it is in the program.  MIMALLOC: what
// the program says in pimalloc_config.mimalloc_path.

#define _GNU_SOURCE

#include <Python.h>

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <pimalloc/pimalloc.h>

static int (*install)(const pimalloc_config *config);
static const char *(*describe)(int err);

static int
tell_mimalloc(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    if (strstr(info->dlpi_name, "mimalloc.so") != NULL) {
        printf("mimalloc %s\n", info->dlpi_name);
    }
    return 0;
}

static void
find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL) {
        printf("%s: %s\n", name, dlerror());
        _exit(2);
    }
    memcpy(function, &symbol, sizeof(symbol));
}

int
main(int argc, char **argv)
{
    PyPreConfig pre;
    pimalloc_config config = {.size = sizeof(config)};
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("privileged %d\n", getauxval(AT_SECURE) != 0);
    bool loads = argc > 1 && argv[1][0] != '\0';
    void *library = dlopen(loads ? argv[1] : NULL, RTLD_NOW);
    if (library == NULL) {
        printf("%s\n", dlerror());
        return 2;
    }
    find(library, "pimalloc_install", &install);
    find(library, "pimalloc_strerror", &describe);
    config.mimalloc_path = argc > 2 ? argv[2] : NULL;
    PyPreConfig_InitIsolatedConfig(&pre);
    Py_PreInitialize(&pre);
    int err = install(&config);
    printf("install %s\n", describe(err));
    dl_iterate_phdr(tell_mimalloc, NULL);
    for (char **entry = environ; *entry != NULL; entry++) {
        if (strncasecmp(*entry, "PIMALLOC_", 9) == 0 ||
            strncasecmp(*entry, "MIMALLOC_", 9) == 0) {
            printf("variable %s\n", *entry);
        }
    }
    return 0;
}

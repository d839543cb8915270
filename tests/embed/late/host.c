// host.c -- runs an embed test on a libpython that is loaded late.
//
//     PIM_TEST_LIBPYTHON=... PIM_TEST_MODULE=... late_host [CASE]
//
// The module is the test program as a library, which is not linked with libpython.
// Such a libpython's thread-local data lies elsewhere in each thread.

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *
load(const char *variable)
{
    const char *path = getenv(variable);
    void *handle = path != NULL ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL;
    if (handle == NULL) {
        fprintf(stderr, "late_host: %s: %s\n", variable,
                path != NULL ? dlerror() : "not set");
        exit(2);
    }
    return handle;
}

int
main(int argc, char **argv)
{
    int (*run)(int, char **);
    load("PIM_TEST_LIBPYTHON");
    void *module = load("PIM_TEST_MODULE");
    run = (__typeof__(run))(uintptr_t)dlsym(module, "main");
    if (run == NULL) {
        fprintf(stderr, "late_host: %s\n", dlerror());
        return 2;
    }
    return run(argc, argv);
}

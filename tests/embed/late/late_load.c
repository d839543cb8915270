// late_load.c -- a host that loads libpython long after it started.
//
// Such a libpython has dynamic TLS: its thread-local block lies elsewhere in
// every thread.  The thread-state word proven in one thread must not be read in
// another.
//
// Usage: late_load LIBPYTHON LIBPIMALLOC

#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char script[] =
    "import threading\n"
    "made = []\n"
    "def work():\n"
    "    made.extend([i] for i in range(10000))\n"
    "threads = [threading.Thread(target=work) for _ in range(8)]\n"
    "for t in threads: t.start()\n"
    "for t in threads: t.join()\n"
    "assert len(made) == 80000\n";

static void *
load(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (handle == NULL) {
        fprintf(stderr, "late_load: %s\n", dlerror());
        exit(1);
    }
    return handle;
}

static void
find(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    if (symbol == NULL) {
        fprintf(stderr, "late_load: no %s\n", name);
        exit(1);
    }
    memcpy(function, &symbol, sizeof(symbol));
}

int
main(int argc, char **argv)
{
    int (*install)(const void *);
    int (*active)(void);
    void (*initialize)(int);
    int (*run)(const char *, void *);
    int (*finalize)(void);
    if (argc != 3) {
        fprintf(stderr, "usage: late_load LIBPYTHON LIBPIMALLOC\n");
        return 2;
    }
    void *python = load(argv[1]);
    void *pimalloc = load(argv[2]);
    find(pimalloc, "pimalloc_install", &install);
    find(pimalloc, "pimalloc_active", &active);
    find(python, "Py_InitializeEx", &initialize);
    find(python, "PyRun_SimpleStringFlags", &run);
    find(python, "Py_FinalizeEx", &finalize);

    int err = install(NULL);
    initialize(0);
    int status =
        err != 0 || active() != 1 || run(script, NULL) != 0 || finalize() != 0;
    printf("late_load: install %d, status %d\n", err, status);
    return status;
}

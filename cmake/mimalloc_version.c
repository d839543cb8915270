// mimalloc_version.c -- which mimalloc is behind a path or a SONAME, and will it do?
//
// Prints "<version> <path of the file>", for example "30601 /usr/lib/...", and for
// one that will not do a third line of why.  It is asked what src/mi asks of it,
// by the same code, and for what takes too long at each start of a program.
// Exits with 1 if the library does not load or is no mimalloc.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "mi/self_test.h"

#define BYTES 1000

static pim_mi_ops mi;

static void *
allocates_and_ends(void *unused)
{
    size_t told;
    (void)unused;
    void *block = mi.umalloc(BYTES, &told);
    return block != NULL ? memset(block, 'b', BYTES) : NULL;
}

// Whether a block is what it was once the thread that allocated it is gone.
static bool
outlives_its_thread(void)
{
    pthread_t thread;
    void *block = NULL;
    size_t told = 0;
    if (pthread_create(&thread, NULL, allocates_and_ends, NULL) != 0 ||
        pthread_join(thread, &block) != 0 || block == NULL) {
        return false;
    }
    bool good = mi.contains(block) && mi.usable_size(block) >= BYTES &&
                ((char *)block)[BYTES - 1] == 'b';
    mi.ufree(block, &told);
    return good;
}

static const char *
lack_of(void *library, int version)
{
    const char *lack = pim_mi_version_lack(version);
    if (lack == NULL && pim_mi_bind(library, &mi) != NULL) {
        lack = "lacks functions";
    }
    if (lack == NULL && pim_mi_self_test(&mi, &lack) != 0 && lack == NULL) {
        lack = "has no memory";
    }
    if (lack == NULL && !outlives_its_thread()) {
        lack = "binds blocks to threads";
    }
    return lack;
}

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
    Dl_info info;
    if (!pim_mi_symbol(library, "mi_version", &version) ||
        dladdr(*(void **)&version, &info) == 0) {
        return 1;
    }
    const char *lack = lack_of(library, version());
    printf("%d %s\n%s\n", version(), info.dli_fname, lack != NULL ? lack : "");
    fflush(stdout);
    return 0;
}

// documents.c -- a process with a past writes its statistics in all forms.
//
//     documents FOLDER
//
// Writes FOLDER/<moment>.{txt,json,prom} at four moments: "before" anything was
// installed, in the "first" runtime, in the "second", in which ids repeat, and
// "later", when CPython has its own allocator again.  Nothing allocates between
// the three forms of one moment, so their figures must be the same.  run.py
// checks them.

#include <stdio.h>

#include "support/embed.h"

static const char *folder;

static void
write_moment(const char *moment)
{
    static const char *const endings[] = {"txt", "json", "prom"};
    char path[4096];
    for (int format = PIMALLOC_TEXT; format <= PIMALLOC_OPENMETRICS; format++) {
        snprintf(path, sizeof(path), "%s/%s.%s", folder, moment,
                 endings[format]);
        EXPECT_EQ(pimalloc_stats_save(path, format), 0);
    }
}

// Own GIL, shared GIL and legacy; of each of the first two kinds one ends.  The last
// is made by the one before.
static void
live_with_interpreters(const char *moment)
{
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *subs[5];
    static const embed_kind kinds[] = {EMBED_OWN_GIL, EMBED_SHARED_GIL,
                                       EMBED_LEGACY, EMBED_OWN_GIL,
                                       EMBED_SHARED_GIL};
    for (int i = 0; i < 5; i++) {
        if (i == 4) {
            PyThreadState_Swap(subs[3]);
        }
        subs[i] = embed_new_interp(kinds[i]);
        embed_run("import json; x = [str(i) for i in range(3000)]");
        PyThreadState_Swap(outer);
    }
    for (int i = 0; i < 5; i++) {
        if (i == 3) {
            write_moment(moment);
        }
        PyThreadState_Swap(subs[i]);
        Py_EndInterpreter(subs[i]);
        PyThreadState_Swap(outer);
        if (i == 0) {
            char foreign[64] __attribute__((aligned(16))) = {0};
            char *inside = foreign + 32;
            PyMem_Free(inside); // left alone, and counted
        }
    }
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: documents FOLDER\n");
        return 2;
    }
    folder = argv[1];
    write_moment("before");
    embed_start();
    live_with_interpreters("first");
    embed_stop();
    embed_start();
    live_with_interpreters("second");
    embed_stop();
    embed_preinit();
    write_moment("later");
    return 0;
}

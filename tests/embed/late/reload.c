// reload.c -- hosts that load libpython late, close it and load it again.
//
//     reload LIBPYTHON LIBPIMALLOC PLUG_IN
//
// Each case runs in a process of its own.  Threads live through all of it.  This
// program calls nothing of Python by name, since that would keep libpython loaded.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pimalloc/pimalloc.h"
#include "plug_in.h"
#include "support/patience.h"

static const char *libpython;
static const char *libpimalloc;
static const char *plug_in_path;

#define EXPECT(condition)                                                      \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__,        \
                    #condition);                                               \
            _exit(1);                                                          \
        }                                                                      \
    } while (0)

// --- modules ---------------------------------------------------------------

static void *
load(const char *path, int flags)
{
    void *handle = dlopen(path, RTLD_NOW | flags);
    if (handle == NULL) {
        fprintf(stderr, "reload: %s\n", dlerror());
        _exit(1);
    }
    return handle;
}

static bool
is_loaded(const char *path)
{
    void *handle = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (handle != NULL) {
        dlclose(handle);
    }
    return handle != NULL;
}

static void *
symbol(void *handle, const char *name)
{
    void *found = dlsym(handle, name);
    if (found == NULL) {
        fprintf(stderr, "reload: no %s\n", name);
        _exit(1);
    }
    return found;
}

// A function with the type of a variable.
#define FIND(handle, variable, name)                                           \
    ((variable) = (__typeof__(variable))(uintptr_t)symbol((handle), (name)))

typedef struct python {
    void *handle;
    void (*initialize)(int);
    int (*run)(const char *, void *);
    int (*finalize)(void);
    int (*ensure)(void);
    void (*release)(int);
    void *(*save)(void);
    void (*restore)(void *);
    void *(*raw_malloc)(size_t);
    void (*raw_free)(void *);
} python;

static python py;

static void
load_python(int flags)
{
    py.handle = load(libpython, flags);
    FIND(py.handle, py.initialize, "Py_InitializeEx");
    FIND(py.handle, py.run, "PyRun_SimpleStringFlags");
    FIND(py.handle, py.finalize, "Py_FinalizeEx");
    FIND(py.handle, py.ensure, "PyGILState_Ensure");
    FIND(py.handle, py.release, "PyGILState_Release");
    FIND(py.handle, py.save, "PyEval_SaveThread");
    FIND(py.handle, py.restore, "PyEval_RestoreThread");
    FIND(py.handle, py.raw_malloc, "PyMem_RawMalloc");
    FIND(py.handle, py.raw_free, "PyMem_RawFree");
}

static void
expect_threads(int (*write_stats)(int, int), int by_word, int by_call)
{
    static const char member[] = "\"threads\": {\"word\": ";
    char text[4096] = "";
    int words = -1;
    int calls = -1;
    int file = memfd_create("statistics", MFD_CLOEXEC);
    EXPECT(write_stats(file, PIMALLOC_JSON) == 0);
    EXPECT(pread(file, text, sizeof(text) - 1, 0) > 0);
    close(file);
    const char *at = strstr(text, member);
    EXPECT(at != NULL);
    EXPECT(sscanf(at + strlen(member), "%d, \"call\": %d", &words, &calls) ==
           2);
    if (words != by_word || calls != by_call) {
        fprintf(stderr, "reload: %d read a word, not %d; %d ask, not %d\n",
                words, by_word, calls, by_call);
        _exit(1);
    }
}

// --- threads that live on and work when they are told to -------------------

typedef struct worker {
    pthread_t thread;
    void (*_Atomic work)(void); // NULL: the end
    sem_t told;
    sem_t done;
} worker;

static void
wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) {
    }
}

static void *
work_when_told(void *arg)
{
    worker *w = arg;
    for (;;) {
        wait_for(&w->told);
        void (*work)(void) = w->work;
        if (work == NULL) {
            return NULL;
        }
        work();
        sem_post(&w->done);
    }
}

static void
worker_start(worker *w)
{
    sem_init(&w->told, 0, 0);
    sem_init(&w->done, 0, 0);
    EXPECT(pthread_create(&w->thread, NULL, work_when_told, w) == 0);
}

static void
tell(worker *w, void (*work)(void))
{
    w->work = work;
    sem_post(&w->told);
    if (work != NULL) {
        wait_for(&w->done);
    } else {
        EXPECT(pthread_join(w->thread, NULL) == 0);
    }
}

static void
attach(void)
{
    for (int i = 0; i < 10; i++) {
        int state = py.ensure();
        EXPECT(py.run("x = [[i] for i in range(1000)]", NULL) == 0);
        py.release(state);
        py.raw_free(py.raw_malloc(64));
    }
}

static void
use_raw(void)
{
    py.raw_free(py.raw_malloc(64));
}

// --- cases -----------------------------------------------------------------

// Its blocks are others the second time, in the threads that had some, too.
static void
loaded_again_after_it_ran_without_us(void)
{
    worker both;
    worker second;
    int (*install)(const pimalloc_config *);
    int (*write_stats)(int, int);
    worker_start(&both);
    worker_start(&second);
    load_python(RTLD_LOCAL);
    py.initialize(0);
    void *outer = py.save();
    tell(&both, attach);
    py.restore(outer);
    EXPECT(py.finalize() == 0);
    EXPECT(dlclose(py.handle) == 0);
    EXPECT(!is_loaded(libpython));

    load_python(RTLD_GLOBAL);
    void *pimalloc = load(libpimalloc, RTLD_LOCAL);
    FIND(pimalloc, install, "pimalloc_install");
    FIND(pimalloc, write_stats, "pimalloc_stats_write");
    EXPECT(install(NULL) == 0);
    py.initialize(0);
    outer = py.save();
    expect_threads(write_stats, 1, 0);
    tell(&both, attach);
    tell(&second, use_raw);
    expect_threads(write_stats, 3, 0);
    tell(&second, attach);
    expect_threads(write_stats, 3, 0);

    // It stays loaded, for threads that read their words.
    py.restore(outer);
    EXPECT(py.finalize() == 0);
    EXPECT(dlclose(py.handle) == 0);
    EXPECT(is_loaded(libpython));
    tell(&both, use_raw);
    expect_threads(write_stats, 3, 0);
    tell(&both, NULL);
    expect_threads(write_stats, 2, 0);
    tell(&second, NULL);
}

static const plug_in *plugged;

static void
work_in_plug_in(void)
{
    EXPECT(plugged->work() == 0);
}

static void
plug_in_that_is_closed_while_threads_live(void)
{
    int status = -1;
    worker thread;
    worker_start(&thread);
    for (int i = 0; i < 2; i++) {
        void *handle = load(plug_in_path, RTLD_LOCAL);
        plugged = symbol(handle, "plug_in_functions");
        EXPECT(plugged->begin() == 0);
        tell(&thread, work_in_plug_in);
        expect_threads(plugged->write, 2, 0);
        EXPECT(plugged->end() == 0);
        EXPECT(dlclose(handle) == 0);
        pid_t child = fork();
        if (child == 0) {
            _exit(0);
        }
        EXPECT(waitpid(child, &status, 0) == child && status == 0);
    }
    tell(&thread, NULL);
}

// --- running them ----------------------------------------------------------

static int
run_case(const char *name, void (*run)(void))
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(patience());
        run();
        fflush(NULL);
        _exit(0);
    }
    bool ok = waitpid(child, &status, 0) == child && status == 0;
    printf("reload: %s: %s (%#x)\n", name, ok ? "ok" : "FAILED", status);
    return !ok;
}

int
main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: reload LIBPYTHON LIBPIMALLOC PLUG_IN\n");
        return 2;
    }
    libpython = argv[1];
    libpimalloc = argv[2];
    plug_in_path = argv[3];
    int failed = run_case("loaded again after it ran without us",
                          loaded_again_after_it_ran_without_us);
    failed += run_case("plug-in that is closed while threads live",
                       plug_in_that_is_closed_while_threads_live);
    return failed != 0;
}

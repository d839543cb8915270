// interpreters.c -- interpreters with their own GIL, each in its own thread.
//
//   main thread          worker thread (one per interpreter)
//   -----------          -----------------------------------
//   gives up main's GIL
//   starts the workers   visits main: new thread state, takes main's GIL
//   shows progress       creates its interpreter: main's GIL is given up, the
//     |                    new interpreter's own GIL is held
//     |                  takes files from the shared counter until none is left
//     |                  ends its interpreter: holds no GIL, no thread state
//     |                  visits main again, to delete its first thread state
//   joins the workers
//   takes main's GIL
//
// An interpreter can be created only by a thread that has a thread state, which
// is why a worker visits the main interpreter first.

#include "demo.h"
#include "work.h"

#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

// The parser and the compiler recurse deeply, and some systems give new threads
// less than this.
#define STACK_BYTES ((size_t)16 << 20)

static const PyInterpreterConfig own_gil = {
    .use_main_obmalloc = 0,
    .allow_fork = 0,
    .allow_exec = 0,
    .allow_threads = 1,
    .allow_daemon_threads = 0,
    .check_multi_interp_extensions = 1,
    .gil = PyInterpreterConfig_OWN_GIL,
};

static atomic_size_t next_file; // the interpreters compete for the files
static atomic_size_t done_files;
static atomic_int alive; // workers that have not finished
static atomic_bool stop; // one of them failed

// 64-bit FNV-1a.  Hashing in C keeps hashlib and OpenSSL out of interpreters
// that may not be able to import them.
static uint64_t
hash_text(const char *text, Py_ssize_t length)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (Py_ssize_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
    }
    return hash;
}

// Calls study(path) and books the result.  Returns -1 with a Python exception
// set if it failed.
static int
study_file(struct worker *worker, PyObject *study, const char *path)
{
    PyObject *name = PyUnicode_DecodeFSDefault(path);
    PyObject *result = name != NULL ? PyObject_CallOneArg(study, name) : NULL;
    Py_XDECREF(name);

    long lines;
    int outcome;
    const char *text;
    Py_ssize_t length;
    if (result == NULL ||
        !PyArg_ParseTuple(result, "lis#", &lines, &outcome, &text, &length)) {
        Py_XDECREF(result);
        return -1;
    }
    worker->files++;
    worker->lines += lines;
    worker->outcomes[outcome]++;
    // A sum does not depend on who took which file, nor on the order.
    worker->digest += hash_text(text, length);
    Py_DECREF(result);
    return 0;
}

// What the interpreter is for.  Its GIL is held.  Every reference taken here is
// given back: one leaked object would show in the table as left behind.
static int
do_work(struct worker *worker)
{
    const struct files *files = &worker->run->files;
    PyObject *module = PyImport_AddModule("__main__"); // borrowed
    if (module == NULL) {
        return -1;
    }
    PyObject *names = PyModule_GetDict(module); // borrowed
    PyObject *done = PyRun_String(work_source, Py_file_input, names, names);
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    PyObject *study = PyDict_GetItemString(names, "study"); // borrowed
    while (!atomic_load(&stop)) {
        size_t i = atomic_fetch_add(&next_file, 1);
        if (i >= files->count) {
            break;
        }
        if (study_file(worker, study, files->paths[i]) != 0) {
            return -1;
        }
        atomic_fetch_add(&done_files, 1);
    }
    return 0;
}

static void
take_snapshot(const struct worker *worker, pimalloc_snapshot *snapshot)
{
    snapshot->size = sizeof(*snapshot);
    if (worker->run->on_pimalloc) {
        pimalloc_stats(worker->id, snapshot); // any thread may, without a GIL
    }
}

// The life of one interpreter.  `visitor` is current, and main's GIL held, on
// entry and on return; in between they are not.
static void
live_and_end(struct worker *worker, PyThreadState *visitor)
{
    PyThreadState *own = NULL;
    PyStatus status = Py_NewInterpreterFromConfig(&own, &own_gil);
    if (PyStatus_Exception(status)) {
        fprintf(stderr, "demo: cannot create an interpreter: %s\n",
                status.err_msg != NULL ? status.err_msg : "no reason given");
        worker->failed = true; // and `visitor` is current again
        return;
    }
    // From here to Py_EndInterpreter() we hold the GIL of the new interpreter
    // and nobody else's: this is what runs in parallel.
    worker->id = PyInterpreterState_GetID(PyThreadState_GetInterpreter(own));
    if (do_work(worker) != 0) {
        PyErr_Print();
        worker->failed = true;
    }
    take_snapshot(worker, &worker->working);
    Py_EndInterpreter(own); // leaves us without thread state and without GIL
    take_snapshot(worker, &worker->left);
    PyEval_AcquireThread(visitor);
}

static void *
worker_main(void *arg)
{
    struct worker *worker = arg;
    worker->began = wall_clock();

    PyThreadState *visitor = PyThreadState_New(PyInterpreterState_Main());
    if (visitor == NULL) {
        fprintf(stderr, "demo: no memory for a thread state\n");
        worker->failed = true;
    } else {
        PyEval_AcquireThread(visitor); // waits for main's GIL
        live_and_end(worker, visitor);
        PyThreadState_Clear(visitor);
        PyThreadState_DeleteCurrent(); // gives up main's GIL, too
    }
    worker->ended = wall_clock();
    if (worker->failed) {
        atomic_store(&stop, true);
    }
    atomic_fetch_sub(&alive, 1);
    return NULL;
}

// Redraws one line on the terminal until all workers are done; a file gets one line
// and no more.  Runs in the main thread, without a GIL, and calls nothing of Python.
static void
show_progress(const struct run *run)
{
    const struct timespec tenth = {.tv_nsec = 100000000};
    const char *whose =
        run->on_pimalloc ? "pimalloc" : "CPython's own allocator";
    if (!isatty(STDERR_FILENO)) {
        fprintf(stderr, "demo: %zu files on %s ...\n", run->files.count, whose);
        return;
    }
    while (atomic_load(&alive) > 0) {
        fprintf(stderr, "\r%s: %zu of %zu files, %.0f MiB resident\033[K",
                whose, atomic_load(&done_files), run->files.count,
                (double)resident_roughly_bytes() / (1 << 20));
        nanosleep(&tenth, NULL);
    }
    fprintf(stderr, "\r\033[K");
}

static void
start_workers(struct run *run)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (int i = 0; i < run->interpreters; i++) {
        struct worker *worker = &run->workers[i];
        atomic_fetch_add(&alive, 1);
        worker->run = run;
        int err = pthread_create(&worker->thread, &attr, worker_main, worker);
        if (err != 0) {
            fprintf(stderr, "demo: cannot start a thread: %s\n", strerror(err));
            worker->run = NULL; // there is nothing to join
            atomic_fetch_sub(&alive, 1);
            atomic_store(&stop, true);
            break;
        }
    }
    pthread_attr_destroy(&attr);
}

static int
by_id(const void *left, const void *right)
{
    const struct worker *a = left;
    const struct worker *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

// Studies run->files with run->interpreters interpreters and fills in the
// figures.  The caller holds main's GIL.  0, or -1 after saying what is wrong.
int
run_interpreters(struct run *run)
{
    run->before_bytes = resident_bytes();
    double began = wall_clock();
    double cpu_began = cpu_clock();
    double ended = began;

    PyThreadState *main_state = PyEval_SaveThread(); // give up main's GIL
    start_workers(run);
    show_progress(run);
    for (int i = 0; i < run->interpreters; i++) {
        struct worker *worker = &run->workers[i];
        if (worker->run != NULL) {
            pthread_join(worker->thread, NULL);
            run->digest += worker->digest;
            ended = worker->ended > ended ? worker->ended : ended;
        }
    }
    run->cpu_seconds = cpu_clock() - cpu_began;
    run->after_bytes = resident_bytes();
    run->peak_bytes = resident_peak_bytes();
    PyEval_RestoreThread(main_state); // and take it again

    run->wall_seconds = ended - began;
    qsort(run->workers, (size_t)run->interpreters, sizeof(*run->workers),
          by_id);
    run->process.size = sizeof(run->process);
    if (run->on_pimalloc) {
        pimalloc_stats(PIMALLOC_PROCESS, &run->process);
    }
    return atomic_load(&stop) ? -1 : 0;
}

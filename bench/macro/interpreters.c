// interpreters.c -- the program, in interpreters with their own GIL.
//
//   main thread            worker thread (one per interpreter)
//   -----------            -----------------------------------
//   gives up main's GIL
//   starts the workers     takes its turn; visits main; makes its interpreter,
//                            imports the program, builds its input
//   -------------------- barrier: all are ready ------------------------------
//   notes VmRSS
//   -------------------- barrier: go -----------------------------------------
//                          runs the loops, between two looks at the clocks
//   -------------------- barrier: all are done -------------------------------
//   notes VmHWM            rests: a little work for a second
//   -------------------- barrier: all have rested ----------------------------
//   notes VmRSS, returns   waits for the end of the process
//
// Interpreters are made one at a time and never ended.  Neither is measured,
// and both are where CPython 3.12 and 3.13 free in one interpreter what another
// one allocated, without a lock: their own allocators crash on that now and
// then.
//
// A worker that failed or skipped passes the same barriers.

#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// As the main thread of a stock python3 has.
#define STACK_BYTES ((size_t)8 << 20)

static const PyInterpreterConfig own_gil = {
    .use_main_obmalloc = 0,
    .allow_fork = 0,
    .allow_exec = 0,
    .allow_threads = 1,
    .allow_daemon_threads = 0,
    .check_multi_interp_extensions = 1,
    .gil = PyInterpreterConfig_OWN_GIL,
};

// Everything of Python that a worker holds between the barriers.
struct program {
    PyObject *ready; // the tuple that prepare() returned, which owns the rest
    PyObject *run;
    PyObject *data;
    PyObject *rest; // borrowed from __main__
};

static double
clock_seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long
status_kb(const char *field)
{
    long found = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    size_t length = strlen(field);
    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, field, length) == 0 && line[length] == ':') {
            found = strtol(line + length + 1, NULL, 10);
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return found;
}

// Copies str(object).  -1 with an exception set if there is none.
static int
copy_text(char *out, PyObject *object)
{
    PyObject *text = PyObject_Str(object);
    const char *utf8 = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    if (utf8 != NULL) {
        snprintf(out, HOST_TEXT_BYTES, "%s", utf8);
    }
    Py_XDECREF(text);
    return utf8 != NULL ? 0 : -1;
}

// Has the programs' package import this program and build its input.  -1 with
// an exception set.
static int
prepare(struct worker *worker, struct program *program)
{
    static const char source[] =
        "def prepare(folder, name, interpreters, aged):\n"
        "    import os, sys\n"
        "    global rest\n"
        "    sys.path.insert(0, os.path.dirname(folder))\n"
        "    programs = __import__(os.path.basename(folder))\n"
        "    rest = programs.rest\n"
        "    return programs.prepare(name, interpreters, aged)\n";
    const options *opts = worker->run->opts;
    PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject *done = PyRun_String(source, Py_file_input, names, names);
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    program->ready =
        PyObject_CallFunction(PyDict_GetItemString(names, "prepare"), "Nsii",
                              PyUnicode_DecodeFSDefault(opts->programs),
                              opts->program, opts->interpreters, opts->aged);
    if (program->ready == NULL) {
        return -1;
    }
    program->rest = PyDict_GetItemString(names, "rest");
    PyObject *skipped;
    if (!PyArg_ParseTuple(program->ready, "OOOl", &skipped, &program->run,
                          &program->data, &worker->loops)) {
        return -1;
    }
    if (opts->loops != 0) {
        worker->loops = opts->loops;
    }
    return skipped != Py_None ? copy_text(worker->skipped, skipped) : 0;
}

// Calls run(data) as often as asked for.  -1 with an exception set.
static int
run_loops(struct worker *worker, const struct program *program)
{
    PyObject *first = NULL;
    for (long i = 0; i < worker->loops; i++) {
        PyObject *digest = PyObject_CallOneArg(program->run, program->data);
        if (digest == NULL) {
            Py_XDECREF(first);
            return -1;
        }
        if (first == NULL) {
            first = Py_NewRef(digest);
        }
        int same = PyObject_RichCompareBool(first, digest, Py_EQ);
        Py_DECREF(digest);
        if (same != 1) {
            if (same == 0) {
                PyErr_SetString(PyExc_ValueError,
                                "two loops gave different digests");
            }
            Py_DECREF(first);
            return -1;
        }
    }
    int status = copy_text(worker->digest, first);
    Py_XDECREF(first);
    return status;
}

static int
run_timed(struct worker *worker, const struct program *program)
{
    worker->began = clock_seconds(CLOCK_MONOTONIC);
    double cpu_began = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    int status = run_loops(worker, program);
    worker->cpu_seconds = clock_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_began;
    worker->ended = clock_seconds(CLOCK_MONOTONIC);
    return status;
}

// The time of each repetition, which an aged program has noted; as JSON.
static int
copy_laps(struct worker *worker, const struct program *program)
{
    PyObject *text = PyObject_CallMethod(program->run, "report", NULL);
    const char *utf8 = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    worker->laps = utf8 != NULL ? strdup(utf8) : NULL;
    Py_XDECREF(text);
    return utf8 != NULL ? 0 : -1;
}

// What comes after the work and outside its time.
static int
finish(struct worker *worker, const struct program *program)
{
    const options *opts = worker->run->opts;
    PyObject *done = PyObject_CallFunction(program->rest, "d", opts->rest);
    Py_XDECREF(done);
    if (done == NULL || (opts->aged && copy_laps(worker, program) != 0)) {
        return -1;
    }
    return 0;
}

static bool
works(const struct worker *worker)
{
    return !worker->failed && worker->skipped[0] == '\0';
}

static void
note_failure(struct worker *worker)
{
    PyErr_Print();
    worker->failed = true;
}

// Makes an interpreter and leaves its GIL, and no other, to this thread.  Only
// a thread with a thread state can do that, hence the visit to main.
static void
create_interpreter(void)
{
    PyThreadState *visitor = PyThreadState_New(PyInterpreterState_Main());
    PyThreadState *own = NULL;
    if (visitor == NULL) {
        fprintf(stderr, PIM_BENCH_NAME ": no memory for a thread state\n");
        exit(1);
    }
    PyEval_AcquireThread(visitor);
    PyStatus status = Py_NewInterpreterFromConfig(&own, &own_gil);
    if (PyStatus_Exception(status)) {
        fprintf(stderr, PIM_BENCH_NAME ": cannot create an interpreter: %s\n",
                status.err_msg != NULL ? status.err_msg : "no reason given");
        exit(1);
    }
}

static _Noreturn void *
worker_main(void *arg)
{
    struct worker *worker = arg;
    struct run *run = worker->run;
    struct program program = {0};
    pthread_mutex_lock(&run->turn);
    create_interpreter();
    if (prepare(worker, &program) != 0) {
        note_failure(worker);
    }
    pthread_mutex_unlock(&run->turn);

    pthread_barrier_wait(&run->ready);
    pthread_barrier_wait(&run->started);
    if (works(worker) && run_timed(worker, &program) != 0) {
        note_failure(worker);
    }
    pthread_barrier_wait(&run->done);
    if (works(worker) && finish(worker, &program) != 0) {
        note_failure(worker);
    }
    pthread_barrier_wait(&run->rested);
    for (;;) {
        pause();
    }
}

static void
start_workers(struct run *run)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (int i = 0; i < run->opts->interpreters; i++) {
        struct worker *worker = &run->workers[i];
        worker->run = run;
        pthread_t thread;
        int err = pthread_create(&thread, &attr, worker_main, worker);
        if (err != 0) {
            fprintf(stderr, PIM_BENCH_NAME ": cannot start a thread: %s\n",
                    strerror(err));
            exit(1);
        }
    }
    pthread_attr_destroy(&attr);
}

void
host_run(struct run *run)
{
    unsigned parties = (unsigned)run->opts->interpreters + 1;
    pthread_mutex_init(&run->turn, NULL);
    pthread_barrier_init(&run->ready, NULL, parties);
    pthread_barrier_init(&run->started, NULL, parties);
    pthread_barrier_init(&run->done, NULL, parties);
    pthread_barrier_init(&run->rested, NULL, parties);

    PyEval_SaveThread();
    start_workers(run);
    pthread_barrier_wait(&run->ready);
    run->start_kb = status_kb("VmRSS");
    pthread_barrier_wait(&run->started);
    pthread_barrier_wait(&run->done);
    // The kernel counts resident pages roughly: in batches, for each processor.
    run->peak_kb = status_kb("VmHWM");
    if (run->peak_kb < run->start_kb) {
        run->peak_kb = run->start_kb;
    }
    pthread_barrier_wait(&run->rested);
    run->after_kb = status_kb("VmRSS");
}

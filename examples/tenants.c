// tenants.c -- a host that runs other people's scripts, each in an interpreter and a
// thread of its own, and lets none of them take what the others need.
//
//   tenants [--soft=MB] [--hard=MB] [--] [SCRIPT...]
//
//   thread of a tenant                          what the host gets
//   ------------------                          ------------------
//   creates the interpreter, limits it
//   runs the script                             refused(): each request over a limit
//   reads its account, raises the limit
//   ends the interpreter                        left(): what it did not give back
//
// A tenant may make interpreters of its own.  What they have counts for it, and goes on
// to count when it has ended; the host ends those that are left in the end.
//
// Without scripts, six of our own show what can happen.  docs/tenants.md tells
// about it.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pimalloc/pimalloc.h>
#include <pimalloc/tenants.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MB ((uint64_t)1 << 20)
#define STACK_BYTES ((size_t)16 << 20) // parser and compiler recurse deeply
#define KINDS_SHOWN 3
#define NOBODY ((int64_t)-1)
#define RESERVE_BYTES (16 * MB) // above a soft limit, where no hard one is said
#define END_BYTES (16 * MB)     // that finalizers may have on top

struct tenant {
    const char *name;
    char *source; // of the script
    const char *outcome;
    uint64_t soft_bytes;
    uint64_t hard_bytes;
    _Atomic int64_t id; // NOBODY before it has one
    pthread_t thread;

    // Written by refused(), in threads of the tenant and of what it made.
    _Atomic uint64_t refusals;
    _Atomic uint64_t largest_refused;
    atomic_int hard_refusals;

    // At the end of the script.
    pimalloc_snapshot account;
    uint64_t made_bytes; // live in interpreters that it made

    // Written by left(), as above.
    _Atomic uint64_t left_bytes;
    _Atomic uint64_t
        pythons_blocks; // left by CPython itself, not by the script
    char kinds[KINDS_SHOWN][80];
};

static struct tenant *tenants;
static size_t tenant_count;

// --- what the host is told -------------------------------------------------

// Inside an allocation of the tenant's, or of an interpreter that it made: must not
// call Python.
static void
refused(void *arg, const pimalloc_refusal *refusal)
{
    struct tenant *t = arg;
    t->refusals = refusal->refusals;
    t->hard_refusals += refusal->is_hard;
    if (refusal->bytes > t->largest_refused) {
        t->largest_refused = refusal->bytes;
    }
}

// The tenant whose interpreter that is or was, or who made it; NULL: none.
static struct tenant *
tenant_of(int64_t id)
{
    pimalloc_snapshot s = {.size = sizeof(s)};
    while (id != PIMALLOC_PROCESS) {
        for (size_t i = 0; i < tenant_count; i++) {
            if (tenants[i].id == id) {
                return &tenants[i];
            }
        }
        id = pimalloc_stats(id, &s) == 0 ? s.parent : PIMALLOC_PROCESS;
    }
    return NULL;
}

// The interpreter is gone, and what it left is told by kinds, the largest first.
static void
left(void *arg, const pimalloc_leaks *leaks)
{
    struct tenant *t = tenant_of(leaks->interp);
    (void)arg;
    if (t == NULL) {
        return;
    }
    t->left_bytes += leaks->bytes;
    t->pythons_blocks += leaks->python_blocks;
    bool is_its_own = t->id == leaks->interp;
    const char *next = (const char *)leaks->leaks;
    for (size_t i = 0, shown = 0;
         is_its_own && i < leaks->count && shown < KINDS_SHOWN;
         i++, next += leaks->leak_size) {
        const pimalloc_leak *kind = (const pimalloc_leak *)(const void *)next;
        if (!kind->is_pythons) {
            snprintf(t->kinds[shown++], sizeof(t->kinds[0]),
                     "%" PRIu64 " x %.30s, %" PRIu64 " bytes", kind->blocks,
                     kind->type != NULL ? kind->type : "memory", kind->bytes);
        }
    }
}

// --- scripts ---------------------------------------------------------------

// A bug as C extensions have them: one reference too many.
static PyObject *
forget(PyObject *self, PyObject *object)
{
    (void)self;
    Py_INCREF(object);
    Py_RETURN_NONE;
}

static PyMethodDef forget_def = {"forget", forget, METH_O, NULL};

static const char *
run_script(const struct tenant *t)
{
    PyObject *module = PyImport_AddModule("__main__"); // borrowed
    PyObject *names = module != NULL ? PyModule_GetDict(module) : NULL;
    PyObject *function = PyCFunction_New(&forget_def, NULL);
    if (names == NULL || function == NULL ||
        PyDict_SetItemString(names, "forget", function) != 0) {
        PyErr_Clear();
        Py_XDECREF(function);
        return "not started";
    }
    Py_DECREF(function);
    PyObject *code = Py_CompileString(t->source, t->name, Py_file_input);
    PyObject *done = code != NULL ? PyEval_EvalCode(code, names, names) : NULL;
    Py_XDECREF(code);
    if (done != NULL) {
        Py_DECREF(done);
        return "done";
    }
    if (PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear(); // with it goes what its frames hold
        return "MemoryError";
    }
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
        PyErr_Clear(); // not this process
        return "exit";
    }
    PyErr_Print();
    return "error";
}

static void
read_account(struct tenant *t)
{
    pimalloc_limit limit = {.size = sizeof(limit)};
    t->account.size = sizeof(t->account);
    pimalloc_stats(t->id, &t->account);
    pimalloc_limit_get(t->id, &limit);
    t->made_bytes = limit.tree_bytes - limit.live_bytes - limit.left_bytes;
}

// The tenant's interpreter is current, its GIL held.
static void
serve(struct tenant *t)
{
    PyInterpreterState *interp = PyInterpreterState_Get();
    t->id = PyInterpreterState_GetID(interp);
    int err =
        pimalloc_limit_set(t->id, t->soft_bytes, t->hard_bytes, refused, t);
    t->outcome = err == 0 ? run_script(t) : "no limit";
    read_account(t);
    // The end needs some memory, too.  Without a limit, so would be what it made.
    pimalloc_limit_set(t->id, 0, t->hard_bytes + END_BYTES, refused, t);
}

static void *
run_tenant(void *arg)
{
    struct tenant *t = arg;
    PyInterpreterConfig config = {
        .allow_threads = 1,
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    // A thread needs a thread state to create an interpreter.
    PyThreadState *visit = PyThreadState_New(PyInterpreterState_Main());
    PyEval_RestoreThread(visit);
    PyThreadState *own = NULL;
    PyStatus status = Py_NewInterpreterFromConfig(&own, &config);
    if (PyStatus_Exception(status)) {
        t->outcome = "not created";
    } else {
        serve(t);
        Py_EndInterpreter(own); // calls left()
        PyEval_RestoreThread(visit);
        // Nothing, unless an interpreter is there that it made.
        pimalloc_limit_set(t->id, t->soft_bytes, t->hard_bytes, refused, t);
    }
    PyThreadState_Clear(visit);
    PyThreadState_DeleteCurrent();
    return NULL;
}

static void
run_all(void)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    PyThreadState *main_state = PyEval_SaveThread();
    for (size_t i = 0; i < tenant_count; i++) {
        struct tenant *t = &tenants[i];
        if (pthread_create(&t->thread, &attributes, run_tenant, t) != 0) {
            perror("pthread_create");
            exit(1);
        }
    }
    for (size_t i = 0; i < tenant_count; i++) {
        pthread_join(tenants[i].thread, NULL);
    }
    PyEval_RestoreThread(main_state);
    pthread_attr_destroy(&attributes);
}

// Interpreters that tenants made and did not end.  No other thread runs any more.
static void
end_what_is_left(void)
{
    PyThreadState *main_state = PyThreadState_Get();
    PyInterpreterState *next;
    for (PyInterpreterState *interp = PyInterpreterState_Head(); interp != NULL;
         interp = next) {
        next = PyInterpreterState_Next(interp);
        if (interp != PyInterpreterState_Main()) {
            PyThreadState_Swap(PyThreadState_New(interp));
            Py_EndInterpreter(PyThreadState_Get());
            PyThreadState_Swap(main_state);
        }
    }
}

// --- the table -------------------------------------------------------------

static uint64_t
peak_of(const pimalloc_snapshot *s)
{
    return s->domain[PIMALLOC_RAW].peak_bytes +
           s->domain[PIMALLOC_MEM].peak_bytes +
           s->domain[PIMALLOC_OBJ].peak_bytes;
}

static void
print_table(void)
{
    int width = 12; // of the first column
    for (size_t i = 0; i < tenant_count; i++) {
        int length = (int)strlen(tenants[i].name);
        width = length > width ? length : width;
    }
    printf("%-*s %6s %-12s %10s %8s %12s %9s %11s  %s\n", width, "tenant",
           "interp", "outcome", "peak KiB", "refused", "largest KiB",
           "made KiB", "left bytes", "of these");
    for (size_t i = 0; i < tenant_count; i++) {
        const struct tenant *t = &tenants[i];
        printf("%-*s %6" PRId64 " %-12s %10" PRIu64 " %8" PRIu64 " %12" PRIu64
               " %9" PRIu64 " %11" PRIu64,
               width, t->name, t->id, t->outcome, peak_of(&t->account) / 1024,
               t->refusals, t->largest_refused / 1024, t->made_bytes / 1024,
               t->left_bytes);
        for (size_t k = 0; k < KINDS_SHOWN && t->kinds[k][0] != '\0'; k++) {
            printf("%s%s", k == 0 ? "  " : "; ", t->kinds[k]);
        }
        if (t->pythons_blocks != 0) {
            printf("  (Python itself: %" PRIu64 " blocks)", t->pythons_blocks);
        }
        printf("\n");
    }
}

// --- the beginning ---------------------------------------------------------

static const char *const samples[][2] = {
    {"polite", "import json\n"
               "rows = [{'n': i, 'square': i * i} for i in range(20000)]\n"
               "assert json.loads(json.dumps(rows)) == rows\n"},
    {"greedy", "try:\n"
               "    [None] * 1_000_000_000\n"
               "except MemoryError:\n"
               "    rows = ['a smaller one'] * 1000\n"
               "assert len(rows) == 1000\n"},
    {"bomb", "text = 'x'\n"
             "while True:\n"
             "    text += text\n"},
    {"crowd", "crowd = []\n"
              "while True:\n"
              "    crowd.append({len(crowd): [len(crowd)]})\n"},
    {"maker", "try:\n"
              "    import _interpreters as it\n"
              "except ImportError:\n"
              "    import _xxsubinterpreters as it\n"
              "made = it.create()\n"
              "run = getattr(it, 'exec', None) or it.run_string\n"
              "run(made, 'crowd = []\\n'\n"
              "          'try:\\n'\n"
              "          '    while True: crowd.append([len(crowd)])\\n'\n"
              "          'except MemoryError: pass\\n')\n"},
    {"leaky", "kept = [str(i) for i in range(10)]\n"
              "forget(kept)\n"},
};

static char *
read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    size_t length = 0;
    size_t room = 4096;
    char *text = malloc(room);
    size_t n;
    while (text != NULL &&
           (n = fread(text + length, 1, room - length - 1, file)) != 0) {
        length += n;
        if (room - length < 2) {
            room *= 2;
            char *longer = realloc(text, room);
            if (longer == NULL) {
                free(text);
            }
            text = longer;
        }
    }
    if (text != NULL) {
        text[length] = '\0';
    }
    fclose(file);
    return text;
}

static void
use_samples(void)
{
    tenant_count = sizeof(samples) / sizeof(samples[0]);
    for (size_t i = 0; i < tenant_count; i++) {
        tenants[i].name = samples[i][0];
        tenants[i].source = strdup(samples[i][1]);
    }
}

static const char usage[] =
    "Usage: tenants [--soft=MB] [--hard=MB] [--] [SCRIPT...]\n"
    "Run each script in an interpreter of its own that may have so much "
    "memory;\n"
    "without scripts, six that show what can happen.  (32 MB, and 16 MB "
    "more)\n";

// "--soft=" and a number of megabytes from 1 to a million.  False: something else.
static bool
read_megabytes(const char *word, const char *name, uint64_t *bytes)
{
    size_t length = strlen(name);
    char *end = NULL;
    if (strncmp(word, name, length) != 0 || word[length] < '0' ||
        word[length] > '9') {
        return false;
    }
    unsigned long long n = strtoull(word + length, &end, 10);
    *bytes = n * MB;
    return *end == '\0' && n >= 1 && n <= 1000000;
}

// Returns how many words were options, or -1.
static int
parse_options(int argc, char **argv, uint64_t *soft, uint64_t *hard)
{
    int i = 1;
    *hard = 0;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (!read_megabytes(argv[i], "--soft=", soft) &&
            !read_megabytes(argv[i], "--hard=", hard)) {
            return -1;
        }
    }
    *hard = *hard != 0 ? *hard : *soft + RESERVE_BYTES;
    return *hard < *soft ? -1 : i - 1;
}

static int
read_scripts(char **scripts)
{
    for (; *scripts != NULL; scripts++) {
        struct tenant *t = &tenants[tenant_count++];
        t->name = *scripts;
        t->source = read_file(*scripts);
        if (t->source == NULL) {
            perror(*scripts);
            return -1;
        }
    }
    if (tenant_count == 0) {
        use_samples();
    }
    return 0;
}

static int
start_python(void)
{
    PyPreConfig preconfig;
    PyPreConfig_InitPythonConfig(&preconfig);
    Py_PreInitialize(&preconfig);
    int err = pimalloc_install(NULL);
    if (err != 0) {
        fprintf(stderr, "%s\n", pimalloc_strerror(err));
        return -1; // without limits no other people's scripts
    }
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    PyStatus status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return PyStatus_Exception(status) ? -1 : 0;
}

int
main(int argc, char **argv)
{
    uint64_t soft = 32 * MB;
    uint64_t hard;
    bool helps = argc == 2 && strcmp(argv[1], "--help") == 0;
    int options = helps ? -1 : parse_options(argc, argv, &soft, &hard);
    if (options < 0) {
        fputs(usage, helps ? stdout : stderr);
        return helps ? 0 : 2;
    }
    tenants = calloc((size_t)argc + sizeof(samples) / sizeof(samples[0]),
                     sizeof(*tenants));
    if (tenants == NULL || read_scripts(argv + 1 + options) != 0 ||
        start_python() != 0) {
        return 1;
    }
    for (size_t i = 0; i < tenant_count; i++) {
        tenants[i].soft_bytes = soft;
        tenants[i].hard_bytes = hard;
        tenants[i].id = NOBODY;
    }
    pimalloc_leaks_set(left, NULL);
    run_all();
    pimalloc_leaks_set(NULL, NULL);
    end_what_is_left();
    print_table();
    fflush(stdout); // Python writes past it
    PyRun_SimpleString("print('the host goes on:', sum(range(1000)))");
    int status = Py_FinalizeEx();
    for (size_t i = 0; i < tenant_count; i++) {
        free(tenants[i].source);
    }
    free(tenants);
    return status;
}

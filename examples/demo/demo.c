// demo.c -- Python on pimalloc, several interpreters at once, on real input.
//
// Starts CPython on pimalloc, lets N interpreters with their own GIL work
// through the .py files of the standard library, ends them, and prints what
// each used and left behind.  Then runs itself once more, as a child process,
// on CPython's own allocator, and compares.
//
// For an embedding program of your own, start_python() below and worker_main()
// in interpreters.c are the parts to copy.

#include "demo.h"

#include <getopt.h>
#include <limits.h>
#include <sys/stat.h>

#define MAX_INTERPRETERS 256

enum { EXIT_USAGE = 2 };

struct options {
    int interpreters;
    bool python_allocator;
    bool json;
    char *directory; // NULL: the standard library
};

static const char help[] =
    "Usage: demo [OPTION]... [DIRECTORY]\n"
    "\n"
    "Starts CPython on pimalloc, creates several interpreters, each with its\n"
    "own GIL and its own thread, and shares out the .py files of the standard\n"
    "library (without site-packages), or all those below DIRECTORY.  Every\n"
    "file is read, tokenized, parsed, compiled, summed up through JSON and\n"
    "searched with regular expressions.  Then all interpreters end.\n"
    "\n"
    "Prints what each interpreter did, used and left behind, does the same\n"
    "work in a child process on CPython's own allocator, and compares.\n"
    "\n"
    "  -n, --interpreters=N    how many interpreters (default 4, at most 256)\n"
    "      --python-allocator  use CPython's own allocator, compare nothing\n"
    "      --json              print the same figures as JSON\n"
    "  -h, --help              print this help\n"
    "\n"
    "PYTHON* environment variables are ignored.  Exit status: 0, 1 if\n"
    "something failed or the two runs disagree about the results, 2 for wrong\n"
    "arguments.\n";

// Parses argv.  Returns -1 to go on, or the exit status.
static int
parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"interpreters", required_argument, NULL, 'n'},
        {"python-allocator", no_argument, NULL, 'p'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    *options = (struct options){.interpreters = 4};
    int option;
    while ((option = getopt_long(argc, argv, "n:h", known, NULL)) != -1) {
        char *end = NULL;
        long number = option == 'n' ? strtol(optarg, &end, 10) : 0;
        switch (option) {
        case 'n':
            if (*end != '\0' || number < 1 || number > MAX_INTERPRETERS) {
                fprintf(stderr,
                        "demo: --interpreters wants a number from 1 to %d, "
                        "not '%s'\n",
                        MAX_INTERPRETERS, optarg);
                return EXIT_USAGE;
            }
            options->interpreters = (int)number;
            break;
        case 'p':
            options->python_allocator = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 'h':
            fputs(help, stdout);
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        default:
            return EXIT_USAGE; // getopt_long() has said it
        }
    }
    if (argc - optind > 1) {
        fprintf(stderr, "demo: one directory at most, not '%s' as well\n",
                argv[optind + 1]);
        return EXIT_USAGE;
    }
    options->directory = argv[optind]; // NULL if there is none
    return -1;
}

// Initialises Python; the three steps must come in this order.  0 or -1.
static int
start_python(bool on_pimalloc)
{
    // 1. Pre-initialise.  The isolated configurations leave locale, signals
    //    and environment to the embedding program.
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&preconfig);
    if (PyStatus_Exception(status)) {
        fprintf(stderr, "demo: Py_PreInitialize: %s\n", status.err_msg);
        return -1;
    }

    // 2. Install pimalloc, before Python allocates what it will keep.
    int err = on_pimalloc ? pimalloc_install(NULL) : 0;
    if (err != 0) {
        fprintf(stderr, "demo: %s\n", pimalloc_strerror(err));
        return -1;
    }

    // 3. Initialise.
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;    // no .pth files of other people's packages
    config.write_bytecode = 0; // leave no files behind
#ifdef PIM_TEST_PYTHON
    // Python finds its standard library from the place of this executable.
    status =
        PyConfig_SetBytesString(&config, &config.program_name, PIM_TEST_PYTHON);
#endif
    if (!PyStatus_Exception(status)) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) {
        fprintf(stderr, "demo: cannot initialise Python: %s\n",
                status.err_msg != NULL ? status.err_msg : "no reason given");
        return -1;
    }
    if (on_pimalloc && !pimalloc_active()) {
        fprintf(stderr, "demo: another allocator has replaced pimalloc\n");
        return -1;
    }
    return 0;
}

// Runs a piece of Python in the main interpreter and copies the string it left
// in the variable `answer`.  0, or -1 after printing the traceback.
static int
ask_python(const char *source, char *answer, size_t size)
{
    PyObject *scope = PyDict_New();
    PyObject *done = NULL;
    const char *text = NULL;
    if (scope != NULL && PyDict_SetItemString(scope, "__builtins__",
                                              PyEval_GetBuiltins()) == 0) {
        done = PyRun_String(source, Py_file_input, scope, scope);
    }
    if (done != NULL) {
        PyObject *value = PyDict_GetItemString(scope, "answer"); // borrowed
        text = value != NULL ? PyUnicode_AsUTF8(value) : NULL;
    }
    if (text != NULL) {
        snprintf(answer, size, "%s", text);
    } else {
        PyErr_Print();
    }
    Py_XDECREF(done);
    Py_XDECREF(scope);
    return text != NULL ? 0 : -1;
}

// Which Python was measured.  Asked after the measurement: the answer needs
// modules that the work does not.
static int
describe_python(struct run *run)
{
    static const char build[] =
        "import sys\n"
        "try:\n"
        "    import sysconfig\n"
        "    args = sysconfig.get_config_var('CONFIG_ARGS') or ''\n"
        "except ImportError:\n"
        "    args = None\n"
        "if hasattr(sys, 'gettotalrefcount'):\n"
        "    answer = 'a debug build'\n"
        "elif args is None:\n"
        "    answer = 'optimisation unknown'\n"
        "elif '--enable-optimizations' in args:\n"
        "    answer = 'configured with --enable-optimizations'\n"
        "elif sys.prefix == '/usr':    # Debian optimises in a way of its own\n"
        "    answer = 'a build of the distribution'\n"
        "else:\n"
        "    answer = 'configured without --enable-optimizations'\n";
    if (ask_python("import sys\nanswer = sys.version.split()[0]\n",
                   run->version, sizeof(run->version)) != 0 ||
        ask_python("import sys\nanswer = sys.executable or 'embedded'\n",
                   run->executable, sizeof(run->executable)) != 0) {
        return -1;
    }
    return ask_python(build, run->build, sizeof(run->build));
}

// Everything that happens while Python is up.
static int
run_in_python(struct run *run)
{
    static char stdlib[PATH_MAX];
    if (run->directory == NULL) {
        if (ask_python("import os\nanswer = os.path.dirname(os.__file__)\n",
                       stdlib, sizeof(stdlib)) != 0) {
            return EXIT_FAILURE;
        }
        run->directory = stdlib;
    }
    if (files_find(&run->files, run->directory, run->directory == stdlib)) {
        fprintf(stderr, "demo: no memory for the list of files\n");
        return EXIT_FAILURE;
    }
    if (run->files.count == 0) {
        fprintf(stderr, "demo: there is no .py file below %s\n",
                run->directory);
        return EXIT_USAGE;
    }
    files_warm(&run->files);
    if (run_interpreters(run) != 0 || describe_python(run) != 0) {
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

static int
check_directory(const char *directory)
{
    struct stat st;
    if (stat(directory, &st) != 0) {
        fprintf(stderr, "demo: %s: %s\n", directory, strerror(errno));
        return -1;
    }
    if (!S_ISDIR(st.st_mode)) {
        fprintf(stderr, "demo: %s is not a directory\n", directory);
        return -1;
    }
    return 0;
}

int
main(int argc, char **argv)
{
    struct options options;
    int exit_status = parse_options(argc, argv, &options);
    if (exit_status >= 0) {
        return exit_status;
    }
    if (options.directory != NULL && check_directory(options.directory) != 0) {
        return EXIT_USAGE;
    }
    struct run run = {
        .on_pimalloc = !options.python_allocator,
        .directory = options.directory,
        .interpreters = options.interpreters,
        .workers = calloc((size_t)options.interpreters, sizeof(struct worker)),
    };
    if (run.workers == NULL || start_python(run.on_pimalloc) != 0) {
        free(run.workers);
        return EXIT_FAILURE;
    }
    exit_status = run_in_python(&run);
    if (Py_FinalizeEx() != 0) {
        exit_status = EXIT_FAILURE;
    }
    if (exit_status == EXIT_SUCCESS && !options.json) {
        report_text(&run);
    }
    if (exit_status == EXIT_SUCCESS && run.on_pimalloc) {
        exit_status = compare_with_child(&run, options.directory, options.json);
    } else if (exit_status == EXIT_SUCCESS && options.json) {
        report_json(&run);
    }
    if (fflush(stdout) != 0 && exit_status == EXIT_SUCCESS) {
        perror("demo: cannot write the report");
        exit_status = EXIT_FAILURE;
    }
    files_free(&run.files);
    free(run.workers);
    return exit_status;
}

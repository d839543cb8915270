// module.c -- the Python module pimalloc: what Python code can ask.
//
// Everything is in the module's state, so that each interpreter, and each
// import of a module that was deleted, has one of its own.  The GIL that is
// held is that of the caller's interpreter; the functions of the library take
// care of the rest.

#include <stdbool.h>
#include <stdio.h>
#include <errno.h>
#include <stdlib.h>

#include "module/arguments.h"
#include "module/classes.h"
#include "module/faults.h"
#include "module/figures.h"
#include "module/limits.h"
#include "module/module_state.h"
#include "module/owner.h"
#include "module/record.h"
#include "module/profile.h"
#include "module/trace.h"

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)
#define VERSION_TEXT                                                           \
    STRING(PIMALLOC_VERSION_MAJOR)                                             \
    "." STRING(PIMALLOC_VERSION_MINOR) "." STRING(PIMALLOC_VERSION_PATCH)

// --- functions ---------------------------------------------------------------

PyDoc_STRVAR(
    active_doc,
    "active($module, /)\n"
    "--\n"
    "\n"
    "Return whether this Python allocates from pimalloc now.\n"
    "\n"
    "What was set on top later, such as debug hooks and tracemalloc, is\n"
    "taken to pass requests on, unless no raw request arrives.  Never\n"
    "raises.");

static PyObject *
module_active(PyObject *module, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(
        pim_library_is_active(&pim_module_state_of(module)->library));
}

PyDoc_STRVAR(
    version_doc,
    "version($module, /)\n"
    "--\n"
    "\n"
    "Return pimalloc's version, for example '0.1.0'.\n"
    "\n"
    "The module and the library in the process are of one version, or\n"
    "the import fails.  Works without the library, too.");

static PyObject *
module_version(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    return PyUnicode_FromString(VERSION_TEXT);
}

PyDoc_STRVAR(
    stats_doc,
    "stats($module, /, interp=None)\n"
    "--\n"
    "\n"
    "Return the figures of one interpreter, of the process, or of all.\n"
    "\n"
    "interp: an interpreter's id; an object with one in its attribute id,\n"
    "such as concurrent.interpreters.Interpreter; or PROCESS for what\n"
    "belongs to no living interpreter.  None: everything, as\n"
    "{'version': str, 'active': True, 'process': {...},\n"
    "'interpreters': {id: {...}, ...}}.\n"
    "\n"
    "One interpreter is a dict of\n"
    "  id               its id; 0 for a legacy interpreter, which shares the\n"
    "                   main one's memory and figures\n"
    "  state            'alive' or 'ended'\n"
    "  generation       counts Py_Initialize() in this process\n"
    "  arenas, pages    memory for small blocks it holds\n"
    "  committed_bytes  what of it was not given back to the system, and its\n"
    "                   large blocks\n"
    "  remote_frees     blocks that others freed\n"
    "  domains          'raw', 'mem' and 'obj': each a dict of live_bytes,\n"
    "                   live_blocks, peak_bytes, peak_blocks, total_bytes and\n"
    "                   total_blocks; total is all that was ever allocated\n"
    "and for the process also\n"
    "  raw_is_libc      True: raw is libc's; raw figures may be too high\n"
    "Bytes are those of blocks, that is, of requests rounded up.\n"
    "\n"
    "Raises NotActiveError; ValueError if no such interpreter is known;\n"
    "TypeError; OverflowError for more than 64 bits.");

static PyObject *
module_stats(PyObject *module, PyObject *args, PyObject *kwargs)
{
    const pim_library *library = pim_library_of(module);
    PyObject *argument =
        library != NULL ? pim_only_interp(args, kwargs, "|O:stats") : NULL;
    int64_t interp;
    if (argument == NULL) {
        return NULL;
    }
    if (Py_IsNone(argument)) {
        return pim_figures_all(library);
    }
    return pim_interp_argument(argument, &interp)
               ? pim_figures_of(library, interp)
               : NULL;
}

PyDoc_STRVAR(
    classes_doc,
    "classes($module, /, interp, domain='obj')\n"
    "--\n"
    "\n"
    "Return the figures of one domain by size class, as a list of dicts.\n"
    "\n"
    "interp: as for stats(), but not None.  domain: 'raw', 'mem' or 'obj'.\n"
    "\n"
    "Each dict has the members of a domain in stats(), and\n"
    "  kind         'small': blocks of one size; 'span': 32 KiB to 1 MiB;\n"
    "               'large': blocks outside the arenas\n"
    "  block_bytes  size of a small block, else None\n"
    "Classes that were never used are left out.\n"
    "\n"
    "Raises NotActiveError; ValueError if there is no such interpreter or\n"
    "domain; TypeError; OverflowError for more than 64 bits.");

static PyObject *
module_classes(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char interp_name[] = "interp";
    static char domain_name[] = "domain";
    static char *names[] = {interp_name, domain_name, NULL};
    const char *domain = "obj";
    int64_t interp;
    const pim_library *library = pim_library_of(module);
    if (library == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O&|s:classes", names,
                                     pim_interp_argument, &interp, &domain)) {
        return NULL;
    }
    return pim_classes_of(library, interp, domain);
}

PyDoc_STRVAR(
    interpreters_doc,
    "interpreters($module, /)\n"
    "--\n"
    "\n"
    "Return the ids of the interpreters that stats() knows, as a list.\n"
    "\n"
    "First the ended ones, of which the last 64 are remembered, then\n"
    "the living in the order of their birth.  Legacy interpreters are\n"
    "part of the main one and not listed.\n"
    "\n"
    "Raises NotActiveError.");

static PyObject *
module_interpreters(PyObject *module, PyObject *Py_UNUSED(unused))
{
    const pim_library *library = pim_library_of(module);
    return library != NULL ? pim_figures_ids(library) : NULL;
}

PyDoc_STRVAR(
    owner_doc,
    "owner($module, obj, /)\n"
    "--\n"
    "\n"
    "Return the id of the interpreter in whose memory the object lies.\n"
    "\n"
    "PROCESS: what an ended interpreter left, or no interpreter allocated.\n"
    "None: not pimalloc's memory, as of small ints, None and other static\n"
    "objects.  The object itself is meant, not what it refers to nor a\n"
    "buffer that it keeps elsewhere (list, dict, set, bytearray).\n"
    "\n"
    "Raises NotActiveError.");

static PyObject *
module_owner(PyObject *module, PyObject *object)
{
    const pim_library *library = pim_library_of(module);
    int64_t interp = 0;
    if (library == NULL) {
        return NULL;
    }
    if (!pim_owner_of(library, object, &interp)) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLongLong(interp);
}

PyDoc_STRVAR(
    trim_doc,
    "trim($module, /, interp=None)\n"
    "--\n"
    "\n"
    "Give empty memory back to the system and return how many bytes it was.\n"
    "\n"
    "interp: as for stats(); None is the calling interpreter, EACH all.\n"
    "The process's memory goes in any case.  What another interpreter keeps\n"
    "for its next requests goes when it makes some.  Collects no garbage:\n"
    "gc.collect() first may help.\n"
    "\n"
    "Raises NotActiveError; ValueError if no such interpreter is known;\n"
    "TypeError; OverflowError for more than 64 bits.");

static PyObject *
module_trim(PyObject *module, PyObject *args, PyObject *kwargs)
{
    const pim_library *library = pim_library_of(module);
    PyObject *argument =
        library != NULL ? pim_only_interp(args, kwargs, "|O:trim") : NULL;
    int64_t interp = pim_own_interp();
    if (argument == NULL || !pim_interp_or_none(argument, &interp)) {
        return NULL;
    }
    pimalloc_snapshot known = {.size = sizeof(known)};
    if (!Py_IsNone(argument) && interp != PIMALLOC_EACH &&
        library->stats(interp, &known) != 0) {
        pim_figures_unknown(interp);
        return NULL;
    }
    return PyLong_FromSize_t(library->trim(interp));
}

PyDoc_STRVAR(
    prefork_freeze_doc,
    "prefork_freeze($module, /)\n"
    "--\n"
    "\n"
    "Prepare for forking children that share this process's memory.\n"
    "\n"
    "Takes pages that have free blocks out of use until they are empty, so\n"
    "that new objects lie together in pages that nobody shares.  Call it\n"
    "once, after gc.collect() and gc.freeze() and before the first fork.\n"
    "\n"
    "Raises NotActiveError.");

static PyObject *
module_prefork_freeze(PyObject *module, PyObject *Py_UNUSED(unused))
{
    const pim_library *library = pim_library_of(module);
    if (library == NULL) {
        return NULL;
    }
    library->prefork_freeze();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    print_stats_doc,
    "print_stats($module, /, file=None)\n"
    "--\n"
    "\n"
    "Write a table of all figures to a text file; None is sys.stderr.\n"
    "\n"
    "file: any object with a method write(str).\n"
    "\n"
    "Raises NotActiveError, and what the method raises.");

// The library's table.
static PyObject *
table_text(const pim_library *library)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    library->stats_print(stream);
    PyObject *result = NULL;
    if (fclose(stream) != 0) {
        PyErr_SetFromErrno(PyExc_OSError);
    } else {
        result =
            PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, "backslashreplace");
    }
    free(text);
    return result;
}

static PyObject *
module_print_stats(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char name[] = "file";
    static char *names[] = {name, NULL};
    PyObject *file = Py_None;
    const pim_library *library = pim_library_of(module);
    if (library == NULL || !PyArg_ParseTupleAndKeywords(
                               args, kwargs, "|O:print_stats", names, &file)) {
        return NULL;
    }
    if (Py_IsNone(file)) {
        file = PySys_GetObject("stderr");
        if (file == NULL || Py_IsNone(file)) {
            Py_RETURN_NONE; // a program without one, as for print()
        }
    }
    Py_INCREF(file); // writing may replace sys.stderr
    PyObject *text = table_text(library);
    int err = text != NULL ? PyFile_WriteObject(text, file, Py_PRINT_RAW) : -1;
    Py_XDECREF(text);
    Py_DECREF(file);
    if (err != 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

// --- the module --------------------------------------------------------------

static PyMethodDef methods[] = {
    {"active", module_active, METH_NOARGS, active_doc},
    {"version", module_version, METH_NOARGS, version_doc},
    {"stats", PIM_WITH_KEYWORDS(module_stats), METH_VARARGS | METH_KEYWORDS,
     stats_doc},
    {"classes", PIM_WITH_KEYWORDS(module_classes), METH_VARARGS | METH_KEYWORDS,
     classes_doc},
    {"interpreters", module_interpreters, METH_NOARGS, interpreters_doc},
    {"owner", module_owner, METH_O, owner_doc},
    {"trim", PIM_WITH_KEYWORDS(module_trim), METH_VARARGS | METH_KEYWORDS,
     trim_doc},
    {"prefork_freeze", module_prefork_freeze, METH_NOARGS, prefork_freeze_doc},
    {"print_stats", PIM_WITH_KEYWORDS(module_print_stats),
     METH_VARARGS | METH_KEYWORDS, print_stats_doc},
    {NULL, NULL, 0, NULL},
};

static int
module_exec(PyObject *module)
{
    pim_module_state *state = pim_module_state_of(module);
    if (pim_library_find(&state->library) != 0 || pim_limits_add(module) != 0 ||
        pim_faults_add(module) != 0 || pim_record_add(module) != 0 ||
        pim_profile_add(module) != 0 || pim_trace_add(module) != 0) {
        return -1;
    }
    state->not_active_error = PyErr_NewExceptionWithDoc(
        "pimalloc.NotActiveError",
        "pimalloc does not serve this Python; the message says what to do.",
        PyExc_RuntimeError, NULL);
    if (state->not_active_error == NULL ||
        PyModule_AddObjectRef(module, "NotActiveError",
                              state->not_active_error) != 0) {
        return -1;
    }
    int err = PyModule_AddIntConstant(module, "PROCESS", PIMALLOC_PROCESS);
    return err == 0 ? PyModule_AddIntConstant(module, "EACH", PIMALLOC_EACH)
                    : err;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(pim_module_state_of(module)->not_active_error);
    return 0;
}

static int
module_clear(PyObject *module)
{
    Py_CLEAR(pim_module_state_of(module)->not_active_error);
    return 0;
}

static void
module_free(void *module)
{
    module_clear(module);
}

PyDoc_STRVAR(module_doc,
             "What pimalloc, the memory allocator that knows interpreters, has "
             "counted.\n"
             "\n"
             "Works where pimalloc serves Python: under pimalloc-run, or in a\n"
             "program that calls pimalloc_install().  Elsewhere active() is\n"
             "False and most functions raise NotActiveError.");

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)(uintptr_t)module_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,         .m_name = "pimalloc",
    .m_doc = module_doc,           .m_size = sizeof(pim_module_state),
    .m_methods = methods,          .m_slots = slots,
    .m_traverse = module_traverse, .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit_pimalloc(void);

// CPython 3.11 and older load this file, and do not know one of its slots.
static bool
is_too_old(void)
{
    int minor = 0;
    return sscanf(Py_GetVersion(), "3.%d", &minor) == 1 && minor < 12;
}

PyMODINIT_FUNC
PyInit_pimalloc(void)
{
    if (is_too_old()) {
        PyErr_SetString(PyExc_ImportError,
                        "the module pimalloc needs CPython 3.12 or newer");
        return NULL;
    }
    return PyModuleDef_Init(&definition);
}

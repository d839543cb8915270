// faults.c -- requests that fail on purpose, from Python.
//
//     with faults(...) as f:      tp_new reads the arguments, and __enter__ adds
//         ...                     the rule as its last act
//                                 __exit__ removes it and allocates nothing
//
// A method that takes its arguments as an array is called without a tuple of
// them, so that no rule keeps its own end from being reached.  As with limits,
// interpreters other than main may only harm themselves.

#include "module/faults.h"

#include <errno.h>
#include <string.h>

#include "module/arguments.h"
#include "module/module_state.h"

// How often a removal is tried that waits for a thread, each time for seconds.
#define ATTEMPTS 10

typedef struct faults {
    PyObject_HEAD const pim_library *library; // in the module's state
    PyObject *module;
    pimalloc_fault fault;
    char function[PIMALLOC_FAULT_NAME_MAX + 1];
    int handle;       // 0: it has no rule now
    uint64_t matched; // when that was removed
    uint64_t failed;
} faults;

// --- arguments -------------------------------------------------------------

// Of what names, 1 at least: None is 0.
typedef struct count {
    const char *name;
    unsigned long long value;
} count;

// A converter, as in arguments.h.
static int
count_or_none_argument(PyObject *argument, void *out)
{
    count *c = out;
    if (Py_IsNone(argument)) {
        return 1;
    }
    c->value = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred() == NULL && c->value == 0) {
        PyErr_Format(PyExc_ValueError, "%s must be at least 1, or None",
                     c->name);
    }
    return PyErr_Occurred() == NULL;
}

static int
add_domain(PyObject *name, unsigned *domains)
{
    static const char *const names[] = {"raw", "mem", "obj"};
    for (unsigned d = 0; d < 3 && PyUnicode_Check(name); d++) {
        if (PyUnicode_CompareWithASCIIString(name, names[d]) == 0) {
            *domains |= 1u << d;
            return 1;
        }
    }
    PyErr_Format(PyExc_ValueError, "no domain %R; there are raw, mem and obj",
                 name);
    return 0;
}

// A converter: one name, or several.
static int
domains_argument(PyObject *argument, void *out)
{
    unsigned *domains = out;
    if (Py_IsNone(argument)) {
        return 1;
    }
    if (PyUnicode_Check(argument)) {
        return add_domain(argument, domains);
    }
    PyObject *names = PySequence_List(argument);
    int ok = names != NULL;
    for (Py_ssize_t i = 0; ok && i < PyList_Size(names); i++) {
        ok = add_domain(PyList_GetItem(names, i), domains);
    }
    Py_XDECREF(names);
    if (ok && *domains == 0) {
        PyErr_SetString(PyExc_ValueError, "domains must name one at least");
        ok = 0;
    }
    return ok;
}

// A converter.
static int
function_argument(PyObject *argument, void *out)
{
    Py_ssize_t length;
    if (Py_IsNone(argument)) {
        return 1;
    }
    if (!PyUnicode_Check(argument)) {
        PyErr_SetString(PyExc_TypeError,
                        "function must be a qualified name, or None");
        return 0;
    }
    const char *name = PyUnicode_AsUTF8AndSize(argument, &length);
    if (name != NULL && (length == 0 || length > PIMALLOC_FAULT_NAME_MAX ||
                         strlen(name) != (size_t)length)) {
        PyErr_Format(PyExc_ValueError,
                     "function must be a name of up to %d bytes",
                     PIMALLOC_FAULT_NAME_MAX);
        return 0;
    }
    if (name != NULL) {
        memcpy(out, name, (size_t)length + 1);
    }
    return name != NULL;
}

// The interpreter that answers for a rule of `interp`; a legacy one's is main.
static int
find_interp(const pim_library *library, int64_t *interp)
{
    int64_t self = pim_own_interp();
    pimalloc_snapshot known = {.size = sizeof(known)};
    if (self != 0 && *interp != self) {
        PyErr_SetString(PyExc_PermissionError,
                        "only the main interpreter lets requests of others "
                        "fail");
        return 0;
    }
    if (*interp == PIMALLOC_EACH || *interp == PIMALLOC_PROCESS) {
        return 1;
    }
    if (library->stats(*interp, &known) != 0 || known.state != PIMALLOC_ALIVE) {
        PyErr_Format(PyExc_ValueError,
                     "pimalloc knows no living interpreter %lld",
                     (long long)*interp);
        return 0;
    }
    *interp = known.interp;
    return 1;
}

static int
is_consistent(const pimalloc_fault *f)
{
    if ((f->nth != 0) + (f->every != 0) + (f->probability != 0) != 1) {
        PyErr_SetString(PyExc_ValueError,
                        "exactly one of nth, every and probability says which "
                        "requests fail");
    } else if (!(f->probability >= 0 && f->probability <= 1)) {
        PyErr_SetString(PyExc_ValueError,
                        "probability must be above 0 and up to 1");
    } else if (f->max_size != 0 && f->max_size < f->min_size) {
        PyErr_SetString(PyExc_ValueError,
                        "max_size must not be below min_size");
    }
    return PyErr_Occurred() == NULL;
}

static int
read_arguments(faults *self, PyObject *args, PyObject *kwargs)
{
    static char names[9][12] = {"nth",     "every",    "probability",
                                "seed",    "min_size", "max_size",
                                "domains", "interp",   "function"};
    static char *keywords[] = {names[0], names[1], names[2], names[3], names[4],
                               names[5], names[6], names[7], names[8], NULL};
    pimalloc_fault *f = &self->fault;
    count nth = {.name = "nth"};
    count every = {.name = "every"};
    count min_size = {.name = "min_size"};
    count max_size = {.name = "max_size"};
    unsigned long long seed = 0;
    *f = (pimalloc_fault){.size = sizeof(*f), .interp = pim_own_interp()};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "|$O&O&dKO&O&O&O&O&:faults", keywords,
            count_or_none_argument, &nth, count_or_none_argument, &every,
            &f->probability, &seed, count_or_none_argument, &min_size,
            count_or_none_argument, &max_size, domains_argument, &f->domains,
            pim_interp_or_none, &f->interp, function_argument,
            self->function)) {
        return 0;
    }
    f->nth = nth.value;
    f->every = every.value;
    f->seed = seed;
    f->min_size = (size_t)min_size.value;
    f->max_size = (size_t)max_size.value;
    f->function = self->function[0] != '\0' ? self->function : NULL;
    return is_consistent(f) && find_interp(self->library, &f->interp);
}

static PyObject *
faults_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *module = PyType_GetModule(type);
    const pim_library *library = module != NULL ? pim_library_of(module) : NULL;
    faults *self =
        library != NULL ? (faults *)PyType_GenericAlloc(type, 0) : NULL;
    if (self == NULL) {
        return NULL;
    }
    self->library = library;
    self->module = Py_NewRef(module);
    if (!read_arguments(self, args, kwargs)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

// --- a rule ----------------------------------------------------------------

static void
refuse(const faults *self, int err)
{
    const char *why = err == -ENOTSUP ? self->library->fault_refusal() : NULL;
    if (why != NULL) {
        PyErr_Format(PyExc_RuntimeError, "there is no rule for a function: %s",
                     why);
    } else {
        PyErr_SetString(PyExc_RuntimeError,
                        err == -ENOSPC ? "there are too many rules and other "
                                         "hooks"
                                       : "pimalloc does not take a rule now");
    }
}

static PyObject *
faults_enter(PyObject *object, PyObject *Py_UNUSED(unused))
{
    faults *self = (faults *)object;
    if (self->handle != 0) {
        PyErr_SetString(PyExc_RuntimeError, "it was entered already");
        return NULL;
    }
    int handle = self->library->fault_add(&self->fault);
    if (handle < 0) {
        refuse(self, handle);
        return NULL;
    }
    self->handle = handle;
    return Py_NewRef(object);
}

// Threads that are in a hook may want the GIL afterwards, not before, so it is
// kept.  0, or an error.
static int
leave(faults *self)
{
    int err = -EBUSY;
    for (int i = 0; i < ATTEMPTS && (err == -EBUSY || err == -ETIMEDOUT); i++) {
        err = self->library->fault_remove(self->handle, &self->matched,
                                          &self->failed);
    }
    if (err != -EBUSY && err != -ETIMEDOUT) {
        self->handle = 0;
    }
    return err;
}

static PyObject *
faults_exit(PyObject *object, PyObject *const *Py_UNUSED(args),
            Py_ssize_t Py_UNUSED(count))
{
    faults *self = (faults *)object;
    if (self->handle != 0 && leave(self) != 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the rule could not be taken back: a thread does not "
                        "leave a hook");
        return NULL;
    }
    return Py_NewRef(Py_False);
}

static PyObject *
counted(faults *self, bool failed)
{
    if (self->handle != 0) {
        self->library->fault_counts(self->handle, &self->matched,
                                    &self->failed);
    }
    return PyLong_FromUnsignedLongLong(failed ? self->failed : self->matched);
}

static PyObject *
faults_matched(PyObject *self, void *Py_UNUSED(closure))
{
    return counted((faults *)self, false);
}

static PyObject *
faults_failed(PyObject *self, void *Py_UNUSED(closure))
{
    return counted((faults *)self, true);
}

// --- the type --------------------------------------------------------------

static int
faults_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((faults *)self)->module);
    return 0;
}

static void
faults_dealloc(PyObject *object)
{
    faults *self = (faults *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->handle != 0) {
        leave(self);
    }
    Py_XDECREF(self->module);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(
    faults_doc,
    "faults(*, nth=None, every=None, probability=0.0, seed=0, min_size=None,\n"
    "       max_size=None, domains=None, interp=None, function=None)\n"
    "--\n"
    "\n"
    "Let requests for memory fail inside a with block, on purpose.\n"
    "\n"
    "Whoever asked gets MemoryError.  Exactly one of three says which of the\n"
    "requests that match fail:\n"
    "  nth          that one, once\n"
    "  every        each so-manieth\n"
    "  probability  each with that probability; which ones depends on seed\n"
    "A request matches if it has\n"
    "  min_size, max_size  so many bytes\n"
    "  domains             one of these, such as 'obj' or ('mem', 'obj')\n"
    "  interp              that interpreter; None: the calling one; EACH: any\n"
    "  function            a function of that qualified name on the stack\n"
    "\n"
    "The attributes matched and failed count requests, also after the block.\n"
    "Only allocations and blocks that grow fail.  What CPython does not\n"
    "survive neither fails nor counts, see docs/faults.md.\n"
    "\n"
    "Raises NotActiveError; ValueError; PermissionError for other\n"
    "interpreters than the calling one, unless that is the main one;\n"
    "TypeError; OverflowError; RuntimeError on entry if there are too many\n"
    "rules, or stacks cannot be read.");

static PyMethodDef methods[] = {
    {"__enter__", faults_enter, METH_NOARGS, "Add the rule."},
    {"__exit__", (PyCFunction)(void (*)(void))faults_exit, METH_FASTCALL,
     "Remove it; exceptions pass."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef members[] = {
    {"matched", faults_matched, NULL, "requests that matched", NULL},
    {"failed", faults_failed, NULL, "those of them that failed", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)faults_doc},
    {Py_tp_new, (void *)(uintptr_t)faults_new},
    {Py_tp_dealloc, (void *)(uintptr_t)faults_dealloc},
    {Py_tp_traverse, (void *)(uintptr_t)faults_traverse},
    {Py_tp_methods, methods},
    {Py_tp_getset, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "pimalloc.faults",
    .basicsize = sizeof(faults),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int
pim_faults_add(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    int err =
        type != NULL ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return err;
}

// classes.c -- figures by size class, as a list of dictionaries.
//
// They are copied out before the first dictionary is made, as in figures.c.

#include "module/classes.h"

#include <stdlib.h>
#include <string.h>

#include "module/figures.h"

static int
domain_of(const char *name)
{
    static const char *const names[PIMALLOC_DOMAINS] = {"raw", "mem", "obj"};
    for (int domain = 0; domain < PIMALLOC_DOMAINS; domain++) {
        if (strcmp(names[domain], name) == 0) {
            return domain;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "domain must be 'raw', 'mem' or 'obj', not '%s'", name);
    return -1;
}

// The last two have blocks of many sizes.
static const char *
kind_of(int index, int count)
{
    return index == count - 1 ? "large" : index == count - 2 ? "span" : "small";
}

static PyObject *
class_dict(const pimalloc_class *c, const char *kind)
{
    PyObject *dict = pim_figures_usage(&c->usage);
    PyObject *text = PyUnicode_FromString(kind);
    PyObject *bytes = c->block_bytes != 0
                          ? PyLong_FromUnsignedLongLong(c->block_bytes)
                          : Py_NewRef(Py_None);
    if (dict == NULL || text == NULL || bytes == NULL ||
        PyDict_SetItemString(dict, "kind", text) != 0 ||
        PyDict_SetItemString(dict, "block_bytes", bytes) != 0) {
        Py_CLEAR(dict);
    }
    Py_XDECREF(text);
    Py_XDECREF(bytes);
    return dict;
}

static PyObject *
list_of(const pimalloc_class *classes, int count)
{
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < count; i++) {
        const pimalloc_usage *usage = &classes[i].usage;
        if (usage->total_blocks == 0 && usage->live_blocks == 0) {
            continue;
        }
        PyObject *dict = class_dict(&classes[i], kind_of(i, count));
        if (dict == NULL || PyList_Append(list, dict) != 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(dict);
    }
    return list;
}

PyObject *
pim_classes_of(const pim_library *library, int64_t interp, const char *domain)
{
    int number = domain_of(domain);
    if (number < 0) {
        return NULL;
    }
    int count = library->classes(interp, number, NULL, 0);
    if (count < 0) {
        pim_figures_unknown(interp);
        return NULL;
    }
    pimalloc_class *classes = calloc((size_t)count + 1, sizeof(*classes));
    if (classes == NULL) {
        return PyErr_NoMemory();
    }
    classes->size = sizeof(*classes);
    PyObject *list = NULL;
    if (library->classes(interp, number, classes, (size_t)count) != count) {
        pim_figures_unknown(interp); // just forgotten
    } else {
        list = list_of(classes, count);
    }
    free(classes);
    return list;
}

// figures.c -- snapshots as dictionaries.
//
// All snapshots are taken before the first dictionary is made, for a dictionary
// is memory of the interpreter that asks.  Room for them comes from the C
// library, which no figure counts.

#include <stdlib.h>

#include "module/figures.h"

// --- one snapshot ------------------------------------------------------------

PyObject *
pim_figures_usage(const pimalloc_usage *usage)
{
    return Py_BuildValue("{sKsKsKsKsKsK}", "live_bytes",
                         (unsigned long long)usage->live_bytes, "live_blocks",
                         (unsigned long long)usage->live_blocks, "peak_bytes",
                         (unsigned long long)usage->peak_bytes, "peak_blocks",
                         (unsigned long long)usage->peak_blocks, "total_bytes",
                         (unsigned long long)usage->total_bytes, "total_blocks",
                         (unsigned long long)usage->total_blocks);
}

// mem and obj; raw is the process's alone.
static PyObject *
domains_dict(const pimalloc_snapshot *s)
{
    PyObject *mem = pim_figures_usage(&s->domain[PIMALLOC_MEM]);
    PyObject *obj = pim_figures_usage(&s->domain[PIMALLOC_OBJ]);
    if (s->interp != PIMALLOC_PROCESS) {
        return Py_BuildValue("{sNsN}", "mem", mem, "obj", obj);
    }
    PyObject *raw = pim_figures_usage(&s->domain[PIMALLOC_RAW]);
    return Py_BuildValue("{sNsNsN}", "raw", raw, "mem", mem, "obj", obj);
}

static PyObject *
snapshot_dict(const pimalloc_snapshot *s)
{
    PyObject *domains = domains_dict(s);
    if (domains == NULL) {
        return NULL;
    }
    PyObject *dict = Py_BuildValue(
        "{sLsssIsKsKsKsKsN}", "id", (long long)s->interp, "state",
        s->state == PIMALLOC_ENDED ? "ended" : "alive", "generation",
        (unsigned)s->generation, "arenas", (unsigned long long)s->arenas,
        "pages", (unsigned long long)s->pages, "committed_bytes",
        (unsigned long long)s->committed_bytes, "remote_frees",
        (unsigned long long)s->remote_frees, "domains", domains);
    if (dict != NULL && s->interp == PIMALLOC_PROCESS &&
        PyDict_SetItemString(dict, "raw_is_libc",
                             s->raw_is_libc != 0 ? Py_True : Py_False) != 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

void
pim_figures_unknown(int64_t interp)
{
    PyErr_Format(PyExc_ValueError,
                 "pimalloc knows no interpreter %lld; interpreters() lists "
                 "those it knows, and PROCESS is the process",
                 (long long)interp);
}

PyObject *
pim_figures_of(const pim_library *library, int64_t interp)
{
    pimalloc_snapshot s = {.size = sizeof(s)};
    if (library->stats(interp, &s) != 0) {
        pim_figures_unknown(interp);
        return NULL;
    }
    return snapshot_dict(&s);
}

// --- all of them ---------------------------------------------------------------

// The known ids, without repeats, in memory to be freed; NULL with MemoryError
// set.  Ids start over when Python is initialised again; the newest one counts.
static int64_t *
known_ids(const pim_library *library, size_t *count)
{
    size_t room = 0;
    size_t known = library->interpreters(NULL, 0);
    int64_t *ids = NULL;
    do { // others may begin between the two calls
        room = known + 8;
        free(ids);
        ids = malloc(room * sizeof(*ids));
        if (ids == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        known = library->interpreters(ids, room);
    } while (known > room);
    size_t kept = 0;
    for (size_t i = 0; i < known; i++) {
        size_t later = i + 1;
        while (later < known && ids[later] != ids[i]) {
            later++;
        }
        if (later == known) {
            ids[kept++] = ids[i];
        }
    }
    *count = kept;
    return ids;
}

PyObject *
pim_figures_ids(const pim_library *library)
{
    size_t count = 0;
    int64_t *ids = known_ids(library, &count);
    if (ids == NULL) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *id = PyLong_FromLongLong(ids[i]);
        if (id == NULL || PyList_Append(list, id) != 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(id);
    }
    free(ids);
    return list;
}

// Snapshots of the process and, behind it, of the interpreters; to be freed.
static pimalloc_snapshot *
take_snapshots(const pim_library *library, size_t *count)
{
    size_t known = 0;
    int64_t *ids = known_ids(library, &known);
    if (ids == NULL) {
        return NULL;
    }
    pimalloc_snapshot *s = calloc(known + 1, sizeof(*s));
    if (s == NULL) {
        free(ids);
        PyErr_NoMemory();
        return NULL;
    }
    size_t taken = 1;
    for (size_t i = 0; i < known; i++) {
        s[taken].size = sizeof(*s);
        if (library->stats(ids[i], &s[taken]) == 0) { // else just forgotten
            taken++;
        }
    }
    s[0].size = sizeof(*s);
    if (library->stats(PIMALLOC_PROCESS, &s[0]) != 0) {
        PyErr_SetString(PyExc_SystemError, "pimalloc has no figures");
        free(s);
        s = NULL;
    }
    free(ids);
    *count = taken;
    return s;
}

static PyObject *
interpreters_dict(const pimalloc_snapshot *s, size_t count)
{
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict != NULL && i < count; i++) {
        PyObject *id = PyLong_FromLongLong(s[i].interp);
        PyObject *figures = snapshot_dict(&s[i]);
        if (id == NULL || figures == NULL ||
            PyDict_SetItem(dict, id, figures) != 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(id);
        Py_XDECREF(figures);
    }
    return dict;
}

PyObject *
pim_figures_all(const pim_library *library)
{
    size_t count = 0;
    pimalloc_snapshot *s = take_snapshots(library, &count);
    if (s == NULL) {
        return NULL;
    }
    PyObject *process = snapshot_dict(&s[0]);
    PyObject *interpreters = interpreters_dict(s + 1, count - 1);
    free(s);
    if (process == NULL || interpreters == NULL) {
        Py_XDECREF(process);
        Py_XDECREF(interpreters);
        return NULL;
    }
    int version = library->version();
    PyObject *name = PyUnicode_FromFormat("%d.%d.%d", version / 10000,
                                          version / 100 % 100, version % 100);
    return Py_BuildValue("{sNsOsNsN}", "version", name, "active", Py_True,
                         "process", process, "interpreters", interpreters);
}

// audit.c -- see audit.h.

#include "cpython/audit.h"

#include <string.h>

#include "base/atomic.h"
#include "cpython/symbols.h"

static void (*_Atomic told)(const char *event);

static int
hook(const char *event, PyObject *args, void *data)
{
    (void)args;
    (void)data;
    pim_load_acquire (&told)(event);
    return 0;
}

bool
pim_audit_start(void (*seen)(const char *event))
{
    int (*add)(Py_AuditHookFunction, void *);
    void *symbol = pim_py_symbol("PySys_AddAuditHook");
    memcpy(&add, &symbol, sizeof(add));
    pim_store_release(&told, seen);
    return add != NULL && add(hook, NULL) == 0;
}

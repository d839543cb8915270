// owner.c -- from an object to the block that holds it.
//
//     block                                        id(object)
//       | debug layer | dict, weakrefs | GC header | object ...
//         16 if on      16 if managed    16 if any
//
// A small block is known by any address in it, a large one by its start only.
// So the start is tried, for each combination of what may lie in front.

#include "module/owner.h"

// Each of the three, on every 64-bit CPython 3.12 to 3.15 with a GIL.
#define HEADER 16u
// Py_TPFLAGS_PREHEADER, which the stable ABI leaves out.
#define MANAGED ((1ul << 3) | (1ul << 4))
#define SMALLEST_PAGE 4096u

// Bytes that CPython puts in front of the object.  Static types have no header
// although their type says so.
static uintptr_t
bytes_before(PyObject *object)
{
    unsigned long flags = PyType_GetFlags(Py_TYPE(object));
    if ((flags & Py_TPFLAGS_HAVE_GC) == 0 ||
        (PyType_Check(object) && (PyType_GetFlags((PyTypeObject *)object) &
                                  Py_TPFLAGS_HEAPTYPE) == 0)) {
        return 0;
    }
    return (flags & MANAGED) != 0 ? 2 * HEADER : HEADER;
}

bool
pim_owner_of(const pim_library *library, PyObject *object, int64_t *interp)
{
    uintptr_t address = (uintptr_t)object;
    uintptr_t start = address - bytes_before(object);
    if (library->owner((const void *)address, interp) == 0 ||
        library->owner((const void *)start, interp) == 0) {
        return true;
    }
    // The library may read the word in front of a block, which need not be
    // mapped if this is not one.
    uintptr_t below = start - HEADER;
    return below / SMALLEST_PAGE == address / SMALLEST_PAGE &&
           library->owner((const void *)below, interp) == 0;
}

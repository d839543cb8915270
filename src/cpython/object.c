// object.c -- recognising Python objects in memory that may be anything.
//
//   plain        | count | type | ...
//   collected                     | header | count | type | ...
//   with a dict  | pre-header | header | count | type | ...
//                0            16       32
//
// A word is believed to be an object's type if it points to something that is
// readable, of a sane size and name, agrees with the place where the word was
// found, and whose own type comes down to "type", the one that is its own type.

#include "cpython/object.h"

#include <Python.h>
#include <string.h>

#include "cpython/symbols.h"
#include "platform/os.h"

// Before an object that the collector knows, and one with a managed dictionary
// or weak references.
#define HEADER_BYTES ((size_t)16)

// Flags that Python.h hides or that not all versions have; the same in all of
// them.
#define HAS_PREHEADER ((1ul << 3) | (1ul << 4))

// Types between a type's type and the type of all types.
#define METATYPES_MAX 16

#define BASIC_BYTES_MAX ((Py_ssize_t)1 << 24)

// The part of a type that is the same from 3.12 to 3.15.
#define HEAD_BYTES offsetof(PyTypeObject, tp_dict)

static bool
read_head(const void *address, PyTypeObject *out)
{
    return address != NULL && (uintptr_t)address % sizeof(void *) == 0 &&
           pim_os_read(address, out, HEAD_BYTES);
}

static const void *
type_of_type(const PyTypeObject *head)
{
    return ((const PyObject *)head)->ob_type;
}

// A count of 0 is one of an object that is gone.  Up to 3.13 counts are 64 bits
// wide, but no larger than what makes an object immortal; then flags follow.
static bool
is_count(const void *object)
{
    uint64_t word;
    memcpy(&word, object, sizeof(word));
    return (uint32_t)word != 0 &&
           (pim_py.hexversion >= 0x030e0000 || word >> 32 == 0);
}

// Static types are ready no more when the main interpreter has ended.
static bool
is_sane(const PyTypeObject *head)
{
    bool is_ready =
        (head->tp_flags & (Py_TPFLAGS_READY | Py_TPFLAGS_HEAPTYPE)) !=
        Py_TPFLAGS_HEAPTYPE;
    return is_count(head) && is_ready && head->tp_name != NULL &&
           head->tp_basicsize >= (Py_ssize_t)sizeof(PyObject) &&
           head->tp_basicsize <= BASIC_BYTES_MAX && head->tp_itemsize >= 0 &&
           head->tp_itemsize <= BASIC_BYTES_MAX;
}

static bool
is_metatype(const void *address)
{
    PyTypeObject head;
    for (unsigned i = 0; i < METATYPES_MAX; i++) {
        if (!read_head(address, &head) || !is_sane(&head) ||
            (head.tp_flags & Py_TPFLAGS_TYPE_SUBCLASS) == 0) {
            return false;
        }
        if (type_of_type(&head) == address) {
            char name[sizeof("type")];
            return pim_os_read(head.tp_name, name, sizeof(name)) &&
                   memcmp(name, "type", sizeof(name)) == 0;
        }
        address = head.tp_base;
    }
    return false;
}

// Never reads beyond the system page that the last sign is in.
static bool
read_name(const char *at, char out[PIM_TYPE_NAME_MAX])
{
    size_t page = pim_os_page_size();
    size_t used = 0;
    while (used < PIM_TYPE_NAME_MAX - 1) {
        size_t n = page - (uintptr_t)at % page;
        size_t room = PIM_TYPE_NAME_MAX - 1 - used;
        n = n < room ? n : room;
        if (!pim_os_read(at, out + used, n)) {
            return false;
        }
        const char *end = memchr(out + used, '\0', n);
        if (end != NULL) {
            return end != out;
        }
        used += n;
        at += n;
    }
    strcpy(out + used - 3, "...");
    return true;
}

static bool
make_printable(char *name)
{
    for (; *name != '\0'; name++) {
        unsigned char c = (unsigned char)*name;
        if (c < ' ' || c == 0x7f) {
            return false;
        }
        *name = c > 0x7f ? '?' : *name;
    }
    return true;
}

void
pim_object_candidates(const void *block, size_t bytes,
                      const void *out[PIM_TYPE_PLACES])
{
    for (size_t i = 0; i < PIM_TYPE_PLACES; i++) {
        const char *object = (const char *)block + i * HEADER_BYTES;
        out[i] = NULL;
        if ((i + 1) * HEADER_BYTES <= bytes && is_count(object)) {
            memcpy(&out[i], object + offsetof(PyObject, ob_type),
                   sizeof(out[i]));
        }
    }
}

bool
pim_type_read(const void *address, pim_type *out)
{
    PyTypeObject head;
    if (!read_head(address, &head) || !is_sane(&head) ||
        !is_metatype(type_of_type(&head)) ||
        !read_name(head.tp_name, out->name) || !make_printable(out->name)) {
        return false;
    }
    unsigned long flags = head.tp_flags;
    out->address = address;
    out->front_bytes = (flags & Py_TPFLAGS_HAVE_GC) == 0 ? 0
                       : (flags & HAS_PREHEADER) == 0    ? HEADER_BYTES
                                                         : 2 * HEADER_BYTES;
    out->is_str = (flags & Py_TPFLAGS_UNICODE_SUBCLASS) != 0 &&
                  (flags & Py_TPFLAGS_HEAPTYPE) == 0;
    // A str's is that of the largest form; most are smaller.
    out->basic_bytes =
        out->is_str ? sizeof(PyASCIIObject) : (size_t)head.tp_basicsize;
    return true;
}

bool
pim_type_fits(const pim_type *type, unsigned place, const void *block,
              size_t bytes)
{
    const void *there;
    size_t front = place * HEADER_BYTES;
    memcpy(&there, (const char *)block + front + offsetof(PyObject, ob_type),
           sizeof(there));
    return there == type->address && front == type->front_bytes &&
           front + type->basic_bytes <= bytes;
}

bool
pim_object_is_pythons(const pim_type *type, const void *block)
{
    int32_t count; // negative in immortal objects of all versions
    memcpy(&count, block, sizeof(count));
    return type->is_str && count < 0;
}

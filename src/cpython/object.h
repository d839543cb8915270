// object.h -- is there a Python object in a block, and of which type?
//
// Asked of blocks that nobody manages any more, so nothing in them is believed:
// they may be no objects, and point to types that are gone.

#ifndef PIM_CPYTHON_OBJECT_H
#define PIM_CPYTHON_OBJECT_H

#include "base/compiler.h"

#define PIM_TYPE_NAME_MAX 80

typedef struct pim_type {
    const void *address;
    size_t
        front_bytes; // of a block before its object: the collector's header ...
    size_t basic_bytes; // least of an object
    bool is_str;
    char name[PIM_TYPE_NAME_MAX]; // printable ASCII; "..." at its end if cut
} pim_type;

// The candidates: what in a readable block may be an object's pointer to its
// type.
#define PIM_TYPE_PLACES 3
void pim_object_candidates(const void *block, size_t bytes,
                           const void *out[PIM_TYPE_PLACES]);

// Fills *out if there is a type at an address, which may be any.
bool pim_type_read(const void *address, pim_type *out);

// Whether the block can hold an object of a type that candidate `place` pointed
// to.
bool pim_type_fits(const pim_type *type, unsigned place, const void *block,
                   size_t bytes);

// Whether the object of that type is what CPython up to 3.13 leaves of an
// interpreter: a string that it interned and made immortal.  3.12 leaves it
// interned, 3.13 does not.  Programs cannot make one otherwise.
bool pim_object_is_pythons(const pim_type *type, const void *block);

#endif // PIM_CPYTHON_OBJECT_H

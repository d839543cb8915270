// ops.h -- which mimalloc will do, and the functions that are taken of it.

#ifndef PIM_MI_OPS_H
#define PIM_MI_OPS_H

#include "base/compiler.h"

// From which mi_version() on up to which a library is looked at more closely
// (self_test.h): older ones bind heaps to threads or have known faults, and a
// new major version may give the same names to other functions.
#define PIM_MI_VERSION_MIN 30600
#define PIM_MI_VERSION_END 40000

// What stands against a mi_version(); NULL: nothing.
PIM_INLINE const char *
pim_mi_version_lack(int version)
{
    return version < PIM_MI_VERSION_MIN    ? "is too old"
           : version >= PIM_MI_VERSION_END ? "is of another major version"
                                           : NULL;
}

typedef struct pim_mi_ops {
    size_t (*usable_size)(const void *block);

    // mimalloc's main heap, with the block's size as a second result.
    void *(*umalloc)(size_t size, size_t *block_size);
    void *(*ucalloc)(size_t count, size_t size, size_t *block_size);
    void *(*urealloc)(void *block, size_t size, size_t *before, size_t *after);
    void (*ufree)(void *block, size_t *block_size);

    // Whether the address lies in a mimalloc page; safe on any address.
    bool (*contains)(const void *address);
    // Returns the memory of free arena space to the system.
    void (*purge)(void);
} pim_mi_ops;

#endif // PIM_MI_OPS_H

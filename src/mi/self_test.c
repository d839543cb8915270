// self_test.c -- see self_test.h.
//
// A version number says what was promised, and nothing of versions to come.  So
// a library is taken for what it has and does.  cmake/mimalloc_version.c asks
// the same of it when pimalloc is configured.

#include "mi/self_test.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "base/config.h"

#define TRIED_BYTES ((size_t)100)
#define TRIED_MORE (TRIED_BYTES + 4)

bool
pim_mi_symbol(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

const char *
pim_mi_bind(void *handle, pim_mi_ops *mi)
{
    void *unused;
    const struct {
        const char *name;
        void *function;
    } needed[] = {
        {"mi_usable_size", &mi->usable_size},
        {"mi_umalloc", &mi->umalloc},
        {"mi_ucalloc", &mi->ucalloc},
        {"mi_urealloc", &mi->urealloc},
        {"mi_ufree", &mi->ufree},
        {"mi_any_heap_contains", &mi->contains},
        {"mi_arenas_purge", &mi->purge},
        // Where there are theaps, a heap belongs to no thread.
        {"mi_theap_get_default", &unused},
    };
    for (size_t i = 0; i < PIM_ARRAY_LEN(needed); i++) {
        if (!pim_mi_symbol(handle, needed[i].name, needed[i].function)) {
            return needed[i].name;
        }
    }
    return NULL;
}

static bool
is_filled(const char *block, size_t bytes, char with)
{
    for (size_t i = 0; i < bytes; i++) {
        if (block[i] != with) {
            return false;
        }
    }
    return true;
}

// What a fresh block of so many bytes, of which the library said `told`, is
// not.
static const char *
fault_of_block(const pim_mi_ops *mi, const void *block, size_t bytes,
               size_t told)
{
    return (uintptr_t)block % PIM_ALIGNMENT != 0 ? "misaligns blocks"
           : told < bytes                        ? "does not tell their size"
           : mi->usable_size(block) != told      ? "tells two sizes of a block"
           : !mi->contains(block)                ? "does not know its blocks"
                                                 : NULL;
}

// What a block does not become when it grows; it is freed in any case.  NULL in
// `block` afterwards: there was no memory.
static const char *
fault_of_growth(const pim_mi_ops *mi, char **block, size_t told)
{
    size_t before = 0;
    size_t after = 0;
    size_t freed = 0;
    memset(*block, 'x', TRIED_BYTES);
    char *grown = mi->urealloc(*block, TRIED_MORE, &before, &after);
    if (grown == NULL) {
        mi->ufree(*block, &freed);
        *block = NULL;
        return NULL;
    }
    *block = grown;
    const char *fault = before != told ? "does not tell what it resized"
                        : !is_filled(grown, TRIED_BYTES, 'x')
                            ? "loses what is in a block"
                            : fault_of_block(mi, grown, TRIED_MORE, after);
    mi->ufree(grown, &freed);
    return fault != NULL    ? fault
           : freed != after ? "does not tell what it freed"
                            : NULL;
}

int
pim_mi_self_test(const pim_mi_ops *mi, const char **fault)
{
    static const int ours;
    const int here = 0;
    size_t told = 0;
    char *block = mi->umalloc(TRIED_BYTES, &told);
    if (block == NULL) {
        return -ENOMEM;
    }
    *fault = mi->contains(&ours) || mi->contains(&here)
                 ? "takes strange memory for its own"
                 : fault_of_block(mi, block, TRIED_BYTES, told);
    if (*fault != NULL) {
        return -EPROTO; // it is not to be trusted with a free either
    }
    *fault = fault_of_growth(mi, &block, told);
    if (*fault != NULL) {
        return -EPROTO;
    }
    char *zeroed = block != NULL ? mi->ucalloc(1, TRIED_BYTES, &told) : NULL;
    if (zeroed == NULL) {
        return -ENOMEM;
    }
    *fault = !is_filled(zeroed, TRIED_BYTES, 0)
                 ? "does not clear blocks"
                 : fault_of_block(mi, zeroed, TRIED_BYTES, told);
    mi->ufree(zeroed, &told);
    return *fault != NULL ? -EPROTO : 0;
}

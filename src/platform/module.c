// module.c -- see module.h.

#define _GNU_SOURCE

#include "platform/module.h"

#include <link.h>
#include <stdio.h>

typedef struct module {
    uintptr_t address; // somewhere in it
    char *path;
} module;

static int
is_it(struct dl_phdr_info *info, size_t info_size, void *found)
{
    const module *m = found;
    (void)info_size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD &&
            m->address - info->dlpi_addr - part->p_vaddr < part->p_memsz) {
            snprintf(m->path, PATH_MAX, "%s", info->dlpi_name);
            return 1;
        }
    }
    return 0;
}

void
pim_module_path(const void *address, char path[PATH_MAX])
{
    module m = {.address = (uintptr_t)address, .path = path};
    path[0] = '\0';
    dl_iterate_phdr(is_it, &m);
}

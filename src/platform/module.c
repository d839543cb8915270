// module.c -- see module.h.

#define _GNU_SOURCE

#include "platform/module.h"

#include <link.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "platform/os.h"

typedef struct search {
    uintptr_t address;
    pim_module_look *look;
    void *arg;
} search;

static int
visit(struct dl_phdr_info *info, size_t info_size, void *arg)
{
    const search *s = arg;
    (void)info_size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD &&
            s->address - info->dlpi_addr - part->p_vaddr < part->p_memsz) {
            s->look(info, s->arg);
            return 1;
        }
    }
    return 0;
}

void
pim_module_find(const void *address, pim_module_look *look, void *arg)
{
    search s = {.address = (uintptr_t)address, .look = look, .arg = arg};
    dl_iterate_phdr(visit, &s);
}

static void
copy_path(const struct dl_phdr_info *info, void *path)
{
    snprintf(path, PATH_MAX, "%s", info->dlpi_name);
}

void
pim_module_path(const void *address, char path[PATH_MAX])
{
    path[0] = '\0';
    pim_module_find(address, copy_path, path);
}

static void
forget_constant(const struct dl_phdr_info *info, void *arg)
{
    (void)arg;
    uintptr_t page = pim_os_page_size();
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_W) == 0) {
            uintptr_t from = (info->dlpi_addr + part->p_vaddr) & ~(page - 1);
            uintptr_t to = info->dlpi_addr + part->p_vaddr + part->p_memsz;
            madvise((void *)from, pim_align_up(to - from, page), MADV_DONTNEED);
        }
    }
}

void
pim_module_forget_pages(const void *address)
{
    pim_module_find(address, forget_constant, NULL);
}

// image.c -- reading the head of a program file.

#define _GNU_SOURCE

#include "run/image.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/compiler.h"
#include "platform/path.h"
#include "platform/privilege.h"

#define BLANKS " \t"

static bool
read_at(int fd, uint64_t offset, void *out, size_t bytes)
{
    return pread(fd, out, bytes, (off_t)offset) == (ssize_t)bytes;
}

// Of another class or byte order it finds none, and nobody asks.
static void
read_loader(int fd, pim_image *out)
{
    ElfW(Ehdr) head;
    ElfW(Phdr) part = {0};
    bool ok =
        read_at(fd, 0, &head, sizeof(head)) && head.e_phentsize == sizeof(part);
    for (size_t i = 0; ok && i < head.e_phnum && part.p_type != PT_INTERP;
         i++) {
        ok = read_at(fd, head.e_phoff + i * sizeof(part), &part, sizeof(part));
    }
    if (ok && part.p_type == PT_INTERP && part.p_filesz < sizeof(out->loader)) {
        read_at(fd, part.p_offset, out->loader, part.p_filesz);
    }
}

static void
read_elf(int fd, const unsigned char *head, pim_image *out)
{
    const unsigned char *at = head + offsetof(ElfW(Ehdr), e_machine);
    bool is_little = head[EI_DATA] == ELFDATA2LSB;
    out->kind = PIM_IMAGE_ELF;
    out->machine = (uint32_t)head[EI_CLASS] << 24 |
                   (uint32_t)head[EI_DATA] << 16 |
                   (uint32_t)at[is_little] << 8 | at[!is_little];
    read_loader(fd, out);
}

// As the kernel reads it: up to the end of the line or of its buffer.
static void
read_script(const char *head, size_t length, pim_image *out)
{
    char *to = out->script;
    bool has_line = length > 2 && head[0] == '#' && head[1] == '!';
    for (size_t i = 2;
         has_line && i < length && head[i] != '\n' && head[i] != '\0'; i++) {
        if (to != out->script || strchr(BLANKS, head[i]) == NULL) {
            *to++ = head[i];
        }
    }
    while (to != out->script && strchr(BLANKS, to[-1]) != NULL) {
        *--to = '\0';
    }
    if (to == out->script && memchr(head, '\0', length) == NULL) {
        strcpy(out->script, "/bin/sh"); // as execvp() does with any text
    }
    out->kind = out->script[0] != '\0' ? PIM_IMAGE_SCRIPT : PIM_IMAGE_UNKNOWN;
}

void
pim_image_read(const char *path, pim_image *out)
{
    const char *name = pim_path_name(path); // ld-*.so.*, ld64.so.*
    *out = (pim_image){.is_loader = strncmp(name, "ld", 2) == 0 &&
                                    strstr(name, ".so") != NULL};
    char head[sizeof(out->script)];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t n = fd >= 0 ? pread(fd, head, sizeof(head), 0) : -1;
    if (n >= (ssize_t)sizeof(Elf32_Ehdr) &&
        memcmp(head, ELFMAG, SELFMAG) == 0) {
        read_elf(fd, (const unsigned char *)head, out);
    } else if (n >= 0) {
        read_script(head, (size_t)n, out);
    }
    if (fd >= 0) {
        close(fd);
    }
}

const char *
pim_image_privilege(const char *path)
{
    struct stat file;
    struct statvfs volume;
    if (pim_is_privileged() || geteuid() != getuid() || getegid() != getgid()) {
        return "this process has raised privileges";
    }
    if (stat(path, &file) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
        (statvfs(path, &volume) == 0 && (volume.f_flag & ST_NOSUID) != 0)) {
        return NULL;
    }
    if ((file.st_mode & S_ISUID) != 0 && file.st_uid != getuid()) {
        return "it is setuid";
    }
    if ((file.st_mode & S_ISGID) != 0 && (file.st_mode & S_IXGRP) != 0 &&
        file.st_gid != getgid()) {
        return "it is setgid";
    }
    // Root has them anyway, which is no raise.
    char capabilities[64];
    if (getuid() != 0 && getxattr(path, "security.capability", capabilities,
                                  sizeof(capabilities)) > 0) {
        return "it has file capabilities";
    }
    return NULL;
}

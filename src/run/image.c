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
#include "platform/privilege.h"

// A file of more program headers than this is none that we can judge.
#define PROGRAM_HEADERS_MAX 256

#define NATIVE_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define NATIVE_DATA                                                            \
    (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

static bool
name_is_loader(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    return strncmp(name, "ld-", 3) == 0 || strncmp(name, "ld.so", 5) == 0 ||
           strncmp(name, "ld64.so", 7) == 0;
}

// Only of our own class and byte order: of others, that they are others is all
// that matters.
static void
read_loader(int fd, pim_image *out)
{
    ElfW(Ehdr) head;
    if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
        head.e_phentsize != sizeof(ElfW(Phdr)) ||
        head.e_phnum > PROGRAM_HEADERS_MAX) {
        out->kind = PIM_IMAGE_UNKNOWN;
        return;
    }
    for (unsigned i = 0; i < head.e_phnum; i++) {
        ElfW(Phdr) part;
        off_t at = (off_t)(head.e_phoff + i * sizeof(part));
        if (pread(fd, &part, sizeof(part), at) != (ssize_t)sizeof(part)) {
            out->kind = PIM_IMAGE_UNKNOWN;
            return;
        }
        if (part.p_type == PT_INTERP && part.p_filesz < sizeof(out->loader)) {
            ssize_t n =
                pread(fd, out->loader, part.p_filesz, (off_t)part.p_offset);
            out->loader[n > 0 ? n : 0] = '\0';
            return;
        }
    }
}

static void
read_elf(int fd, const unsigned char *head, pim_image *out)
{
    out->kind = PIM_IMAGE_ELF;
    out->elf_class = head[EI_CLASS];
    out->elf_data = head[EI_DATA];
    const unsigned char *machine = head + offsetof(ElfW(Ehdr), e_machine);
    out->elf_machine =
        (uint16_t)(out->elf_data == ELFDATA2LSB ? machine[0] | machine[1] << 8
                                                : machine[0] << 8 | machine[1]);
    if (out->elf_class == NATIVE_CLASS && out->elf_data == NATIVE_DATA) {
        read_loader(fd, out);
    }
}

// As the kernel reads it: up to the end of the line or of its buffer.
static void
read_script(const char *head, size_t length, pim_image *out)
{
    out->kind = PIM_IMAGE_SCRIPT;
    const char *line = head + 2;
    size_t left = length - 2;
    size_t n = 0;
    while (n < left && line[n] != '\n' && line[n] != '\0') {
        n++;
    }
    while (n > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        n--;
    }
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t')) {
        n--;
    }
    snprintf(out->script, sizeof(out->script), "%.*s", (int)n, line);
}

void
pim_image_read(const char *path, pim_image *out)
{
    *out = (pim_image){.is_loader = name_is_loader(path)};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return;
    }
    char head[sizeof(out->script)];
    ssize_t n = pread(fd, head, sizeof(head), 0);
    size_t length = n > 0 ? (size_t)n : 0;
    if (length >= sizeof(Elf32_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0) {
        read_elf(fd, (const unsigned char *)head, out);
    } else if (length > 2 && head[0] == '#' && head[1] == '!') {
        read_script(head, length, out);
    } else if (n >= 0 && memchr(head, '\0', length) == NULL) {
        out->kind = PIM_IMAGE_TEXT;
    }
    close(fd);
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

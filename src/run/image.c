// image.c -- reading the head of a program file.
//
// A loader preloads a library only if the program is linked dynamically, of the
// library's kind of machine and C library, and runs without raised privileges.
// The file tells all of this.

#define _GNU_SOURCE

#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "platform/privilege.h"
#include "run/run.h"

// Of another class or byte order it finds no loader, and nobody asks.
static void
read_elf(int fd, const char *start, pim_image *out)
{
    ElfW(Ehdr) head;
    ElfW(Phdr) part = {0};
    memcpy(&head, start, sizeof(head));
    const unsigned char *machine = (const void *)&head.e_machine;
    bool is_little = head.e_ident[EI_DATA] == ELFDATA2LSB;
    out->machine = (uint32_t)head.e_ident[EI_CLASS] << 24 |
                   (uint32_t)head.e_ident[EI_DATA] << 16 |
                   (uint32_t)machine[is_little] << 8 | machine[!is_little];
    for (size_t i = 0; i < head.e_phnum && part.p_type != PT_INTERP; i++) {
        if (pread(fd, &part, sizeof(part),
                  (off_t)(head.e_phoff + i * sizeof(part))) != sizeof(part)) {
            return;
        }
    }
    if (part.p_type == PT_INTERP && part.p_filesz < sizeof(out->loader) &&
        pread(fd, out->loader, part.p_filesz, (off_t)part.p_offset) < 0) {
        out->loader[0] = '\0';
    }
}

// As the kernel reads it: up to the end of the line or of its buffer, without
// blanks around it.  head: `length` bytes and a zero.
static void
read_script(const char *head, size_t length, pim_image *out)
{
    if (strncmp(head, "#!", 2) == 0) {
        const char *line = head + 2 + strspn(head + 2, PIM_BLANKS);
        size_t n = strcspn(line, "\n");
        while (n > 0 && strchr(PIM_BLANKS, line[n - 1]) != NULL) {
            n--;
        }
        memcpy(out->script, line, n);
    }
    if (out->script[0] == '\0' && strlen(head) == length) {
        strcpy(out->script, "/bin/sh"); // as execvp() does with any text
    }
}

void
pim_image_read(const char *path, pim_image *out)
{
    char head[sizeof(out->script) + 1] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = pread(fd, head, sizeof(head) - 1, 0);
    *out = (pim_image){0};
    if (memcmp(head, ELFMAG, SELFMAG) == 0) {
        read_elf(fd, head, out);
    } else if (n >= 0) {
        read_script(head, (size_t)n, out);
    }
    close(fd); // -1 closes nothing
}

// Root has capabilities anyway, which is no raise.
const char *
pim_image_privilege(const char *path)
{
    char capabilities[64];
    struct stat file;
    struct statvfs volume;
    if (pim_is_privileged() || geteuid() != getuid() || getegid() != getgid()) {
        return "this process has raised privileges";
    }
    if (stat(path, &file) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
        (statvfs(path, &volume) == 0 && (volume.f_flag & ST_NOSUID) != 0)) {
        return NULL;
    }
    mode_t setgid = S_ISGID | S_IXGRP;
    return (file.st_mode & S_ISUID) != 0 && file.st_uid != getuid()
               ? "it is setuid"
           : (file.st_mode & setgid) == setgid && file.st_gid != getgid()
               ? "it is setgid"
           : getuid() != 0 && getxattr(path, "security.capability",
                                       capabilities, sizeof(capabilities)) > 0
               ? "it has file capabilities"
               : NULL;
}

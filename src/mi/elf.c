// elf.c -- looking names up in a library's file, as the dynamic linker would.
//
//   file header -> program headers -> dynamic section -> .gnu.hash
//                                                          | bucket of the name
//                                                          v
//                                     symbols <-- chain of hashes of the bucket
//
// The file may be anything, so each address that it names is checked against what
// it has (image_at); a chain ends with the file at the latest.

#define _GNU_SOURCE

#include "mi/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct image {
    const char *file;
    size_t bytes;
    const ElfW(Phdr) * headers;
    size_t header_count;
} image;

// Addresses in the image of what a lookup needs.
typedef struct tables {
    ElfW(Addr) symbols;
    ElfW(Addr) strings;
    size_t string_bytes;
    ElfW(Addr) hash;
} tables;

// The file header of the module that this code is in.
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

// `bytes` bytes at an offset in the file; NULL: it has not so many.
static const void *
file_at(const image *in, size_t offset, size_t bytes)
{
    return offset <= in->bytes && bytes <= in->bytes - offset
               ? in->file + offset
               : NULL;
}

// `bytes` bytes at an address in the image; NULL: the file does not hold them.
static const void *
image_at(const image *in, ElfW(Addr) address, size_t bytes)
{
    for (size_t i = 0; i < in->header_count; i++) {
        const ElfW(Phdr) *load = &in->headers[i];
        if (load->p_type == PT_LOAD && address >= load->p_vaddr &&
            address - load->p_vaddr <= load->p_filesz &&
            bytes <= load->p_filesz - (address - load->p_vaddr)) {
            return file_at(in, load->p_offset + (address - load->p_vaddr),
                           bytes);
        }
    }
    return NULL;
}

static uint32_t
word_at(const image *in, ElfW(Addr) address)
{
    uint32_t word = 0;
    const void *at = image_at(in, address, sizeof(word));
    if (at != NULL) {
        memcpy(&word, at, sizeof(word));
    }
    return word;
}

static bool
is_our_kind(const ElfW(Ehdr) * header)
{
    const ElfW(Ehdr) *ours = &__ehdr_start;
    return memcmp(header->e_ident, ours->e_ident, EI_OSABI) == 0 &&
           header->e_machine == ours->e_machine && header->e_type == ET_DYN &&
           header->e_phentsize == sizeof(ElfW(Phdr));
}

static bool
find_headers(image *in)
{
    const ElfW(Ehdr) *header = file_at(in, 0, sizeof(*header));
    if (header == NULL || !is_our_kind(header) ||
        header->e_phoff % sizeof(ElfW(Addr)) != 0) {
        return false;
    }
    in->header_count = header->e_phnum;
    in->headers =
        file_at(in, header->e_phoff, in->header_count * sizeof(*in->headers));
    return in->headers != NULL;
}

static bool
find_tables(const image *in, tables *out)
{
    *out = (tables){0};
    for (size_t i = 0; i < in->header_count; i++) {
        const ElfW(Phdr) *header = &in->headers[i];
        if (header->p_type != PT_DYNAMIC) {
            continue;
        }
        ElfW(Dyn) entry;
        for (size_t at = 0; at < header->p_filesz; at += sizeof(entry)) {
            const void *from =
                image_at(in, header->p_vaddr + at, sizeof(entry));
            if (from == NULL) {
                return false;
            }
            memcpy(&entry, from, sizeof(entry));
            switch (entry.d_tag) {
            case DT_SYMTAB:
                out->symbols = entry.d_un.d_ptr;
                break;
            case DT_STRTAB:
                out->strings = entry.d_un.d_ptr;
                break;
            case DT_STRSZ:
                out->string_bytes = entry.d_un.d_val;
                break;
            case DT_GNU_HASH:
                out->hash = entry.d_un.d_ptr;
                break;
            default:
                break;
            }
        }
    }
    return out->symbols != 0 && out->strings != 0 && out->hash != 0;
}

// Whether symbol `index` is a definition of `name`.
static bool
is_symbol(const image *in, const tables *t, uint32_t index, const char *name)
{
    ElfW(Sym) symbol;
    const void *from =
        image_at(in, t->symbols + index * sizeof(symbol), sizeof(symbol));
    if (from == NULL) {
        return false;
    }
    memcpy(&symbol, from, sizeof(symbol));
    size_t bytes = strlen(name) + 1;
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_name >= t->string_bytes ||
        bytes > t->string_bytes - symbol.st_name) {
        return false;
    }
    const void *text = image_at(in, t->strings + symbol.st_name, bytes);
    return text != NULL && memcmp(text, name, bytes) == 0;
}

static uint32_t
gnu_hash(const char *name)
{
    uint32_t hash = 5381;
    for (const char *c = name; *c != '\0'; c++) {
        hash = hash * 33 + (uint8_t)*c;
    }
    return hash;
}

// The section begins with four words: buckets, first symbol, words of the Bloom
// filter (which is left out here), its shift.
static bool
defines(const image *in, const tables *t, const char *name)
{
    uint32_t buckets = word_at(in, t->hash);
    uint32_t first = word_at(in, t->hash + 4);
    ElfW(Addr) bucket =
        t->hash + 16 + word_at(in, t->hash + 8) * sizeof(ElfW(Addr));
    ElfW(Addr) chain = bucket + buckets * sizeof(uint32_t);
    if (buckets == 0) {
        return false;
    }
    uint32_t hash = gnu_hash(name);
    uint32_t index = word_at(in, bucket + hash % buckets * sizeof(uint32_t));
    for (; index != 0 && index >= first; index++) {
        ElfW(Addr) at = chain + (index - first) * sizeof(uint32_t);
        if (image_at(in, at, sizeof(uint32_t)) == NULL) {
            return false;
        }
        uint32_t found = word_at(in, at); // its last bit ends the chain
        if ((found | 1) == (hash | 1) && is_symbol(in, t, index, name)) {
            return true;
        }
        if ((found & 1) != 0) {
            return false;
        }
    }
    return false;
}

static bool
image_defines(image *in, const char *const *names, size_t count)
{
    tables t;
    if (!find_headers(in) || !find_tables(in, &t)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!defines(in, &t, names[i])) {
            return false;
        }
    }
    return true;
}

bool
pim_elf_defines(const char *path, const char *const *names, size_t count)
{
    struct stat status;
    image in = {.file = MAP_FAILED};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_size > 0) {
        in.bytes = (size_t)status.st_size;
        in.file = mmap(NULL, in.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    close(fd);
    if (in.file == MAP_FAILED) {
        return false;
    }
    bool all = image_defines(&in, names, count);
    munmap((void *)(uintptr_t)in.file, in.bytes);
    return all;
}

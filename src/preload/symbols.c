// symbols.c -- does a module define a function?
//
// Asked of every module that queries the locale, most of which have nothing to
// do with Python.  dlsym() would answer it too, but where it fails it replaces
// what dlerror() is about to tell the program, and where it succeeds it clears
// it.
//
//   DT_GNU_HASH:  head | bloom filter | buckets | chains
//                 bucket -> first symbol of a chain; a chain's last word is odd

#define _GNU_SOURCE

#include <stdint.h>
#include <string.h>

#include "preload/preload.h"

typedef struct gnu_hash {
    uint32_t buckets;
    uint32_t first_symbol; // of those that are hashed
    uint32_t bloom_words;
    uint32_t bloom_shift;
} gnu_hash;

// NULL: there is none.  Not all loaders replace offsets by addresses.
static const void *
table(const struct link_map *map, ElfW(Sxword) tag)
{
    for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == tag) {
            ElfW(Addr) at = d->d_un.d_ptr;
            at += at < map->l_addr ? map->l_addr : 0;
            return (const void *)at;
        }
    }
    return NULL;
}

static uint32_t
hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (; *name != '\0'; name++) {
        hash = hash * 33 + (unsigned char)*name;
    }
    return hash;
}

bool
pim_preload_defines(const struct link_map *map, const char *name)
{
    const gnu_hash *head = table(map, DT_GNU_HASH);
    const ElfW(Sym) *symbols = table(map, DT_SYMTAB);
    const char *names = table(map, DT_STRTAB);
    if (head == NULL || symbols == NULL || names == NULL ||
        head->buckets == 0) {
        return false;
    }
    const ElfW(Addr) *bloom = (const void *)(head + 1);
    const uint32_t *buckets = (const void *)(bloom + head->bloom_words);
    const uint32_t *chains = buckets + head->buckets;
    uint32_t hash = hash_of(name);
    uint32_t i = buckets[hash % head->buckets];
    for (; i >= head->first_symbol; i++) {
        uint32_t link = chains[i - head->first_symbol];
        if ((link | 1) == (hash | 1) &&
            strcmp(names + symbols[i].st_name, name) == 0) {
            return symbols[i].st_shndx != SHN_UNDEF;
        }
        if ((link & 1) != 0) {
            break;
        }
    }
    return false;
}

// space.c -- where arenas and their tables are mapped.
//
// Whoever limits a process counts its address space, so none is reserved: the
// main stretch grows by one map at a time into addresses that are free.  It
// lies where neither the system nor a program's own choice is likely to be:
//
//   far     between the heap of the program and the system's maps, TiB away
//           from both; tables for all addresses
//   near    below the system's maps, where sanitizers and other layouts allow
//           it; tables for the addresses around
//
// Somebody may map there all the same.  No map of ours ever replaces another
// (pim_os->map_at): an arena's place that is taken is left out, and where the
// stretch cannot go on, arenas lie wherever the system puts them.
//
// Invariant:
//   SPACE-1  descriptors of the main stretch up to pim_region.size, and of each
//            mapped arena, are mapped.

#include "arena/space.h"

#include <errno.h>

#include "base/bits.h"
#include "platform/os.h"

#define GIB ((uintptr_t)1 << 30)
#define TIB ((uintptr_t)1 << 40)

// The lower half of a 64-bit address space with 48 bits, and what of it the
// system gives out last: programs lie below FAR_BEGIN, maps above FAR_END.
#define ADDRESS_BITS 47
#define FAR_BEGIN (88 * TIB)
#define FAR_END (112 * TIB)

// How many far places are tried, and how far below the system's maps the near
// place begins.  ThreadSanitizer lets nobody map in the middle.
#ifdef __SANITIZE_THREAD__
#    define FAR_TRIES 0
#    define NEAR_BELOW (TIB / 4)
#else
#    define FAR_TRIES 3
#    define NEAR_BELOW (TIB / 2)
#endif

// A chunk is 1 << chunk_log2 arenas; more where system pages are large.
#define CHUNK_LOG2_MIN 6
#define CHUNK_BITS (ADDRESS_BITS - PIM_ARENA_SHIFT - CHUNK_LOG2_MIN)

// How many places in a row may be taken until the stretch ends.
#define TAKEN_MAX 64

// A place for everything: tables for `span` bytes from `origin` on.
typedef struct place {
    uintptr_t origin;
    size_t span;
    uintptr_t tables;
    uintptr_t stretch;
} place;

typedef struct table {
    uintptr_t *at; // where the entry of address 0 would lie
    size_t entry;  // bytes for an arena
} table;

enum { ARENAS, PAGES, ORPHANS, TABLES };

static const table tables[TABLES] = {
    [ARENAS] = {&pim_region.arenas, sizeof(pim_arena)},
    [PAGES] = {&pim_region.pages, PIM_ARENA_UNITS * sizeof(pim_page)},
    [ORPHANS] = {&pim_region.orphans, PIM_ARENA_UNITS *PIM_SET_BYTES},
};

static place here;
static size_t limit; // of the main stretch
static unsigned chunk_log2;
static uintptr_t last_elsewhere; // where the last arena elsewhere begins

// Chunks whose part of the tables is mapped: a bit each, and in a list by their
// first arenas.  Read without the lock.
static _Atomic uint64_t chunk_is_mapped[((size_t)1 << CHUNK_BITS) / 64];
static _Atomic(pim_arena *) chunks;
static _Atomic size_t chunk_count;
static _Atomic size_t mapped_count; // arenas

// --- chunks ------------------------------------------------------------------

static size_t
part_bytes(unsigned t)
{
    return tables[t].entry << chunk_log2;
}

static void *
part_of(unsigned t, uintptr_t chunk)
{
    return (void *)(*tables[t].at + chunk * part_bytes(t));
}

static uintptr_t
chunk_of(uintptr_t arena_number)
{
    return arena_number >> chunk_log2;
}

static _Atomic uint64_t *
word_of(uintptr_t chunk, uint64_t *bit)
{
    *bit = (uint64_t)1 << chunk % 64;
    return &chunk_is_mapped[chunk / 64];
}

static bool
is_mapped(uintptr_t chunk)
{
    uint64_t bit;
    return (pim_load_acquire(word_of(chunk, &bit)) & bit) != 0;
}

static void
publish_chunk(uintptr_t chunk)
{
    uint64_t bit;
    _Atomic uint64_t *word = word_of(chunk, &bit);
    pim_arena *first = pim_arena_at(chunk << chunk_log2);
    first->next_chunk = pim_load_relaxed(&chunks);
    pim_store_release(&chunks, first);
    pim_or_release(word, bit);
    pim_own_add(&chunk_count, 1);
}

// Maps a chunk's part of the tables.  0, -EEXIST or -ENOMEM.
static int
map_chunk(uintptr_t chunk)
{
    if (is_mapped(chunk)) {
        return 0;
    }
    for (unsigned t = 0; t < TABLES; t++) {
        int err = pim_os->map_at(part_of(t, chunk), part_bytes(t));
        if (err != 0) {
            while (t-- > 0) {
                pim_os->unmap(part_of(t, chunk), part_bytes(t));
            }
            return err;
        }
    }
    publish_chunk(chunk);
    return 0;
}

pim_arena *
pim_region_after(const pim_arena *before)
{
    if (before == NULL) {
        return pim_load_acquire(&chunks);
    }
    uintptr_t number = pim_arena_number(before);
    uintptr_t chunk = chunk_of(number);
    return chunk_of(number + 1) == chunk
               ? pim_arena_at(number + 1)
               : pim_arena_at(chunk << chunk_log2)->next_chunk;
}

// --- places ------------------------------------------------------------------

static size_t
table_bytes(unsigned t, size_t span)
{
    return pim_align_up((span >> PIM_ARENA_SHIFT) * tables[t].entry, GIB);
}

static size_t
tables_bytes(size_t span)
{
    return table_bytes(ARENAS, span) + table_bytes(PAGES, span) +
           table_bytes(ORPHANS, span);
}

// Where the system maps now: chosen at random by itself, so what follows from
// it is random, too, unless that is switched off.
static uintptr_t
place_of_maps(void)
{
    size_t bytes = pim_os_page_size();
    void *p = pim_os->map(bytes);
    if (p != NULL) {
        pim_os->unmap(p, bytes);
    }
    return (uintptr_t)p;
}

// One of many far places, each time another one.
static place
far_place(uintptr_t maps, unsigned nth)
{
    size_t span = (size_t)1 << ADDRESS_BITS;
    uint64_t random = pim_hash((uint64_t)(maps >> 12) + nth, 64);
    size_t whole = tables_bytes(span) + PIM_REGION_SIZE + 2 * GIB;
    uintptr_t begin = FAR_BEGIN + (random >> 40) %
                                      ((FAR_END - FAR_BEGIN - whole) / GIB) *
                                      GIB;
    uintptr_t shift = (random >> 20) % (GIB / PIM_ARENA_SIZE) * PIM_ARENA_SIZE;
    return (place){.span = span,
                   .tables = begin,
                   .stretch = begin + tables_bytes(span) + shift};
}

static place
near_place(uintptr_t maps)
{
    uintptr_t below = maps / 2 < NEAR_BELOW ? maps / 2 : NEAR_BELOW;
    uintptr_t origin = pim_align_down(maps - below, GIB);
    size_t span = 2 * (maps - origin);
    size_t most = ((size_t)1 << ADDRESS_BITS) - origin;
    span = span < most ? span : most;
    return (place){.origin = origin,
                   .span = span,
                   .tables = origin,
                   .stretch = origin + tables_bytes(span)};
}

static void
set_place(const place *p)
{
    uintptr_t at = p->tables;
    here = *p;
    for (unsigned t = 0; t < TABLES; t++) {
        *tables[t].at = at - (p->origin >> PIM_ARENA_SHIFT) * tables[t].entry;
        at += table_bytes(t, p->span);
    }
    pim_region.base = (char *)p->stretch;
    pim_region.main_pages = pim_unit_of(pim_region.base);
}

void
pim_space_fini(void)
{
    for (pim_arena *a = NULL; (a = pim_region_after(a)) != NULL;) {
        if (pim_load_relaxed(&a->mapped)) {
            pim_os->unmap(pim_arena_start(a), PIM_ARENA_SIZE);
        }
    }
    pim_arena *next;
    for (pim_arena *a = pim_load_relaxed(&chunks); a != NULL; a = next) {
        uintptr_t chunk = chunk_of(pim_arena_number(a));
        next = a->next_chunk;
        for (unsigned t = TABLES; t-- > 0;) {
            pim_os->unmap(part_of(t, chunk), part_bytes(t));
        }
        pim_store_relaxed(&chunk_is_mapped[chunk / 64], 0);
    }
    pim_store_relaxed(&chunks, NULL);
    pim_store_relaxed(&chunk_count, 0);
    pim_store_relaxed(&mapped_count, 0);
    pim_region = (pim_region_info){0};
    last_elsewhere = 0;
}

size_t
pim_region_bytes(void)
{
    size_t chunk = part_bytes(ARENAS) + part_bytes(PAGES) + part_bytes(ORPHANS);
    return pim_load_relaxed(&mapped_count) * PIM_ARENA_SIZE +
           pim_load_relaxed(&chunk_count) * chunk;
}

// --- arenas ------------------------------------------------------------------

static pim_arena *
mapped(uintptr_t start)
{
    pim_arena *arena = pim_arena_at(start >> PIM_ARENA_SHIFT);
    pim_store_release(&arena->mapped, true);
    pim_add_relaxed(&mapped_count, 1);
    return arena;
}

bool
pim_region_elsewhere_contains(const void *p)
{
    uintptr_t offset = (uintptr_t)p - here.origin;
    if (pim_load_relaxed(&pim_region.elsewhere) == 0 || offset >= here.span ||
        !is_mapped(chunk_of((uintptr_t)p >> PIM_ARENA_SHIFT))) {
        return false;
    }
    return pim_load_acquire(&pim_arena_holding(p)->mapped);
}

// The next arena of the main stretch that nobody else is in the way of.  *err:
// what came of it; -EEXIST: the stretch has ended.
static pim_arena *
grow_stretch(int *err)
{
    *err = -EEXIST;
    for (unsigned taken = 0; taken < TAKEN_MAX; taken++) {
        size_t size = pim_load_relaxed(&pim_region.size);
        uintptr_t start = (uintptr_t)pim_region.base + size;
        if (size >= limit) {
            return NULL;
        }
        *err = map_chunk(chunk_of(start >> PIM_ARENA_SHIFT));
        if (*err != 0) {
            break;
        }
        *err = pim_os->map_at((void *)start, PIM_ARENA_SIZE);
        if (*err == 0 || *err == -EEXIST) {
            pim_store_release(&pim_region.size, size + PIM_ARENA_SIZE);
        }
        if (*err != -EEXIST) {
            return *err == 0 ? mapped(start) : NULL;
        }
    }
    if (*err == -EEXIST) {
        limit = 0;
    }
    return NULL;
}

// Below the last one if that is free, so that they share a chunk.
static uintptr_t
map_elsewhere(void)
{
    uintptr_t below = last_elsewhere - PIM_ARENA_SIZE;
    if (last_elsewhere != 0 &&
        pim_os->map_at((void *)below, PIM_ARENA_SIZE) == 0) {
        return below;
    }
    return (uintptr_t)pim_os->map_aligned(PIM_ARENA_SIZE, PIM_ARENA_SIZE);
}

static pim_arena *
open_elsewhere(void)
{
    uintptr_t start = map_elsewhere();
    if (start == 0) {
        return NULL;
    }
    if (start - here.origin >= here.span ||
        map_chunk(chunk_of(start >> PIM_ARENA_SHIFT)) != 0) {
        pim_os->unmap((void *)start, PIM_ARENA_SIZE);
        return NULL;
    }
    last_elsewhere = start;
    pim_add_relaxed(&pim_region.elsewhere, 1);
    return mapped(start);
}

pim_arena *
pim_space_init(size_t bytes)
{
    pim_arena *first = NULL;
    uintptr_t maps = place_of_maps();
    chunk_log2 = CHUNK_LOG2_MIN;
    while ((sizeof(pim_arena) << chunk_log2) % pim_os_page_size() != 0) {
        chunk_log2++;
    }
    for (unsigned nth = 0; maps != 0 && first == NULL && nth <= FAR_TRIES;
         nth++) {
        place p = nth != FAR_TRIES ? far_place(maps, nth) : near_place(maps);
        int ignored;
        set_place(&p);
        limit = bytes;
        first = grow_stretch(&ignored);
        if (first == NULL) {
            pim_space_fini();
        }
    }
    return first;
}

pim_arena *
pim_space_open(void)
{
    int err;
    pim_arena *arena = grow_stretch(&err);
    return arena != NULL || err != -EEXIST ? arena : open_elsewhere();
}

int
pim_space_map(pim_arena *arena)
{
    char *start = pim_arena_start(arena);
    int err = pim_os->map_at(start, PIM_ARENA_SIZE);
    if (err == 0) {
        mapped((uintptr_t)start);
    }
    return err;
}

// Drops an arena's part of a table if it is whole system pages.  It is all zero
// already where it matters.
static void
drop_entries(void *first, size_t bytes)
{
    if (bytes % pim_os_page_size() == 0) {
        pim_os->reset(first, bytes);
    }
}

bool
pim_space_unmap(pim_arena *arena)
{
    pim_page *first = pim_arena_pages(arena);
    bool stays = pim_region_main_contains(pim_arena_start(arena));
    drop_entries(first, tables[PAGES].entry);
    drop_entries(pim_page_orphans(first), tables[ORPHANS].entry);
    if (!stays) {
        // Before anybody else can get these addresses.
        pim_store_release(&arena->mapped, false);
        pim_sub_relaxed(&pim_region.elsewhere, 1);
    }
    if (pim_os->unmap(pim_arena_start(arena), PIM_ARENA_SIZE) != 0) {
        pim_store_release(&arena->mapped, true);
        pim_add_relaxed(&pim_region.elsewhere, !stays);
        return true;
    }
    pim_sub_relaxed(&mapped_count, 1);
    if (stays) {
        pim_store_release(&arena->mapped, false);
    }
    return stays;
}

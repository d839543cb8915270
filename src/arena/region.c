// region.c -- the reserved region: arenas handed out and taken back.
//
//   base                                            base + size
//     | arena | arena | arena | never handed out ...  |
//                             ^ fresh
//
// Arenas given back lie on one of two stacks and are handed out first, so the
// part of the region in use stays small: the warm ones, up to PIM_WARM_BYTES,
// keep their memory; the cold ones do not.  The two tables, one descriptor per unit and one
// per arena, are reservations of their own; their parts are committed with the
// arena they describe.
//
// region_lock guards everything here but pim_region itself, which is constant
// after pim_region_init().
//
// Invariants:
//   REG-1  an arena on the cold stack is decommitted and its descriptors are
//          zero; one on the warm stack is committed and its descriptors unused.
//   REG-2  an arena below `fresh` has committed descriptors, so pim_page_of()
//          may look at any address handed out once.

#include <errno.h>
#include <string.h>

#include "arena/arena.h"
#include "platform/lock.h"
#include "platform/os.h"

pim_region_info pim_region;
_Atomic uint64_t pim_region_warm_until;

static pim_lock region_lock = PIM_LOCK_INIT;
static pim_arena *cold_arenas; // stacks, linked by next_free
static pim_arena *warm_arenas;
static size_t warm_bytes;    // memory that the warm ones may hold
static size_t kept_bytes;    // the same of arenas that are not ours; see keep()
static _Atomic size_t fresh; // arenas handed out at least once; read without it
static size_t pages_bytes;   // of the tables
static size_t leftovers_bytes;
static size_t arenas_bytes;

// Of a unit's part of the sets of leftovers.
#define SET_BYTES (PIM_SET_WORDS * sizeof(pim_block_set))

static size_t
table_bytes(size_t entries, size_t entry_size)
{
    return pim_align_up(entries * entry_size, pim_os_page_size());
}

static int
reserve_all(size_t bytes)
{
    size_t page_size = pim_os_page_size();
    size_t units = bytes >> PIM_UNIT_SHIFT;
    size_t arenas = bytes >> PIM_ARENA_SHIFT;
    pages_bytes = table_bytes(units, sizeof(pim_page));
    leftovers_bytes = table_bytes(units, SET_BYTES);
    arenas_bytes = table_bytes(arenas, sizeof(pim_arena));

    pim_region_info r = {.size = bytes};
    r.base = pim_os->reserve(bytes, PIM_ARENA_SIZE);
    if (r.base == NULL) {
        return -ENOMEM;
    }
    r.pages = pim_os->reserve(pages_bytes, page_size);
    if (r.pages == NULL) {
        goto fail_pages;
    }
    r.leftovers = pim_os->reserve(leftovers_bytes, page_size);
    if (r.leftovers == NULL) {
        goto fail_leftovers;
    }
    r.arenas = pim_os->reserve(arenas_bytes, page_size);
    if (r.arenas == NULL) {
        goto fail_arenas;
    }
    pim_region = r;
    return 0;

fail_arenas:
    pim_os->unmap(r.leftovers, leftovers_bytes);
fail_leftovers:
    pim_os->unmap(r.pages, pages_bytes);
fail_pages:
    pim_os->unmap(r.base, bytes);
    return -ENOMEM;
}

int
pim_region_init(size_t bytes)
{
    if (pim_region.base != NULL) {
        return 0;
    }
    // Where address space is limited, most of it is left to the others.
    size_t share = pim_os_address_limit() / PIM_REGION_SHARE;
    if (bytes > share) {
        bytes = share;
    }
    if (bytes < PIM_REGION_MIN) {
        bytes = PIM_REGION_MIN;
    }
    size_t size = (size_t)1 << pim_log2_floor(bytes);
    for (; size >= PIM_REGION_MIN; size /= 2) {
        if (reserve_all(size) == 0) {
            return 0;
        }
    }
    return -ENOMEM;
}

void
pim_region_fini(void)
{
    if (pim_region.base == NULL) {
        return;
    }
    pim_os->unmap(pim_region.arenas, arenas_bytes);
    pim_os->unmap(pim_region.leftovers, leftovers_bytes);
    pim_os->unmap(pim_region.pages, pages_bytes);
    pim_os->unmap(pim_region.base, pim_region.size);
    pim_region = (pim_region_info){0};
    cold_arenas = NULL;
    warm_arenas = NULL;
    warm_bytes = 0;
    pim_store_relaxed(&fresh, 0);
}

// Commits the system pages that hold entries [first, first + n) of a table.
static int
commit_entries(void *table, size_t entry_size, size_t first, size_t n)
{
    size_t page_size = pim_os_page_size();
    size_t from = pim_align_down(first * entry_size, page_size);
    size_t to = pim_align_up((first + n) * entry_size, page_size);
    return pim_os->commit((char *)table + from, to - from);
}

// The next arena that was never handed out, with its descriptors committed.
static pim_arena *
take_fresh(void)
{
    size_t next = pim_load_relaxed(&fresh);
    if (next == pim_region.size >> PIM_ARENA_SHIFT) {
        return NULL;
    }
    if (commit_entries(pim_region.arenas, sizeof(pim_arena), next, 1) != 0 ||
        commit_entries(pim_region.pages, sizeof(pim_page),
                       next * PIM_ARENA_UNITS, PIM_ARENA_UNITS) != 0 ||
        commit_entries(pim_region.leftovers, SET_BYTES, next * PIM_ARENA_UNITS,
                       PIM_ARENA_UNITS) != 0) {
        return NULL;
    }
    pim_store_release(&fresh, next + 1);
    return &pim_region.arenas[next];
}

static size_t
dirty_bytes(const pim_arena *arena)
{
    return pim_unit_set_count(&arena->dirty) * PIM_UNIT_SIZE;
}

static pim_arena *
pop(pim_arena **stack)
{
    pim_arena *arena = *stack;
    if (arena != NULL) {
        *stack = arena->next_free;
    }
    return arena;
}

static void
push(pim_arena **stack, pim_arena *arena)
{
    arena->next_free = *stack;
    *stack = arena;
}

// A committed arena with all units free; its `dirty` says which are warm.
static pim_arena *
take_any(void)
{
    pim_arena *arena = pop(&warm_arenas);
    if (arena != NULL) {
        warm_bytes -= dirty_bytes(arena);
        return arena;
    }
    arena = pop(&cold_arenas);
    if (arena == NULL) {
        arena = take_fresh();
    }
    if (arena == NULL) {
        return NULL;
    }
    arena->dirty = (pim_unit_set){0};
    if (pim_os->commit(pim_arena_start(arena), PIM_ARENA_SIZE) != 0) {
        push(&cold_arenas, arena);
        return NULL;
    }
    return arena;
}

pim_arena *
pim_region_take(struct pim_heap *heap, const char *name)
{
    pim_lock_acquire(&region_lock);
    pim_arena *arena = take_any();
    pim_lock_release(&region_lock);
    if (arena != NULL) {
        pim_unit_set dirty = arena->dirty;
        memset(arena, 0, sizeof(*arena));
        memset(&arena->free, 0xff, sizeof(arena->free));
        arena->dirty = dirty;
        pim_store_relaxed(&arena->heap, heap);
        pim_os->name(pim_arena_start(arena), PIM_ARENA_SIZE, name);
    }
    return arena;
}

bool
pim_region_is_open(const void *p)
{
    size_t arena =
        (size_t)((const char *)p - pim_region.base) >> PIM_ARENA_SHIFT;
    return arena < pim_region_opened();
}

size_t
pim_region_opened(void)
{
    return pim_load_acquire(&fresh);
}

// Drops an arena's part of a table if it fills whole system pages.
static void
drop_entries(void *table, size_t entry_size, const pim_arena *arena)
{
    size_t bytes = PIM_ARENA_UNITS * entry_size;
    if (bytes % pim_os_page_size() == 0) {
        size_t index = (size_t)(arena - pim_region.arenas);
        pim_os->reset((char *)table + index * bytes, bytes);
    }
}

static void
cool(pim_arena *arena)
{
    char *start = pim_arena_start(arena);
    if (pim_os->decommit(start, PIM_ARENA_SIZE) != 0) {
        // No map to spare (vm.max_map_count): the memory still goes.
        pim_arena_reset(start, PIM_ARENA_SIZE);
    }
    // All unused, which is all zero where it matters.
    drop_entries(pim_region.pages, sizeof(pim_page), arena);
    drop_entries(pim_region.leftovers, SET_BYTES, arena);
}

// Under the lock.
static bool
fits_warm(size_t bytes)
{
    return warm_bytes + kept_bytes + bytes <= PIM_WARM_BYTES;
}

bool
pim_region_keep(size_t bytes)
{
    pim_lock_acquire(&region_lock);
    bool fits = fits_warm(bytes);
    kept_bytes += fits ? bytes : 0;
    pim_lock_release(&region_lock);
    return fits;
}

void
pim_region_unkeep(size_t bytes)
{
    pim_lock_acquire(&region_lock);
    PIM_ASSERT(bytes <= kept_bytes);
    kept_bytes -= bytes;
    pim_lock_release(&region_lock);
}

void
pim_region_give(pim_arena *arena)
{
    PIM_ASSERT(pim_arena_is_empty(arena));
    pim_store_relaxed(&arena->heap, NULL);
    size_t bytes = dirty_bytes(arena);
    pim_lock_acquire(&region_lock);
    // The advice to use huge pages goes with the memory only.
    bool warm = bytes != 0 && !arena->dense && fits_warm(bytes);
    if (warm) {
        warm_bytes += bytes;
        push(&warm_arenas, arena);
        pim_store_relaxed(&pim_region_warm_until,
                          pim_os->now_ms() + PIM_PURGE_DELAY_MS);
    }
    pim_lock_release(&region_lock);
    if (!warm) {
        cool(arena);
        pim_lock_acquire(&region_lock);
        push(&cold_arenas, arena);
        pim_lock_release(&region_lock);
    }
}

size_t
pim_region_trim(void)
{
    pim_lock_acquire(&region_lock);
    size_t bytes = warm_bytes;
    pim_arena *arena;
    while ((arena = pop(&warm_arenas)) != NULL) {
        cool(arena);
        push(&cold_arenas, arena);
    }
    warm_bytes = 0;
    pim_store_relaxed(&pim_region_warm_until, 0);
    pim_lock_release(&region_lock);
    return bytes;
}

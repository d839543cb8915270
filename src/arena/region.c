// region.c -- arenas handed out and taken back.
//
// Arenas given back lie on one of two stacks and are handed out first, so that
// the addresses in use stay close together: the retained ones, up to
// PIM_RETAINED_BYTES, keep their memory; the cold ones have none, and no map.
//
// region_lock guards everything here and in space.c.
//
// Invariants:
//   REG-1  an arena on the cold stack has no memory, and no map unless the
//          system refused to take it; its descriptors are zero.  One on the
//          retained stack is mapped and its descriptors unused.

#include "arena/region.h"

#include <errno.h>
#include <string.h>

#include "platform/lock.h"
#include "platform/os.h"
#include "platform/scarcity.h"

_Atomic uint64_t pim_region_retained_until;

static PIM_LOCK(region_lock);
static pim_arena *cold_arenas; // stacks, linked by next_free
static pim_arena *retained_arenas;
static size_t retained_bytes; // memory that the retained ones may hold
static size_t kept_bytes; // the same of arenas that are not ours; see keep()

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

// A cold arena that is mapped again; NULL: there is none, or *refused: no
// memory.
static pim_arena *
take_cold(bool *refused)
{
    pim_arena *arena;
    while ((arena = pop(&cold_arenas)) != NULL) {
        if (pim_load_relaxed(&arena->mapped)) {
            return arena;
        }
        int err = pim_space_map(arena);
        if (err == 0) {
            return arena;
        }
        if (err != -EEXIST) {
            push(&cold_arenas, arena);
            *refused = true;
            return NULL;
        }
    }
    return NULL;
}

// A mapped arena with all units free; its `dirty` says which are retained.
static pim_arena *
take_any(void)
{
    bool refused = false;
    pim_arena *arena = pop(&retained_arenas);
    if (arena != NULL) {
        retained_bytes -= dirty_bytes(arena);
        return arena;
    }
    arena = take_cold(&refused);
    if (arena == NULL && !refused) {
        arena = pim_space_open();
    }
    if (arena != NULL) {
        arena->dirty = (pim_unit_set){{0}};
    }
    return arena;
}

int
pim_region_init(size_t bytes)
{
    if (pim_region.base != NULL) {
        return 0;
    }
    size_t most = pim_align_down(bytes, PIM_ARENA_SIZE);
    pim_arena *first = pim_space_init(most != 0 ? most : PIM_ARENA_SIZE);
    if (first == NULL) {
        return -ENOMEM;
    }
    push(&cold_arenas, first);
    return 0;
}

void
pim_region_fini(void)
{
    if (pim_region.base != NULL) {
        pim_space_fini();
        cold_arenas = NULL;
        retained_arenas = NULL;
        retained_bytes = 0;
    }
}

pim_arena *
pim_region_take(const char *name)
{
    pim_lock_acquire(&region_lock);
    pim_arena *arena = take_any();
    pim_lock_release(&region_lock);
    if (arena != NULL) {
        pim_unit_set dirty = arena->dirty;
        memset(arena, 0, offsetof(pim_arena, mapped));
        memset(&arena->free, 0xff, sizeof(arena->free));
        arena->dirty = dirty;
        pim_os->name(pim_arena_start(arena), PIM_ARENA_SIZE, name);
    }
    return arena;
}

// Under the lock.
static bool
fits_retained(size_t bytes)
{
    return retained_bytes + kept_bytes + bytes <= PIM_RETAINED_BYTES;
}

bool
pim_region_charge(size_t bytes)
{
    pim_lock_acquire(&region_lock);
    bool fits = fits_retained(bytes);
    kept_bytes += fits ? bytes : 0;
    pim_lock_release(&region_lock);
    return fits;
}

void
pim_region_uncharge(size_t bytes)
{
    pim_lock_acquire(&region_lock);
    PIM_ASSERT(bytes <= kept_bytes);
    kept_bytes -= bytes;
    pim_lock_release(&region_lock);
}

void
pim_region_uncharge_arena(pim_arena *arena)
{
    if (arena->retained_bytes != 0) {
        pim_region_uncharge(arena->retained_bytes);
        arena->retained_bytes = 0;
    }
}

void
pim_region_give(pim_arena *arena)
{
    PIM_ASSERT(pim_arena_is_empty(arena));
    pim_store_relaxed(&arena->set, NULL);
    size_t bytes = dirty_bytes(arena);
    pim_lock_acquire(&region_lock);
    // The advice to use huge pages goes with the memory only.
    bool stays =
        bytes != 0 && !arena->dense && fits_retained(bytes) && !pim_is_tight();
    if (stays) {
        retained_bytes += bytes;
        push(&retained_arenas, arena);
        pim_store_relaxed(&pim_region_retained_until,
                          pim_os->now_ms() + PIM_PURGE_DELAY_MS);
    }
    pim_lock_release(&region_lock);
    if (!stays && pim_space_unmap(arena)) {
        pim_lock_acquire(&region_lock);
        push(&cold_arenas, arena);
        pim_lock_release(&region_lock);
    }
}

size_t
pim_region_trim(void)
{
    pim_lock_acquire(&region_lock);
    size_t bytes = retained_bytes;
    pim_arena *arena;
    while ((arena = pop(&retained_arenas)) != NULL) {
        if (pim_space_unmap(arena)) {
            push(&cold_arenas, arena);
        }
    }
    retained_bytes = 0;
    pim_store_relaxed(&pim_region_retained_until, 0);
    pim_lock_release(&region_lock);
    return bytes;
}

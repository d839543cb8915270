// extent.c -- the maps of large blocks, and what is kept of them for the next
// ones.
//
// What is kept of a freed block is a *cached extent* (extent_cache.h).  One
// behind a growing block is its room, and others take from its end, or its
// second half, if they can.  Freed, a block's map and the cached extents at
// both its sides become one again.
//
// Cached extents count in the figures of the heap that had them last.  Together
// they hold no more than PIM_EXTENTS_IDLE of memory, and not for long: a tick
// every PIM_PURGE_DELAY_MS gives back what no block used since the last one
// (`recent`), and what is about to be faulted in elsewhere drives as much of it
// out: a fresh map, the clean part of one, an arena that a heap gets, and a
// block of mimalloc's from PIM_EXTENT_KEPT_MIN on (mi_blocks.h).
//
// One lock guards the cached extents.  Maps of live blocks are their owners'.

#include "extent/extent.h"

#include "base/bits.h"
#include "base/check.h"
#include "platform/gate.h"
#include "platform/huge_page.h"
#include "platform/lock.h"
#include "platform/os.h"
#include "platform/scarcity.h"

// What is to be unmapped once the lock is free.
typedef struct gone {
    pim_extent maps[PIM_CACHED_EXTENTS + 2];
    unsigned count;
} gone;

_Atomic uint64_t pim_extent_until;

static PIM_LOCK(extent_lock);
static _Atomic uint64_t last_origin;

static size_t
idle(void)
{
    return pim_load_relaxed(&pim_extent_cache_idle);
}

// --- giving back -----------------------------------------------------------

static void
let_go(gone *maps, const pim_extent *map)
{
    maps->maps[maps->count++] = *map;
}

// Gives back what is beyond an offset in a cached extent.
static void
drop(pim_cached_extent *p, size_t from, gone *maps)
{
    pim_extent end = pim_extent_cache_cut_end(p, from);
    let_go(maps, &end);
}

static void
unlock_and_unmap(const gone *maps)
{
    pim_lock_release(&extent_lock);
    for (unsigned i = 0; i < maps->count; i++) {
        pim_os->unmap(maps->maps[i].start, maps->maps[i].bytes);
    }
}

// What the system gives and takes whole in a cached extent; it would have to
// break huge pages up.
static size_t
granule(const pim_cached_extent *p)
{
    return p->map.huge ? PIM_ARENA_SIZE : pim_os_page_size();
}

// The last place in a cached extent at an offset or before it where it may be
// cut.
static size_t
cut_before(const pim_cached_extent *p, size_t offset)
{
    size_t over = ((uintptr_t)p->map.start + offset) % granule(p);
    return offset > over ? offset - over : 0;
}

// Gives back at least so much, if there is.
static void
evict(size_t bytes, gone *maps)
{
    pim_cached_extent *p;
    while (bytes != 0 && (p = pim_extent_cache_stalest()) != NULL) {
        size_t dirty = p->map.dirty;
        size_t keep = dirty > bytes ? cut_before(p, dirty - bytes) : 0;
        drop(p, keep < PIM_EXTENT_KEPT_MIN ? 0 : keep, maps);
        bytes -= dirty < bytes ? dirty : bytes;
    }
}

size_t
pim_extent_trim(bool all)
{
    gone maps;
    maps.count = 0;
    pim_lock_acquire(&extent_lock);
    size_t before = idle();
    uint64_t now = pim_os->now_ms();
    if (all || now >= pim_load_relaxed(&pim_extent_until)) {
        for (pim_cached_extent *p = NULL;
             (p = pim_extent_cache_after(p)) != NULL;) {
            size_t keep = all || p->recent == 0
                              ? 0
                              : cut_before(p, p->recent + granule(p) - 1);
            p->recent = 0;
            if (keep < p->map.dirty) {
                drop(p, keep, &maps);
            }
        }
        pim_store_relaxed(&pim_extent_until,
                          idle() != 0 ? now + PIM_PURGE_DELAY_MS : 0);
    }
    size_t bytes = before - idle();
    unlock_and_unmap(&maps);
    return bytes;
}

// Whoever comes here drives the clock, too: nothing else may be allocated.
static void
tick(void)
{
    uint64_t until = pim_load_relaxed(&pim_extent_until);
    if (until != 0 && pim_os->now_ms() >= until) {
        pim_scarcity_look();
        pim_extent_trim(pim_is_tight());
    }
}

void
pim_extent_drop(const _Atomic uint64_t *figure)
{
    gone maps;
    maps.count = 0;
    pim_lock_acquire(&extent_lock);
    for (pim_cached_extent *p = NULL;
         (p = pim_extent_cache_after(p)) != NULL;) {
        if (p->figure == figure) {
            drop(p, 0, &maps);
        }
    }
    unlock_and_unmap(&maps);
}

void
pim_extent_make_way(size_t bytes)
{
    if (idle() == 0) {
        return;
    }
    gone maps;
    maps.count = 0;
    pim_lock_acquire(&extent_lock);
    evict(bytes, &maps);
    unlock_and_unmap(&maps);
}

// --- keeping ---------------------------------------------------------------

// Joins the cached extents at both its sides to a map; what is clean in between
// counts as dirty from now on.  Returns how much of it was used lately, and how
// large the block is that grows into it.
static size_t
join(pim_extent *map, size_t *front)
{
    size_t recent = map->dirty;
    pim_cached_extent *p =
        pim_extent_cache_at(map->start + map->bytes, map->origin);
    if (p != NULL) {
        recent = p->recent != 0 ? map->bytes + p->recent : recent;
        map->dirty = map->bytes + p->map.dirty;
        map->bytes += p->map.bytes;
        pim_extent_cache_forget(p);
    }
    p = pim_extent_cache_up_to(map->start, map->origin);
    if (p != NULL) {
        recent += p->map.bytes;
        map->start -= p->map.bytes;
        map->dirty += p->map.bytes;
        map->bytes += p->map.bytes;
        *front = p->front;
        pim_extent_cache_forget(p);
    }
    return recent;
}

// Keeps a map as a cached extent, or the beginning of one that is too large;
// others make room for it.
static void
keep(_Atomic uint64_t *figure, pim_extent *map, size_t front)
{
    gone maps;
    maps.count = 0;
    pim_lock_acquire(&extent_lock);
    size_t recent = join(map, &front);
    if (map->dirty < PIM_EXTENT_KEPT_MIN || pim_is_tight()) {
        let_go(&maps, map);
        unlock_and_unmap(&maps);
        return;
    }
    size_t all = idle() + map->dirty;
    evict(all > PIM_EXTENTS_IDLE ? all - PIM_EXTENTS_IDLE : 0, &maps);
    if (pim_extent_cache_is_full()) {
        drop(pim_extent_cache_stalest(), 0, &maps);
    }
    pim_cached_extent *p = pim_extent_cache_add(figure, map, recent);
    p->front = front;
    if (pim_load_relaxed(&pim_extent_until) == 0) {
        pim_store_relaxed(&pim_extent_until,
                          pim_os->now_ms() + PIM_PURGE_DELAY_MS);
    }
    if (map->dirty > PIM_EXTENTS_IDLE) {
        drop(p, PIM_EXTENTS_IDLE, &maps);
    }
    unlock_and_unmap(&maps);
}

void
pim_extent_give(_Atomic uint64_t *figure, pim_extent *map)
{
    keep(figure, map, 0);
    tick();
}

// --- taking ----------------------------------------------------------------

static bool
take_kept(_Atomic uint64_t *figure, size_t bytes, pim_extent_kind kind,
          pim_extent *map)
{
    if (idle() == 0) {
        return false;
    }
    pim_lock_acquire(&extent_lock);
    bool grows = kind == PIM_EXTENT_GROWING || kind == PIM_EXTENT_KEPT;
    pim_cached_extent *p =
        grows ? pim_extent_cache_for_growing(bytes, kind == PIM_EXTENT_GROWING)
              : pim_extent_cache_for_fixed(bytes);
    if (p != NULL && !grows) {
        *map = p->front != 0 ? pim_extent_cache_cut_end(p, p->map.dirty - bytes)
               : p->map.dirty <= bytes + bytes / 8
                   ? pim_extent_cache_cut_end(p, 0)
                   : pim_extent_cache_cut_front(p, bytes);
    } else if (p != NULL) {
        pim_extent_cache_assign(p, figure);
        p->front = bytes;
        *map = pim_extent_cache_cut_front(p, bytes);
    }
    pim_lock_release(&extent_lock);
    if (p != NULL && map->dirty < bytes) {
        pim_extent_make_way(bytes - map->dirty);
    }
    return p != NULL;
}

// Room for as much again, up to PIM_EXTENT_ROOM.  A whole number of huge pages
// begins at one.
static size_t
with_room(size_t bytes)
{
    size_t most = pim_is_tight() ? PIM_EXTENT_ROOM / 16 : PIM_EXTENT_ROOM;
    size_t all = bytes + (bytes < most ? bytes : most);
    return pim_align_up(all, all < PIM_ARENA_SIZE ? pim_os_page_size()
                                                  : PIM_ARENA_SIZE);
}

static void
advise(pim_extent *map, bool deserves_huge)
{
    bool huge = deserves_huge && pim_huge_page_suits();
    if (huge) {
        pim_os->advise_huge(map->start, map->bytes);
    } else if (map->huge) {
        pim_os->advise_small(map->start, map->bytes);
    }
    map->huge = huge;
}

static bool
take_new(size_t bytes, pim_extent_kind kind, pim_extent *map)
{
    size_t room = kind >= PIM_EXTENT_GROWING ? with_room(bytes) : bytes;
    pim_extent_make_way(bytes);
    *map = (pim_extent){.start = pim_os->map(room), .bytes = room};
    if (map->start == NULL) {
        pim_extent_trim(true); // cached extents take address space, too
        *map = (pim_extent){.start = pim_os->map(bytes), .bytes = bytes};
    }
    if (map->start == NULL) {
        return false;
    }
    pim_scarcity_grew(map->bytes);
    map->origin = pim_add_relaxed(&last_origin, 1) + 1;
    advise(map,
           kind != PIM_EXTENT_SPARSE &&
               bytes >= (kind == PIM_EXTENT_FIXED ? PIM_EXTENT_HUGE_BORN
                                                  : PIM_EXTENT_HUGE_GROWN));
    return true;
}

bool
pim_extent_take(_Atomic uint64_t *figure, size_t bytes, pim_extent_kind kind,
                pim_extent *map)
{
    bool done = take_kept(figure, bytes, kind, map) ||
                (kind != PIM_EXTENT_KEPT && take_new(bytes, kind, map));
    tick();
    return done;
}

// --- resizing --------------------------------------------------------------

// Takes as much of the cached extent behind a map as is needed.
static bool
extend(_Atomic uint64_t *figure, pim_extent *map, size_t bytes)
{
    size_t more = bytes - map->bytes;
    if (idle() == 0) {
        return false;
    }
    pim_lock_acquire(&extent_lock);
    pim_cached_extent *p =
        pim_extent_cache_at(map->start + map->bytes, map->origin);
    bool fits = p != NULL && p->map.bytes >= more;
    size_t dirty = 0;
    if (fits) {
        pim_extent_cache_assign(p, figure);
        p->front = bytes;
        pim_extent front = pim_extent_cache_cut_front(p, more);
        map->bytes += front.bytes;
        dirty = front.dirty;
    }
    pim_lock_release(&extent_lock);
    if (fits && dirty < more) {
        pim_extent_make_way(more - dirty);
    }
    return fits;
}

// Whether there is a cached extent that the block should rather be copied to
// than be given fresh memory.
static bool
is_better_copied(size_t bytes)
{
    if (idle() < bytes + bytes / 2) {
        return false;
    }
    pim_lock_acquire(&extent_lock);
    bool found = false;
    for (pim_cached_extent *p = NULL;
         (p = pim_extent_cache_after(p)) != NULL;) {
        found |= p->front <= bytes / 2 && p->map.dirty >= bytes + bytes / 2;
    }
    pim_lock_release(&extent_lock);
    return found;
}

static bool
remap(pim_extent *map, size_t bytes)
{
    char *moved = pim_os->remap(map->start, map->bytes, bytes);
    if (moved != NULL) {
        map->start = moved;
        map->bytes = bytes;
    }
    return moved != NULL;
}

static bool
enlarge(pim_extent *map, size_t bytes)
{
    size_t room = with_room(bytes);
    pim_scarcity_grew(room - map->bytes);
    pim_extent_make_way(bytes - map->dirty);
    if (!remap(map, room)) {
        pim_extent_trim(true);
        if (!remap(map, bytes)) {
            return false;
        }
    }
    map->origin = pim_add_relaxed(&last_origin, 1) + 1;
    advise(map, bytes >= PIM_EXTENT_HUGE_GROWN);
    return true;
}

bool
pim_extent_resize(_Atomic uint64_t *figure, pim_extent *map, size_t bytes)
{
    if (bytes < map->dirty) {
        pim_extent rest = *map;
        rest.start += bytes;
        rest.bytes -= bytes;
        rest.dirty -= bytes;
        keep(figure, &rest, bytes);
        map->bytes = bytes;
    } else if (bytes <= map->bytes) {
        pim_extent_make_way(bytes - map->dirty);
    } else if (!extend(figure, map, bytes) &&
               (is_better_copied(bytes) || !enlarge(map, bytes))) {
        return false;
    }
    map->dirty = bytes;
    tick();
    return true;
}

// --- audit -----------------------------------------------------------------

void
pim_extent_audit(_Atomic uint64_t *figure)
{
    size_t all = 0;
    size_t of_heap = 0;
    pim_gate_enter();
    pim_lock_acquire(&extent_lock);
    for (pim_cached_extent *p = NULL;
         (p = pim_extent_cache_after(p)) != NULL;) {
        const pim_extent *map = &p->map;
        PIM_CHECK(map->dirty != 0 && p->recent <= map->dirty &&
                      map->dirty <= map->bytes,
                  "EXTENT-1: a cached extent is dirty beyond its end",
                  map->start);
        PIM_CHECK(pim_extent_cache_at(map->start + map->bytes, map->origin) ==
                      NULL,
                  "EXTENT-2: neighbours did not join", map->start);
        all += map->dirty;
        of_heap += p->figure == figure ? map->dirty : 0;
    }
    PIM_CHECK(all == idle() && all <= PIM_EXTENTS_IDLE,
              "what is idle was counted wrong", figure);
    PIM_CHECK(of_heap == pim_load_relaxed(figure),
              "a heap's idle maps were counted wrong", figure);
    pim_lock_release(&extent_lock);
    pim_gate_exit();
}

// maps.c -- the maps of large blocks, and what is kept of them for the next ones.
//
// To fault a page in costs as much as to write it ten times over, so the memory of
// a freed block is kept for a while as a *piece*, for the next block or as room for
// one that grows:
//
//   | live block | piece: dirty ............... | clean ......... |
//                ^ it grows to the right, step by step, as it needs
//
// A piece behind a growing block is its room, and others take from its end, or its
// second half, if they can.  Freed, a block's map and the pieces at both its sides
// become one piece again.
//
// Pieces count in the figures of the heap that had them last.  Together they hold
// no more than PIM_MAPS_IDLE of memory, and not for long: a tick every
// PIM_PURGE_DELAY_MS gives back what no block used since the last one (`recent`),
// and what is about to be faulted in elsewhere drives as much of it out: a fresh
// map, the clean part of one, an arena that a heap gets, and a block of mimalloc's
// from PIM_MAP_KEPT_MIN on (mi_blocks.h).
//
// One lock guards the pieces.  Maps of live blocks are their owners'.
//
// Invariants:
//   MAPS-1  recent <= dirty <= bytes and dirty != 0, in each piece.
//   MAPS-2  neighbours of one origin are one piece.  Parts of one origin are one
//           map for the system, or mremap() would not take them; so advice is
//           given for whole origins, and pieces of different ones do not join.

#include "heap/maps.h"

#include "platform/os.h"

#define PIECES 32

typedef struct piece {
    pim_map map;
    size_t recent;  // from the start; used by a block since the last tick
    uint64_t stamp; // higher: kept later
    pim_heap *heap; // in whose figures it is
    size_t front;   // of the block in front that grows into it; 0: none does
} piece;

// What is to be unmapped once the lock is free.
typedef struct gone {
    pim_map maps[PIECES + 2];
    unsigned count;
} gone;

_Atomic uint64_t pim_maps_until;

static pim_lock maps_lock = PIM_LOCK_INIT;
static piece pieces[PIECES];
static uint32_t taken; // which pieces there are
static uint64_t last_stamp;
static _Atomic size_t idle; // dirty bytes of all pieces
static _Atomic uint64_t last_origin;

_Static_assert(PIECES == 8 * sizeof(taken), "a bit for each");

// --- pieces ----------------------------------------------------------------

// The first at `from` or after it; NULL: there is none.
static piece *
next(const piece *from)
{
    uint64_t left = (uint64_t)taken >> (from - pieces);
    return left != 0 ? &pieces[from - pieces + pim_lowest_bit(left)] : NULL;
}

static void
set_dirty(piece *p, size_t dirty)
{
    pim_own_add(&idle, dirty - p->map.dirty);
    pim_own_add(&p->heap->idle_bytes, dirty - p->map.dirty); // under the lock
    p->map.dirty = dirty;
    p->recent = p->recent < dirty ? p->recent : dirty;
}

static void
forget(piece *p)
{
    set_dirty(p, 0);
    taken &= ~((uint32_t)1 << (p - pieces));
}

static void
assign(piece *p, pim_heap *heap)
{
    if (p->heap != heap) {
        pim_own_sub(&p->heap->idle_bytes, p->map.dirty);
        pim_own_add(&heap->idle_bytes, p->map.dirty);
        p->heap = heap;
    }
}

// There is a place for it.
static piece *
add(pim_heap *heap, const pim_map *map, size_t recent)
{
    piece *p = &pieces[pim_lowest_bit(~(uint64_t)taken)];
    taken |= (uint32_t)1 << (p - pieces);
    p->map.start = map->start;
    p->map.bytes = map->bytes;
    p->map.dirty = 0;
    p->map.origin = map->origin;
    p->map.huge = map->huge;
    p->stamp = ++last_stamp;
    p->heap = heap;
    p->front = 0;
    set_dirty(p, map->dirty);
    p->recent = recent;
    if (pim_load_relaxed(&pim_maps_until) == 0) {
        pim_store_relaxed(&pim_maps_until,
                          pim_os->now_ms() + PIM_PURGE_DELAY_MS);
    }
    return p;
}

// Cuts the end off a piece, from an offset within what is dirty.
static pim_map
cut_end(piece *p, size_t from)
{
    pim_map end = p->map;
    end.start += from;
    end.bytes -= from;
    end.dirty -= from;
    if (from == 0) {
        forget(p);
    } else {
        p->map.bytes = from;
        set_dirty(p, from);
    }
    return end;
}

// Cuts `bytes` off the beginning.  What is left, if it is clean, comes along.
static pim_map
cut_front(piece *p, size_t bytes)
{
    pim_map front = p->map;
    if (p->map.dirty <= bytes) {
        forget(p);
        return front;
    }
    size_t recent = p->recent > bytes ? p->recent - bytes : 0;
    set_dirty(p, p->map.dirty - bytes);
    p->recent = recent;
    p->map.start += bytes;
    p->map.bytes -= bytes;
    front.bytes = front.dirty = bytes;
    return front;
}

static piece *
find_at(const char *start, uint64_t origin)
{
    for (piece *p = next(pieces); p != NULL; p = next(p + 1)) {
        if (p->map.start == start && p->map.origin == origin) {
            return p;
        }
    }
    return NULL;
}

static piece *
find_up_to(const char *end, uint64_t origin)
{
    for (piece *p = next(pieces); p != NULL; p = next(p + 1)) {
        if (p->map.start + p->map.bytes == end && p->map.origin == origin) {
            return p;
        }
    }
    return NULL;
}

// --- giving back -----------------------------------------------------------

static void
let_go(gone *maps, const pim_map *map)
{
    maps->maps[maps->count++] = *map;
}

// Gives back what is beyond an offset in a piece.
static void
drop(piece *p, size_t from, gone *maps)
{
    pim_map end = cut_end(p, from);
    let_go(maps, &end);
}

static void
unlock_and_unmap(const gone *maps)
{
    pim_lock_release(&maps_lock);
    for (unsigned i = 0; i < maps->count; i++) {
        pim_os->unmap(maps->maps[i].start, maps->maps[i].bytes);
    }
}

// The piece that was not used for longest; NULL: there is none.
static piece *
stalest(void)
{
    piece *found = NULL;
    for (piece *p = next(pieces); p != NULL; p = next(p + 1)) {
        if (found == NULL || p->stamp < found->stamp) {
            found = p;
        }
    }
    return found;
}

// Gives back at least so much, if there is.
static void
evict(size_t bytes, gone *maps)
{
    while (bytes != 0 && taken != 0) {
        piece *p = stalest();
        size_t dirty = p->map.dirty;
        bool whole = dirty < bytes + PIM_MAP_KEPT_MIN;
        drop(p, whole ? 0 : dirty - bytes, maps);
        bytes -= dirty < bytes ? dirty : bytes;
    }
}

size_t
pim_maps_trim(bool all)
{
    gone maps;
    maps.count = 0;
    pim_lock_acquire(&maps_lock);
    size_t before = pim_load_relaxed(&idle);
    uint64_t now = pim_os->now_ms();
    if (all || now >= pim_load_relaxed(&pim_maps_until)) {
        for (piece *p = next(pieces); p != NULL; p = next(p + 1)) {
            size_t keep = all ? 0 : p->recent;
            p->recent = 0;
            if (keep < p->map.dirty) {
                drop(p, keep, &maps);
            }
        }
        pim_store_relaxed(&pim_maps_until,
                          taken != 0 ? now + PIM_PURGE_DELAY_MS : 0);
    }
    size_t bytes = before - pim_load_relaxed(&idle);
    unlock_and_unmap(&maps);
    return bytes;
}

void
pim_maps_drop(const pim_heap *heap)
{
    gone maps;
    maps.count = 0;
    pim_lock_acquire(&maps_lock);
    for (piece *p = next(pieces); p != NULL; p = next(p + 1)) {
        if (p->heap == heap) {
            drop(p, 0, &maps);
        }
    }
    unlock_and_unmap(&maps);
}

void
pim_maps_make_way(size_t bytes)
{
    if (pim_load_relaxed(&idle) == 0) {
        return;
    }
    gone maps;
    maps.count = 0;
    pim_lock_acquire(&maps_lock);
    evict(bytes, &maps);
    unlock_and_unmap(&maps);
}

// --- keeping ---------------------------------------------------------------

// Joins the pieces at both its sides to a map; what is clean in between counts as
// dirty from now on.  Returns how much of it was used lately, and how large the
// block is that grows into it.
static size_t
join(pim_map *map, size_t *front)
{
    size_t recent = map->dirty;
    piece *p = find_at(map->start + map->bytes, map->origin);
    if (p != NULL) {
        recent = p->recent != 0 ? map->bytes + p->recent : recent;
        map->dirty = map->bytes + p->map.dirty;
        map->bytes += p->map.bytes;
        forget(p);
    }
    p = find_up_to(map->start, map->origin);
    if (p != NULL) {
        recent += p->map.bytes;
        map->start -= p->map.bytes;
        map->dirty += p->map.bytes;
        map->bytes += p->map.bytes;
        *front = p->front;
        forget(p);
    }
    return recent;
}

// Keeps a map as a piece, or the beginning of one that is too large; others make
// room for it.
static void
keep(pim_heap *heap, pim_map *map, size_t front)
{
    gone maps;
    maps.count = 0;
    pim_lock_acquire(&maps_lock);
    size_t recent = join(map, &front);
    if (map->dirty < PIM_MAP_KEPT_MIN) {
        let_go(&maps, map);
        unlock_and_unmap(&maps);
        return;
    }
    size_t all = pim_load_relaxed(&idle) + map->dirty;
    evict(all > PIM_MAPS_IDLE ? all - PIM_MAPS_IDLE : 0, &maps);
    if (taken == UINT32_MAX) {
        drop(stalest(), 0, &maps);
    }
    piece *p = add(heap, map, recent);
    p->front = front;
    if (map->dirty > PIM_MAPS_IDLE) {
        drop(p, PIM_MAPS_IDLE, &maps);
    }
    unlock_and_unmap(&maps);
}

void
pim_maps_give(pim_heap *heap, pim_map *map)
{
    keep(heap, map, 0);
}

// --- taking ----------------------------------------------------------------

// Whether a piece with `dirty` suits better than one with `best`, 0 being none:
// the smallest that has what is wanted, else the largest.
static bool
suits_better(size_t dirty, size_t best, size_t wanted)
{
    if (best == 0 || dirty >= wanted) {
        return best == 0 || best < wanted || dirty < best;
    }
    return best < wanted && dirty > best;
}

static piece *
find_fixed(size_t bytes)
{
    piece *found = NULL;
    for (piece *p = next(pieces); p != NULL; p = next(p + 1)) {
        size_t best = found != NULL ? found->map.dirty : 0;
        if ((p->front != 0 ? p->map.dirty : p->map.bytes) >= bytes &&
            suits_better(p->map.dirty, best, bytes)) {
            found = p;
        }
    }
    return found;
}

// A piece with room for several times `bytes`.  If a block grows into it already, a
// much smaller one gets out of the way, which costs it a copy; of a larger one's
// room a growing block gets the second half.
static piece *
find_growing(size_t bytes, pim_map_kind kind)
{
    piece *found = NULL;
    piece *largest = NULL;
    for (piece *p = next(pieces); p != NULL; p = next(p + 1)) {
        size_t best = found != NULL ? found->map.dirty : 0;
        if (p->map.dirty >= bytes && p->front <= bytes / 2 &&
            suits_better(p->map.dirty, best, 4 * bytes)) {
            found = p;
        }
        if (largest == NULL || p->map.dirty > largest->map.dirty) {
            largest = p;
        }
    }
    if (found != NULL || kind == PIM_MAP_KEPT || taken == UINT32_MAX ||
        largest == NULL || largest->map.dirty / 2 < 4 * bytes) {
        return found;
    }
    size_t half = pim_align_up(largest->map.dirty / 2, pim_os_page_size());
    size_t recent = largest->recent > half ? largest->recent - half : 0;
    pim_map second = cut_end(largest, half);
    return add(largest->heap, &second, recent);
}

static bool
take_kept(pim_heap *heap, size_t bytes, pim_map_kind kind, pim_map *map)
{
    if (pim_load_relaxed(&idle) == 0) {
        return false;
    }
    pim_lock_acquire(&maps_lock);
    bool grows = kind >= PIM_MAP_GROWING;
    piece *p = grows ? find_growing(bytes, kind) : find_fixed(bytes);
    if (p != NULL && !grows) {
        *map = p->front != 0 ? cut_end(p, p->map.dirty - bytes)
               : p->map.dirty <= bytes + bytes / 8 ? cut_end(p, 0)
                                                   : cut_front(p, bytes);
    } else if (p != NULL) {
        assign(p, heap);
        p->front = bytes;
        *map = cut_front(p, bytes);
    }
    pim_lock_release(&maps_lock);
    if (p != NULL && map->dirty < bytes) {
        pim_maps_make_way(bytes - map->dirty);
    }
    return p != NULL;
}

// Room for as much again; what is not touched costs nothing.  A whole number of
// huge pages begins at one.
static size_t
with_room(size_t bytes)
{
    size_t whole =
        2 * bytes < PIM_ARENA_SIZE ? pim_os_page_size() : PIM_ARENA_SIZE;
    return pim_align_up(2 * bytes, whole);
}

static void
advise(pim_map *map, bool huge)
{
    if (huge) {
        pim_os->advise_huge(map->start, map->bytes);
    } else if (map->huge) {
        pim_os->advise_small(map->start, map->bytes);
    }
    map->huge = huge;
}

static bool
take_new(size_t bytes, pim_map_kind kind, pim_map *map)
{
    size_t room = kind >= PIM_MAP_GROWING ? with_room(bytes) : bytes;
    pim_maps_make_way(bytes);
    *map = (pim_map){.start = pim_os->map(room), .bytes = room};
    if (map->start == NULL) {
        pim_maps_trim(true); // pieces take address space, too
        *map = (pim_map){.start = pim_os->map(bytes), .bytes = bytes};
    }
    if (map->start == NULL) {
        return false;
    }
    map->origin = pim_add_relaxed(&last_origin, 1) + 1;
    advise(map, kind != PIM_MAP_SPARSE &&
                    bytes >= (kind == PIM_MAP_FIXED ? PIM_MAP_HUGE_BORN
                                                    : PIM_MAP_HUGE_GROWN));
    return true;
}

bool
pim_maps_take(pim_heap *heap, size_t bytes, pim_map_kind kind, pim_map *map)
{
    return take_kept(heap, bytes, kind, map) ||
           (kind != PIM_MAP_KEPT && take_new(bytes, kind, map));
}

// --- resizing --------------------------------------------------------------

// Takes as much of the piece behind a map as is needed.
static bool
extend(pim_heap *heap, pim_map *map, size_t bytes)
{
    size_t more = bytes - map->bytes;
    if (pim_load_relaxed(&idle) == 0) {
        return false;
    }
    pim_lock_acquire(&maps_lock);
    piece *p = find_at(map->start + map->bytes, map->origin);
    bool fits = p != NULL && p->map.bytes >= more;
    size_t dirty = 0;
    if (fits) {
        assign(p, heap);
        p->front = bytes;
        pim_map front = cut_front(p, more);
        map->bytes += front.bytes;
        dirty = front.dirty;
    }
    pim_lock_release(&maps_lock);
    if (fits && dirty < more) {
        pim_maps_make_way(more - dirty);
    }
    return fits;
}

// Whether there is a piece that the block should rather be copied to than be given
// fresh memory.
static bool
is_better_copied(size_t bytes)
{
    if (pim_load_relaxed(&idle) < bytes + bytes / 2) {
        return false;
    }
    pim_lock_acquire(&maps_lock);
    bool found = false;
    for (piece *p = next(pieces); p != NULL; p = next(p + 1)) {
        found |= p->front <= bytes / 2 && p->map.dirty >= bytes + bytes / 2;
    }
    pim_lock_release(&maps_lock);
    return found;
}

static bool
remap(pim_map *map, size_t bytes)
{
    char *moved = pim_os->remap(map->start, map->bytes, bytes);
    if (moved != NULL) {
        map->start = moved;
        map->bytes = bytes;
    }
    return moved != NULL;
}

static bool
enlarge(pim_map *map, size_t bytes)
{
    size_t room = with_room(bytes);
    pim_maps_make_way(bytes - map->dirty);
    if (!remap(map, room)) {
        pim_maps_trim(true);
        if (!remap(map, bytes)) {
            return false;
        }
    }
    map->origin = pim_add_relaxed(&last_origin, 1) + 1;
    advise(map, bytes >= PIM_MAP_HUGE_GROWN);
    return true;
}

bool
pim_maps_resize(pim_heap *heap, pim_map *map, size_t bytes)
{
    if (bytes < map->dirty) {
        pim_map rest = *map;
        rest.start += bytes;
        rest.bytes -= bytes;
        rest.dirty -= bytes;
        keep(heap, &rest, bytes);
        map->bytes = bytes;
    } else if (bytes <= map->bytes) {
        pim_maps_make_way(bytes - map->dirty);
    } else if (!extend(heap, map, bytes) &&
               (is_better_copied(bytes) || !enlarge(map, bytes))) {
        return false;
    }
    map->dirty = bytes;
    return true;
}

// --- audit -----------------------------------------------------------------

void
pim_maps_audit(pim_heap *heap)
{
    size_t all = 0;
    size_t of_heap = 0;
    pim_gate_enter();
    pim_lock_acquire(&maps_lock);
    for (piece *p = next(pieces); p != NULL; p = next(p + 1)) {
        const pim_map *map = &p->map;
        PIM_CHECK(map->dirty != 0 && p->recent <= map->dirty &&
                      map->dirty <= map->bytes,
                  "MAPS-1: a piece is dirty beyond its end", map->start);
        PIM_CHECK(find_at(map->start + map->bytes, map->origin) == NULL,
                  "MAPS-2: neighbours did not join", map->start);
        all += map->dirty;
        of_heap += p->heap == heap ? map->dirty : 0;
    }
    PIM_CHECK(all == pim_load_relaxed(&idle) && all <= PIM_MAPS_IDLE,
              "what is idle was counted wrong", pieces);
    PIM_CHECK(of_heap == pim_load_relaxed(&heap->idle_bytes),
              "a heap's idle maps were counted wrong", heap);
    pim_lock_release(&maps_lock);
    pim_gate_exit();
}

// maps.c -- the maps of large blocks, and what is kept of them for the next ones.
//
// To fault a page in costs as much as to write it ten times over, so the memory
// of a freed block stays for a while: for the next block, or as room for the next
// one that grows, which takes the largest map as a whole.
//
//   free slot      | dirty ..................... | clean ........... |
//                    ^ idle                                          ^ bytes
//
//   tail of a      | block uses | dirty ........ | clean ........... |
//   live block                    ^ idle         ^ the block grows into it
//
// Both kinds of idle memory are in a slot here, count in the figures of the heap
// that used it last, and are together at most PIM_MAPS_IDLE.  Nothing is idle for
// long: a tick every PIM_PURGE_DELAY_MS gives back what no block used since the
// last one (`recent`), and memory faulted in elsewhere drives as much of it out.
//
// One lock guards all slots; who holds it may call the system.  A block with a
// tail in a slot changes what it uses under the lock only.
//
// Invariants:
//   MAPS-1  used <= recent, used < dirty <= bytes, for each slot.
//   MAPS-2  a map is of one piece for the system: mremap() takes no other.  So
//           advice is given for whole maps, and neighbours are not joined.

#include "heap/maps.h"

#include "platform/os.h"

#define SLOTS 32

typedef struct slot {
    pim_map map;
    size_t used;    // by a live block; 0: there is none
    size_t recent;  // highest `used` since the last tick
    uint64_t stamp; // when it was last given or grown into; higher is later
    pim_heap *heap; // in whose figures it is
} slot;

// Maps to remove once the lock is free.
typedef struct gone {
    pim_map maps[SLOTS + 1];
    unsigned count;
} gone;

_Atomic uint64_t pim_maps_until;

static pim_lock maps_lock = PIM_LOCK_INIT;
static slot slots[SLOTS];
static uint32_t taken; // which slots are
static uint64_t last_stamp;
static _Atomic size_t idle; // bytes, of all slots

_Static_assert(SLOTS == 8 * sizeof(taken), "a bit for each");

// --- slots -----------------------------------------------------------------

// The taken slots, one after the other: for (i = next(0); i < SLOTS; i = next(i + 1))
static unsigned
next(unsigned from)
{
    uint64_t left = from < SLOTS ? (uint64_t)taken >> from : 0;
    return left != 0 ? from + pim_lowest_bit(left) : SLOTS;
}

static slot *
find(const char *start)
{
    for (unsigned i = next(0); i < SLOTS; i = next(i + 1)) {
        if (slots[i].map.start == start) {
            return &slots[i];
        }
    }
    return NULL;
}

// Changes what is idle in a slot, and all figures of it.
static void
set(slot *s, size_t used, size_t dirty)
{
    size_t before = s->map.dirty - s->used;
    size_t now = dirty - used;
    s->used = used;
    s->map.dirty = dirty;
    s->recent = s->recent > dirty ? dirty : s->recent;
    s->recent = s->recent < used ? used : s->recent;
    pim_own_add(&idle, now - before);
    pim_add_relaxed(&s->heap->idle_bytes, now - before);
}

// Puts the slot into the figures of another heap.
static void
assign(slot *s, pim_heap *heap)
{
    size_t bytes = s->map.dirty - s->used;
    pim_sub_relaxed(&s->heap->idle_bytes, bytes);
    pim_add_relaxed(&heap->idle_bytes, bytes);
    s->heap = heap;
}

static void
empty(slot *s)
{
    set(s, s->used, s->used);
    taken &= ~((uint32_t)1 << (s - slots));
}

// There is a free slot.
static void
fill(pim_heap *heap, pim_map map, size_t used, size_t recent)
{
    slot *s = &slots[pim_lowest_bit(~(uint64_t)taken)];
    size_t dirty = map.dirty;
    taken |= (uint32_t)1 << (s - slots);
    map.dirty = 0;
    *s = (slot){
        .map = map, .recent = recent, .stamp = ++last_stamp, .heap = heap};
    set(s, used, dirty);
    if (pim_load_relaxed(&pim_maps_until) == 0) {
        pim_store_relaxed(&pim_maps_until,
                          pim_os->now_ms() + PIM_PURGE_DELAY_MS);
    }
}

// --- giving back -----------------------------------------------------------

static void
let_go(gone *maps, pim_map map)
{
    maps->maps[maps->count++] = map;
}

static void
unlock_and_remove(const gone *maps)
{
    pim_lock_release(&maps_lock);
    for (unsigned i = 0; i < maps->count; i++) {
        pim_os->unmap(maps->maps[i].start, maps->maps[i].bytes);
    }
}

// Gives back what is dirty beyond `keep`, and the slot if nothing is idle then.
// Returns bytes; 0 if the system refuses.
static size_t
give_back(slot *s, size_t keep, gone *maps)
{
    size_t bytes = s->map.dirty - keep;
    if (keep == 0) {
        let_go(maps, s->map);
        empty(s);
        return bytes;
    }
    if (pim_os->reset(s->map.start + keep, bytes) != 0) {
        s->stamp = ++last_stamp;
        return 0;
    }
    set(s, s->used, keep);
    if (keep == s->used) {
        empty(s);
    }
    return bytes;
}

static slot *
stalest(void)
{
    slot *found = NULL;
    for (unsigned i = next(0); i < SLOTS; i = next(i + 1)) {
        if (found == NULL || slots[i].stamp < found->stamp) {
            found = &slots[i];
        }
    }
    return found;
}

// Makes a slot and room in the budget.  False: there is none.
static bool
make_room(size_t bytes, gone *maps)
{
    for (unsigned tries = 0; tries <= SLOTS; tries++) {
        if (~taken != 0 && pim_load_relaxed(&idle) + bytes <= PIM_MAPS_IDLE) {
            return true;
        }
        slot *s = stalest();
        if (s == NULL || bytes > PIM_MAPS_IDLE) {
            return false;
        }
        give_back(s, s->used, maps);
    }
    return false;
}

static size_t
age(slot *s, gone *maps)
{
    size_t bytes = 0;
    if (s->recent < s->map.dirty) {
        bytes = give_back(s, s->recent, maps);
    }
    s->recent = s->used;
    return bytes;
}

size_t
pim_maps_trim(bool all)
{
    gone maps = {.count = 0};
    size_t bytes = 0;
    pim_lock_acquire(&maps_lock);
    uint64_t now = pim_os->now_ms();
    if (all || now >= pim_load_relaxed(&pim_maps_until)) {
        for (unsigned i = next(0); i < SLOTS; i = next(i + 1)) {
            bytes += all ? give_back(&slots[i], slots[i].used, &maps)
                         : age(&slots[i], &maps);
        }
        pim_store_relaxed(&pim_maps_until,
                          taken != 0 ? now + PIM_PURGE_DELAY_MS : 0);
    }
    unlock_and_remove(&maps);
    return bytes;
}

size_t
pim_maps_drop(pim_heap *heap)
{
    gone maps = {.count = 0};
    size_t bytes = 0;
    pim_lock_acquire(&maps_lock);
    for (unsigned i = next(0); i < SLOTS; i = next(i + 1)) {
        slot *s = &slots[i];
        if (s->heap == heap) {
            size_t n = give_back(s, s->used, &maps);
            bytes += n;
            if (n == 0) {
                assign(s, &pim_process_heap); // the system refused
            }
        }
    }
    unlock_and_remove(&maps);
    return bytes;
}

void
pim_maps_make_way(size_t bytes)
{
    if (pim_load_relaxed(&idle) == 0) {
        return;
    }
    gone maps = {.count = 0};
    pim_lock_acquire(&maps_lock);
    for (unsigned tries = 0; tries < SLOTS && bytes != 0 && taken != 0;
         tries++) {
        slot *s = stalest();
        size_t of_it = s->map.dirty - s->used;
        size_t drop = of_it < bytes ? of_it : bytes;
        give_back(s, s->map.dirty - drop, &maps);
        bytes -= drop;
    }
    unlock_and_remove(&maps);
}

// --- taking ----------------------------------------------------------------

// The slot whose map suits best: for a block that grows the one with most to grow
// into, else the smallest.  NULL: none is large enough.
static slot *
find_kept(size_t bytes, pim_map_kind kind)
{
    slot *found = NULL;
    for (unsigned i = next(0); i < SLOTS; i = next(i + 1)) {
        slot *s = &slots[i];
        if (s->used == 0 && s->map.bytes >= bytes &&
            (found == NULL ||
             (kind == PIM_MAP_FIXED ? s->map.bytes < found->map.bytes
                                    : s->map.dirty > found->map.dirty))) {
            found = s;
        }
    }
    return found;
}

// The block takes the map; if much is left of what is dirty, that stays.
static void
take_part(slot *s, size_t bytes, pim_map *map)
{
    *map = s->map;
    if (s->map.dirty <= bytes + bytes / 8) {
        empty(s);
        return;
    }
    map->bytes = map->dirty = bytes;
    size_t recent = s->recent > bytes ? s->recent - bytes : 0;
    set(s, 0, s->map.dirty - bytes);
    s->recent = recent;
    s->map.start += bytes;
    s->map.bytes -= bytes;
}

// The block takes the map, and what is dirty beyond its use becomes its tail.
static void
take_whole(pim_heap *heap, slot *s, size_t bytes, pim_map *map)
{
    *map = s->map;
    if (s->map.dirty <= bytes) {
        empty(s);
        return;
    }
    set(s, bytes, s->map.dirty);
    assign(s, heap);
}

static bool
take_kept(pim_heap *heap, size_t bytes, pim_map_kind kind, pim_map *map)
{
    if (pim_load_relaxed(&idle) == 0) {
        return false;
    }
    pim_lock_acquire(&maps_lock);
    slot *s = find_kept(bytes, kind);
    if (s != NULL && kind == PIM_MAP_FIXED) {
        take_part(s, bytes, map);
    } else if (s != NULL) {
        take_whole(heap, s, bytes, map);
    }
    pim_lock_release(&maps_lock);
    return s != NULL;
}

// Room for twice as much; what is not touched costs nothing.  A whole number of
// huge pages begins at one.
static size_t
with_room(size_t bytes)
{
    return pim_align_up(2 * bytes, 2 * bytes < PIM_ARENA_SIZE
                                       ? pim_os_page_size()
                                       : PIM_ARENA_SIZE);
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
    size_t room = kind == PIM_MAP_FIXED ? bytes : with_room(bytes);
    pim_maps_make_way(bytes);
    *map = (pim_map){.start = pim_os->map(room), .bytes = room};
    if (map->start == NULL && (room != bytes || pim_maps_trim(true) != 0)) {
        *map = (pim_map){.start = pim_os->map(bytes), .bytes = bytes};
    }
    if (map->start == NULL) {
        return false;
    }
    advise(map, bytes >= (kind == PIM_MAP_FIXED ? PIM_MAP_HUGE_BORN
                                                : PIM_MAP_HUGE_GROWN));
    return true;
}

bool
pim_maps_take(pim_heap *heap, size_t bytes, pim_map_kind kind, pim_map *map)
{
    return take_kept(heap, bytes, kind, map) ||
           (kind != PIM_MAP_KEPT && take_new(bytes, kind, map));
}

// --- live ------------------------------------------------------------------

void
pim_maps_give(pim_heap *heap, pim_map map)
{
    gone maps = {.count = 0};
    pim_lock_acquire(&maps_lock);
    size_t recent = map.dirty;
    slot *s = find(map.start);
    if (s != NULL) {
        map.dirty = s->map.dirty;
        recent = s->recent;
        empty(s);
    }
    if (map.dirty >= PIM_MAP_BORN && make_room(map.dirty, &maps)) {
        fill(heap, map, 0, recent);
    } else {
        let_go(&maps, map);
    }
    unlock_and_remove(&maps);
}

bool
pim_maps_use(pim_heap *heap, const pim_map *map, size_t bytes)
{
    bool done = true;
    gone maps = {.count = 0};
    pim_lock_acquire(&maps_lock);
    slot *s = find(map->start);
    if (s != NULL) {
        set(s, bytes, bytes > s->map.dirty ? bytes : s->map.dirty);
        if (s->map.dirty == bytes) {
            empty(s);
        }
    } else if (bytes < map->dirty) {
        size_t tail = map->dirty - bytes;
        if (make_room(tail, &maps)) {
            fill(heap, *map, bytes, map->dirty);
        } else {
            done = pim_os->reset(map->start + bytes, tail) == 0;
        }
    }
    unlock_and_remove(&maps);
    return done;
}

// Under the lock, so that the tail, if any, stays as it is meanwhile.
static bool
remap(pim_map *map, size_t bytes)
{
    pim_lock_acquire(&maps_lock);
    char *moved = pim_os->remap(map->start, map->bytes, bytes);
    if (moved != NULL) {
        slot *s = find(map->start);
        if (s != NULL) {
            empty(s); // the block is about to use all of it
        }
        map->start = moved;
        map->bytes = bytes;
    }
    pim_lock_release(&maps_lock);
    return moved != NULL;
}

bool
pim_maps_grow(pim_map *map, size_t bytes)
{
    size_t room = with_room(bytes);
    pim_maps_make_way(bytes - map->dirty);
    bool done =
        remap(map, room) ||
        ((room != bytes || pim_maps_trim(true) != 0) && remap(map, bytes));
    if (done) {
        advise(map, map->bytes >= PIM_MAP_HUGE_GROWN);
    }
    return done;
}

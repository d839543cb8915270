// large.c -- blocks above PIM_RUN_MAX, and runs for which there is no arena: in maps
// of their own that grow in place (maps.c), or from mimalloc where there is no map.
// Raw blocks above PIM_SMALL_MAX come from mimalloc, up to where a map pays.
//
//   | header | block ...            |   room to grow          |
//            ^ what the user has    ^ usable                  ^ map_bytes
//
// The header lies in front of the block.  Its last word, the cookie, is the
// first to be read, so that of a pointer that is not ours no more than the word
// in front of it is touched, and only if that is mapped.
//
// A header names its heap and the heap's serial.  A record whose serial differs
// was retired since: the block is then an account of the process heap.  Raw blocks
// of callers without an interpreter have no heap; raw.c counts them.
//
// Live blocks that have a heap are in a ring of it.  Whoever frees a block takes it
// out; one that an ended interpreter left, under the process heap's lock.
//
// Owner as in heap.h.  Everything that calls mimalloc is inside the gate.
//
// Invariant:
//   LARGE-1  a ring holds the live blocks that its heap answers for.  Under
//            ring_lock, the last to be taken of all locks but the gate's; a block
//            that its owner resizes is in none meanwhile.

#include "heap/large.h"

#include <string.h>

#include "abandoned/poison_extent.h"
#include "extent/mi_blocks.h"
#include "heap/admit.h"
#include "heap/purge.h"
#include "heap/remote.h"
#include "platform/os.h"

typedef enum large_kind { LARGE_MI, LARGE_MAP } large_kind;

// Programs that go through memory page by page evict the lines at the beginnings of
// pages, so what is read with every free is not in the header's first line.
typedef struct pim_large {
    pim_link link; // ring_lock
    uint64_t unused[PIM_CACHE_LINE / sizeof(uint64_t) - 2];
    pim_heap *heap;   // NULL: no heap accounts for it
    uint64_t serial;  // of the heap when the block was allocated
    size_t usable;    // bytes
    size_t map_bytes; // of a map, as what follows; see maps.h
    uint64_t origin;
    bool huge;
    bool is_small; // see small_maps
    uint8_t kind;
    uint8_t domain;
    uint64_t spare;
    uint64_t cookie;
} pim_large;

_Static_assert(sizeof(pim_large) == 2 * PIM_CACHE_LINE, "keeps blocks aligned");

#define HEADER sizeof(pim_large)
#define COOKIE UINT64_C(0x9e3779b97f4a7c15)

_Atomic uint64_t pim_foreign_frees;

// Live maps of blocks that were too small for one when they got it.  Each may be
// one of the maps that the system lets a process have (vm.max_map_count): enough
// for those that are going to be large, and too few to be missed if none is.
#define SMALL_MAPS_MAX 16
static _Atomic uint64_t small_maps;

// --- header ----------------------------------------------------------------

static uint64_t
cookie_for(const void *block)
{
    return COOKIE ^ (uint64_t)(uintptr_t)block;
}

static void *
block_of(pim_large *large)
{
    return large + 1;
}

// The header of a block, or NULL if the block is not ours.
PIM_NO_SANITIZE static pim_large *
header_of(const void *block)
{
    if ((uintptr_t)block % PIM_ALIGNMENT != 0 ||
        (pim_os_begins_page(block) && !pim_mi.contains(block))) {
        return NULL; // our maps' blocks do not begin a page
    }
    pim_large *large = (pim_large *)(uintptr_t)block - 1;
    return large->cookie == cookie_for(block) ? large : NULL;
}

static void
settle_small(pim_large *large)
{
    if (large->is_small) {
        large->is_small = false;
        pim_sub_relaxed(&small_maps, 1);
    }
}

static pim_large *
set_map(const pim_map *map)
{
    pim_large *large = (pim_large *)map->start;
    large->map_bytes = map->bytes;
    large->origin = map->origin;
    large->huge = map->huge;
    return large;
}

static pim_map
map_of(pim_large *large)
{
    return (pim_map){.start = (char *)large,
                     .bytes = large->map_bytes,
                     .dirty = HEADER + large->usable,
                     .origin = large->origin,
                     .huge = large->huge};
}

static bool
is_owner(const pim_heap *heap, const pim_large *large)
{
    return large->heap == heap && !pim_heap_is_process(heap) &&
           large->serial == pim_load_relaxed(&heap->serial);
}

// --- rings -----------------------------------------------------------------

static PIM_LOCK(ring_lock);

static void
ring_add(pim_heap *heap, pim_large *large)
{
    pim_lock_acquire(&ring_lock);
    pim_ring_add(&heap->large_ring, &large->link);
    pim_lock_release(&ring_lock);
}

static void
ring_remove(pim_large *large)
{
    pim_lock_acquire(&ring_lock);
    pim_ring_remove(&large->link);
    pim_lock_release(&ring_lock);
}

void
pim_large_hand_over(pim_heap *from, pim_heap *to)
{
    pim_lock_acquire(&ring_lock);
    pim_ring_take_all(&to->large_ring, &from->large_ring);
    pim_lock_release(&ring_lock);
}

int
pim_large_each(pim_heap *heap, pim_large_visitor visit, void *arg)
{
    int result = 0;
    pim_lock_acquire(&ring_lock);
    for (pim_link *l = heap->large_ring.next;
         l != &heap->large_ring && result == 0; l = l->next) {
        pim_large *large = (pim_large *)l;
        result = visit(arg, block_of(large), large->usable, large->domain);
    }
    pim_lock_release(&ring_lock);
    return result;
}

// --- accounts --------------------------------------------------------------

static void
account_new(pim_heap *heap, const pim_large *large)
{
    pim_account_add(&heap->account[PIM_SLOT(large->domain)], PIM_CLASS_LARGE,
                    large->usable);
    pim_add_relaxed(&heap->large_bytes, large->usable);
}

// A block of the process heap, or one that it answers for.  NULL: it was poisoned
// since its header was found, and is freed.
static pim_heap *
account_free_left(pim_large *large)
{
    pim_heap *process = &pim_process_heap;
    pim_lock_acquire(&pim_process_lock);
    bool poisoned = pim_poison_free_map(block_of(large));
    if (!poisoned) {
        pim_account_remove(&process->account[PIM_SLOT(large->domain)],
                           PIM_CLASS_LARGE, large->usable);
        pim_sub_relaxed(&process->large_bytes, large->usable);
        ring_remove(large);
    }
    pim_lock_release(&pim_process_lock);
    return poisoned ? NULL : process;
}

// Takes the block out of its account and its ring.  Returns the heap of the former;
// NULL: it is freed already.
static pim_heap *
account_free(const pim_heap *caller, pim_large *large)
{
    pim_heap *heap = large->heap;
    if (!pim_heap_uncount_living(caller, heap, large->serial, large->domain,
                                 large->usable)) {
        return account_free_left(large);
    }
    ring_remove(large);
    pim_sub_relaxed(&heap->large_bytes, large->usable);
    return heap;
}

static void *
finish(pim_heap *heap, pim_large *large, unsigned domain, large_kind kind)
{
    void *block = block_of(large);
    large->heap = heap;
    large->serial = heap != NULL ? pim_load_relaxed(&heap->serial) : 0;
    large->domain = (uint8_t)domain;
    large->kind = (uint8_t)kind;
    large->cookie = cookie_for(block);
    if (heap != NULL) {
        account_new(heap, large);
        ring_add(heap, large);
    }
    return block;
}

// --- allocation ------------------------------------------------------------

static size_t
map_size(size_t block_bytes)
{
    return pim_align_up(block_bytes + HEADER, pim_os_page_size());
}

static void *
finish_map(pim_heap *heap, unsigned domain, size_t used, const pim_map *map,
           bool is_small)
{
    pim_large *large = set_map(map);
    large->is_small = is_small;
    large->usable = used - HEADER;
    return finish(heap, large, domain, LARGE_MAP);
}

// Returns whether the system took addresses back.  What is the owner's to use is
// the rest of the map behind the block.
static bool
cut_room(pim_large *large)
{
    size_t granule = large->huge ? PIM_ARENA_SIZE : pim_os_page_size();
    size_t used = pim_align_up(HEADER + large->usable, granule);
    if (large->kind != LARGE_MAP || large->map_bytes <= used) {
        return false;
    }
    if (pim_os->unmap((char *)large + used, large->map_bytes - used) != 0) {
        return false;
    }
    large->map_bytes = used;
    return true;
}

bool
pim_large_cut_rooms(pim_heap *heap)
{
    bool any = false;
    pim_lock_acquire(&ring_lock);
    for (pim_link *l = heap->large_ring.next;
         l != &heap->large_ring && !pim_heap_is_process(heap); l = l->next) {
        any |= cut_room((pim_large *)l);
    }
    pim_lock_release(&ring_lock);
    return any;
}

static void *
alloc_map(pim_heap *heap, unsigned domain, size_t size, bool zero)
{
    pim_map map;
    size_t used = map_size(size);
    // Who asks for zeroes may never write to most of them.
    pim_map_kind kind = zero ? PIM_MAP_SPARSE : PIM_MAP_FIXED;
    if (!pim_maps_take(&heap->idle_bytes, used, kind, &map) &&
        !(pim_large_cut_rooms(heap) &&
          pim_maps_take(&heap->idle_bytes, used, kind, &map))) {
        return NULL;
    }
    used = map.dirty > used ? map.dirty : used;
    void *block = finish_map(heap, domain, used, &map, false);
    if (zero && map.dirty > HEADER) {
        size_t dirty = map.dirty - HEADER;
        memset(block, 0, dirty < size ? dirty : size);
    }
    return block;
}

static void *
alloc_mi(pim_heap *heap, unsigned domain, size_t size, bool zero)
{
    size_t bytes;
    pim_large *large = pim_mi_alloc(size + HEADER, zero, &bytes);
    if (large == NULL) {
        return NULL;
    }
    large->usable = bytes - HEADER;
    return finish(heap, large, domain, LARGE_MI);
}

// What a request takes of a limit.  Raw blocks have no runs: mimalloc's classes are as
// far apart as an eighth.
static uint64_t
limited_bytes(unsigned domain, size_t size)
{
    if (domain == PIM_RAW && size > PIM_SMALL_MAX && size < PIM_MAP_BORN) {
        return pim_align_up(size + (size + HEADER) / 8, pim_os_page_size());
    }
    return size <= PIM_SMALL_MAX ? size
           : size <= PIM_RUN_MAX ? pim_align_up(size, PIM_UNIT_SIZE)
                                 : pim_align_up(size, pim_os_page_size());
}

// A request of the owner's is done with.
static void
served(pim_heap *heap)
{
    pim_limit_done(&heap->limit);
    pim_heap_note_peak(heap);
    pim_heap_purge_if_due(heap);
}

void *
pim_large_alloc(pim_heap *heap, unsigned domain, size_t size, bool zero)
{
    if (size > PIM_REQUEST_MAX - 2 * PIM_ARENA_SIZE) {
        return NULL; // so that sums below cannot overflow
    }
    if (pim_limit_is_set(&heap->limit) &&
        !pim_limit_admits_or_reports(heap, domain, size,
                                     limited_bytes(domain, size))) {
        return NULL;
    }
    void *block = NULL;
    pim_gate_enter();
    if (domain != PIM_RAW || size >= PIM_MAP_BORN) {
        block = alloc_map(heap, domain, size, zero);
    }
    if (block == NULL) {
        block = alloc_mi(heap, domain, size, zero);
    }
    served(heap);
    pim_gate_exit();
    return block;
}

void *
pim_large_alloc_unowned(unsigned domain, size_t size, bool zero)
{
    if (size > PIM_REQUEST_MAX - 2 * PIM_ARENA_SIZE) {
        return NULL;
    }
    pim_gate_enter();
    void *block = alloc_mi(NULL, domain, size, zero);
    pim_gate_exit();
    return block;
}

bool
pim_large_is_unowned(const void *block)
{
    const pim_large *large = header_of(block);
    return large != NULL && large->heap == NULL;
}

void *
pim_large_alloc_growing(pim_heap *heap, unsigned domain, size_t size)
{
    bool is_small = size < PIM_MAP_GROWN;
    if (size > PIM_REQUEST_MAX / 4 ||
        (is_small && (pim_load_relaxed(&pim_maps_until) == 0 ||
                      pim_load_relaxed(&small_maps) >= SMALL_MAPS_MAX))) {
        return NULL;
    }
    if (pim_limit_is_set(&heap->limit) &&
        !pim_limit_admits(heap, size, limited_bytes(domain, size))) {
        return NULL;
    }
    pim_map map;
    void *block = NULL;
    size_t used = map_size(size);
    pim_gate_enter();
    if (pim_maps_take(&heap->idle_bytes, used,
                      is_small ? PIM_MAP_KEPT : PIM_MAP_GROWING, &map)) {
        block = finish_map(heap, domain, used, &map, is_small);
        pim_add_relaxed(&small_maps, is_small);
    }
    served(heap);
    pim_gate_exit();
    return block;
}

// --- free ------------------------------------------------------------------

// What is left of the map is in the figures of `heap`.
static void
give(pim_heap *heap, pim_large *large)
{
    large->cookie = 0;
    if (large->kind == LARGE_MI) {
        pim_mi_free(large);
    } else {
        settle_small(large);
        pim_map map = map_of(large);
        pim_maps_give(&heap->idle_bytes, &map);
    }
}

static void
free_ours(pim_heap *caller, const void *block)
{
    pim_large *large = header_of(block);
    if (large == NULL) {
        pim_add_relaxed(&pim_foreign_frees, 1);
        return;
    }
    bool is_nobodys = large->heap == NULL; // of mimalloc
    pim_heap *heap = is_nobodys ? NULL : account_free(caller, large);
    if (heap != NULL || is_nobodys) {
        give(heap, large);
    }
}

static bool
free_poisoned(void *block)
{
    if (PIM_LIKELY(pim_load_relaxed(&pim_poisoned_maps) == 0)) {
        return false;
    }
    pim_lock_acquire(&pim_process_lock);
    bool done = pim_poison_free_map(block);
    pim_lock_release(&pim_process_lock);
    return done;
}

void
pim_large_free(pim_heap *heap, void *block)
{
    pim_gate_enter(); // a header that is found stays (poison_map.c)
    if (!free_poisoned(block)) {
        free_ours(heap, block);
    }
    pim_gate_exit();
}

// --- the end of an interpreter ---------------------------------------------

static bool
poison_map(const pim_heap *heap, pim_large *large)
{
    if (large->kind == LARGE_MI) {
        return false; // others' blocks may lie beside it
    }
    pim_poisoned_block about = {.start = block_of(large),
                                .bytes = large->usable,
                                .ended = heap->id,
                                .domain = large->domain,
                                .live = true};
    pim_map map = map_of(large);
    if (!pim_poison_map(heap, &map, &about)) {
        return false;
    }
    settle_small(large);
    return true;
}

static void
release(pim_heap *heap, pim_large *large)
{
    pim_add_relaxed(&pim_poisoned.released_blocks, 1);
    pim_add_relaxed(&pim_poisoned.released_bytes, large->usable);
    give(heap, large);
}

bool
pim_large_doom(pim_heap *heap)
{
    bool releases = pim_load_relaxed(&heap->policy) == PIM_RELEASE;
    bool poisons = false;
    pim_link *next;
    for (pim_link *l = heap->large_ring.next; l != &heap->large_ring;
         l = next) {
        pim_large *large = (pim_large *)l;
        next = l->next;
        if (large->domain == PIM_RAW ||
            (!releases && !poison_map(heap, large))) {
            continue;
        }
        pim_pending_add(&heap->condemned.gone[PIM_SLOT(large->domain)],
                        PIM_CLASS_LARGE, large->usable);
        pim_sub_relaxed(&pim_process_heap.large_bytes, large->usable);
        ring_remove(large);
        if (releases) {
            release(heap, large);
        } else {
            poisons = true;
        }
    }
    pim_large_hand_over(heap, &pim_process_heap);
    return poisons;
}

// --- resize ----------------------------------------------------------------

size_t
pim_large_usable(const void *block)
{
    const pim_large *large = header_of(block);
    return large != NULL ? large->usable : 0;
}

bool
pim_large_owner(const void *block, int64_t *id)
{
    const pim_large *large = header_of(block);
    if (large == NULL) {
        return false;
    }
    const pim_heap *heap = large->heap;
    bool lives =
        heap != NULL && large->serial == pim_load_relaxed(&heap->serial);
    *id = lives ? heap->id : PIM_PROCESS_ID;
    return true;
}

static void
account_resize(pim_heap *heap, pim_large *large, size_t usable)
{
    pim_account_resize(&heap->account[PIM_SLOT(large->domain)], PIM_CLASS_LARGE,
                       large->usable, usable);
    pim_add_relaxed(&heap->large_bytes, usable - large->usable);
    large->usable = usable;
}

static void *
resize_map(pim_heap *heap, pim_large *large, size_t size)
{
    size_t used = map_size(size);
    pim_map map = map_of(large);
    ring_remove(large); // it may move
    if (!pim_maps_resize(&heap->idle_bytes, &map, used)) {
        ring_add(heap, large);
        return NULL;
    }
    large = set_map(&map);
    ring_add(heap, large);
    large->cookie = cookie_for(block_of(large));
    if (used >= PIM_MAP_BORN) {
        settle_small(large);
    }
    account_resize(heap, large, used - HEADER);
    return block_of(large);
}

// Whether the block may stay as it is.  mimalloc's classes are an eighth apart, so
// one of its that was just moved may waste as much already, and would move again.
static bool
still_suits(const pim_large *large, size_t size)
{
    bool is_mimallocs = large->kind == LARGE_MI &&
                        (size > PIM_SMALL_MAX || large->domain != PIM_RAW);
    size_t served = is_mimallocs         ? size + (size + HEADER) / 8
                    : size > PIM_RUN_MAX ? map_size(size) - HEADER
                                         : pim_size_served(size + !size);
    return size <= large->usable && pim_size_suits(large->usable, served);
}

void *
pim_large_resize(pim_heap *heap, void *block, size_t size)
{
    pim_large *large = header_of(block);
    if (large == NULL || size > PIM_REQUEST_MAX / 4) {
        return NULL;
    }
    if (still_suits(large, size)) {
        return block;
    }
    if (large->kind != LARGE_MAP || !is_owner(heap, large) ||
        (size < large->usable && size < PIM_MAP_GROWN / 2)) { // needs no map
        return NULL;
    }
    if (size > large->usable && pim_limit_is_set(&heap->limit) &&
        !pim_limit_admits(
            heap, size,
            pim_align_up(size - large->usable, pim_os_page_size()))) {
        return NULL;
    }
    pim_gate_enter();
    void *resized = resize_map(heap, large, size);
    served(heap);
    pim_gate_exit();
    return resized;
}

// heap.h -- the heap of one interpreter, and the process heap.
//
// A heap belongs to an interpreter, not to a thread (HEAP-1): whoever holds the
// interpreter's GIL owns it and uses plain loads and stores.  Everyone else
// pushes onto the page's remote list.  The process heap has no GIL; its owner is
// the holder of its lock.  It serves callers without a thread state and keeps
// the pages that ended interpreters left live blocks in.
//
// Invariants:
//   HEAP-1  what is marked "owner" is touched only by the owner.
//   HEAP-2  current[][] is never NULL: a class without a page points at
//           pim_empty_page, whose free list is empty for ever.
//   HEAP-3  a heap record is recycled only after pim_gate_synchronize(), and
//           never unmapped, so a stale pointer to it reads a record.
//   HEAP-4  a retired heap owns no page, and all its current pages are the
//           empty page.
//   HEAP-5  retirement goes by the pages' descriptors and trusts no list of
//           pages: in a forked child they may be half changed.
//   HEAP-6  while pages are released in a loop, nothing purges.
//   HEAP-7  the counters of arenas, pages and units are right whenever the
//           owner is not at work.

#ifndef PIM_HEAP_HEAP_H
#define PIM_HEAP_HEAP_H

#include "arena/arena.h"
#include "base/ring.h"
#include "heap/account.h"
#include "heap/limit.h"
#include "mi/mi.h"
#include "platform/gate.h"
#include "platform/lock.h"

// What a heap keeps for each domain: mem and obj, which most requests are for,
// come first.
#define PIM_SLOTS 3
#define PIM_SLOT(domain)                                                       \
    ((domain) == PIM_RAW ? 2u : (unsigned)(domain) - (unsigned)PIM_MEM)
#define PIM_SLOT_DOMAIN(slot) ((slot) == 2 ? PIM_RAW : (slot) + PIM_MEM)

// The id of the process heap, as pimalloc_snapshot.interp; and of the raw heap
// (domain/raw_small.h), another one that belongs to no interpreter.
#define PIM_PROCESS_ID ((int64_t)-1)

typedef struct pim_heap {
    // Owner, fast path.
    pim_page *current[PIM_SLOTS][PIM_CLASSES];
    pim_account account[PIM_SLOTS] PIM_CACHE_ALIGNED;

    // Owner, slow path.
    pim_page *partial[PIM_SLOTS][PIM_CLASSES] PIM_CACHE_ALIGNED;
    pim_arena *arenas[PIM_ARENA_LISTS];     // by what they can still serve
    pim_page *idle_runs[PIM_RUN_UNITS + 1]; // by their length; see run.c
    unsigned idle_run_units;
    unsigned empty_units; // of pages in partial lists that have no live block
    bool may_have_empty[PIM_SLOTS][PIM_CLASSES]; // which lists have such
    unsigned next_emptied;
    unsigned emptied_pages;                // so far
    pim_page **emptied[PIM_EMPTY_CURRENT]; // places in current[][]; see heap.c
    uint64_t purge_at;   // when to purge next, in now_ms(); 0: never
    unsigned patience;   // slow paths until the clock is looked at again
    uint64_t used_units; // units of our arenas that are not free
    uint64_t idle_units; // units that are free and may hold memory
    uint64_t dirty_peak; // how many units with large blocks would be a new peak
    bool at_peak;        // one was made
    bool releasing;      // pages are being released in a loop (HEAP-6)
    size_t granted;      // units that may be idle on top; see arenas.c
    unsigned dense_arenas; // asked to be huge pages
    pim_limit limit;
    _Atomic uint64_t arena_count;
    _Atomic uint64_t page_count;
    _Atomic uint64_t dirty_units; // units that may hold memory of the system

    // Any thread.
    _Atomic(pim_page *) remote_pages PIM_CACHE_ALIGNED; // see remote.c
    pim_pending pending[PIM_SLOTS];
    _Atomic uint64_t remote_frees; // blocks freed by non-owners, ever
    _Atomic uint64_t large_bytes;  // of live blocks outside the arenas
    _Atomic uint64_t idle_bytes;   // of maps that are kept; see maps.c
    pim_link large_ring;           // ring of live blocks outside the arenas
    _Atomic bool returned;         // an arena of ours has returned units
    _Atomic bool trim_wanted;      // all idle memory is to be given back
    _Atomic uint32_t settling;     // odd while pending is taken over

    // Retirement, under the process heap's lock; see retire.c and poison.c.
    uint8_t retiring;            // enum pim_retiring
    bool left;                   // in the middle of it; the registry's lock
    pim_page *doomed;            // pages, by `next`
    pim_pending gone[PIM_SLOTS]; // what was live in them, and in maps

    // Identity: written under the registry's lock.
    _Atomic int policy;    // enum pim_policy; any thread reads
    bool keeps_always;     // no other policy may be set
    int64_t id;            // CPython's id of the interpreter
    uint32_t generation;   // which runtime of the process
    char name[32];         // of its memory in /proc/PID/maps
    struct pim_heap *next; // registry's pool, or those that are being retired

    // Unique per life of the record, 0 while it is retired.  A stale header may be
    // compared with it at any time, so opening leaves it and what follows alone.
    _Atomic uint64_t serial;

    _Atomic uint32_t life; // its number, or 0; see lives.h
} PIM_CACHE_ALIGNED pim_heap;

extern pim_page pim_empty_page;
extern pim_heap pim_process_heap;
extern pim_lock pim_process_lock; // owner of pim_process_heap

PIM_INLINE bool
pim_heap_is_process(const pim_heap *heap)
{
    return heap == &pim_process_heap;
}

// Makes a zeroed or recycled record an empty heap.
void pim_heap_open(pim_heap *heap);

// Opens the process heap, once, before any other call of this layer.
void pim_process_heap_init(void);

// Allocates from a class whose current page has no free block.  NULL: no
// memory, or a limit, which was reported; the heap is as it was.  Owner, outside
// the gate unless it is the process heap's.
void *pim_heap_alloc_slow(pim_heap *heap, unsigned slot, unsigned size_class);

// Puts a page whose countdown ended where it belongs.  Owner.
void pim_heap_free_slow(pim_heap *heap, pim_page *page);

// Frees a block of a page that the caller does not own (remote.c).
void pim_heap_free_remote(pim_page *page, void *block);

// Takes over what non-owners freed.  Owner, inside the gate.
void pim_heap_drain(pim_heap *heap);

// Runs (run.c): blocks above PIM_SMALL_MAX and up to PIM_RUN_MAX.  NULL: there is
// no arena to be had, or a limit in the way; the heap is as it was.  Owner.
void *pim_run_alloc(pim_heap *heap, unsigned domain, size_t size, bool zero);

// The same for a block of any size up to PIM_RUN_MAX that is being grown.
void *pim_run_alloc_growing(pim_heap *heap, unsigned domain, size_t size);

// The run's block was freed.  Owner.
void pim_run_freed(pim_heap *heap, pim_page *page);

// Makes a live run longer or shorter where it is.  False: that is not possible,
// or not the caller's to do, and nothing changed.
bool pim_run_resize(pim_heap *heap, pim_page *page, size_t size);

// Releases the runs kept for later requests.  Owner, inside the gate.
void pim_run_release_idle(pim_heap *heap);

// Large blocks (large.c).  `size` is at most PIM_REQUEST_MAX; owner of `heap`.
// Runs that found no place in an arena come here, so here it is reported if a limit
// is the reason: outside the gate, unless the heap is the process's.
void *pim_large_alloc(pim_heap *heap, unsigned domain, size_t size, bool zero);

// A block that is in no heap's account, because no heap is the caller's: it counts
// it.  Any thread.
void *pim_large_alloc_unowned(unsigned domain, size_t size, bool zero);
bool pim_large_is_unowned(const void *block);

// Frees a block outside the region; `heap` is the caller's own heap.  A pointer
// that is not ours is left alone and counted (pim_foreign_frees).
void pim_large_free(pim_heap *heap, void *block);

// Usable bytes of a block outside the region; 0 if it is not ours.
size_t pim_large_usable(const void *block);

// Grows or shrinks in place or by moving the map.  NULL: not possible here, the
// block is as it was and the caller copies.
void *pim_large_resize(pim_heap *heap, void *block, size_t size);

// The heap's id that a block outside the region belongs to, PIM_PROCESS_ID if
// that heap is retired.  False: it is not ours.  Inside the gate.
bool pim_large_owner(const void *block, int64_t *id);

// Gives back the addresses behind blocks that have room to grow.  False: there were
// none.  Owner, inside the gate.
bool pim_large_cut_rooms(pim_heap *heap);

// Like pim_large_alloc() for a block that is being grown: with room for that.
// NULL: there is none to be had, or the block is too small to deserve it.
void *pim_large_alloc_growing(pim_heap *heap, unsigned domain, size_t size);

// The one heap's large blocks are the other's to answer for.  Inside the gate.
void pim_large_hand_over(pim_heap *from, pim_heap *to);

// The heap is being retired, nobody frees its blocks as its owner any more, and its
// policy is not to keep them: they go.  The process answers for what cannot go, and
// for raw blocks, which no interpreter's end makes useless.
// Under the process heap's lock; heap->gone grows by what went.  Returns
// whether pim_poison_maps_finish() has something to do.
bool pim_large_doom(pim_heap *heap);

// Calls visit() with the start, usable bytes and domain of each large block that
// the heap answers for, until it returns other than 0; returns that.  Nobody frees
// a large block meanwhile: visit() runs under their lock.  Inside the gate.
typedef int (*pim_large_visitor)(void *arg, void *block, size_t bytes,
                                 unsigned domain);
int pim_large_each(pim_heap *heap, pim_large_visitor visit, void *arg);

extern _Atomic uint64_t pim_foreign_frees;

// Counts a block outside the arenas as gone from the account of the heap, or of the
// process if the heap has another serial now.  `caller` is the caller's own heap, or
// any that is not.  Inside the gate.
void pim_heap_uncount(const pim_heap *caller, pim_heap *heap, uint64_t serial,
                      unsigned domain, size_t bytes);

// The same if the heap lives and is no process heap; else false, and nothing changed.
bool pim_heap_uncount_living(const pim_heap *caller, pim_heap *heap,
                             uint64_t serial, unsigned domain, size_t bytes);

// For pages and arenas across files of this layer.  Owner, inside the gate.

// Whether the heap's arenas have a run of that many units.
bool pim_heap_has_run(pim_heap *heap, unsigned units);

// A run of units, from a new arena if need be; NULL: no memory.
pim_page *pim_heap_take_run(pim_heap *heap, unsigned units);

void pim_heap_release_page(pim_heap *heap, pim_page *page);

// By how much dirty units must grow to make a new peak, and how many of them may
// be idle then.
PIM_INLINE uint64_t
pim_heap_peak_step(uint64_t dirty_units)
{
    return dirty_units / PIM_PEAK_SHARE + PIM_PEAK_UNITS;
}

// The heap has more memory than ever, perhaps: idle memory is to go then.  Owner.
void pim_heap_note_peak(pim_heap *heap);

// Bytes [from, to) of a page are about to be written for the first time.
void pim_heap_touch(pim_heap *heap, pim_page *page, size_t from, size_t to);

// How many of main's first arenas are huge pages.  Written at the installation.
extern unsigned pim_huge_at_start;

// Takes the units behind a run into it.  False: they are not all free.
bool pim_heap_extend_run(pim_heap *heap, pim_page *first, unsigned units,
                         unsigned more);

// Frees units at the end of a run.  May purge, and so release any empty page.
void pim_heap_free_units(pim_heap *heap, pim_page *first, unsigned units);

// Releases what holds no live block and is kept for later: idle runs, and empty
// pages, current ones too.  Does not purge.
void pim_heap_release_idle(pim_heap *heap);

// Purges if the heap keeps more idle memory than it may, else later.
void pim_heap_limit_idle(pim_heap *heap);

// The heap is about to keep less idle memory, or none.
void pim_heap_give_up_grants(pim_heap *heap);

// Returns idle memory if it is time to.
void pim_heap_purge_if_due(pim_heap *heap);

// Something became idle: the next purge is PIM_PURGE_DELAY_MS away, or nearer.
// Does not look at the clock.
void pim_heap_purge_later(pim_heap *heap);

// The page gained free blocks: it goes to the partial list, or away if empty.
void pim_heap_page_gained(pim_heap *heap, pim_page *page);

void pim_heap_insert_partial(pim_heap *heap, pim_page *page);

// Takes all current pages away, so that each request comes to the slow path.
void pim_heap_shelve_current(pim_heap *heap);

// The arena becomes the heap's; `as_estate`: it holds what is left of another.
void pim_heap_gain_arena(pim_heap *heap, pim_arena *arena, bool as_estate);
void pim_heap_lose_arena(pim_heap *heap, pim_arena *arena);

// A leftover of the sealed page was freed: its arena may be worth inheriting now.
void pim_heap_room_made(pim_heap *heap, pim_page *page);

// Estates (estate.c).  Takes over an arena of an ended interpreter for a run of
// `units`, with the pages of it that have room if this heap is to be kept when it
// ends.  False: there is none.
bool pim_heap_inherit(pim_heap *heap, unsigned units);

// Frees a block in a page of the process heap; its lock is held.
void pim_estate_free(pim_page *page, void *block);

// Frees a block in a page of the heap that holds leftovers.
void pim_heap_free_inherited(pim_heap *heap, pim_page *page, void *block);

// What an heir may want (warm.c).  All under the process heap's lock.

// The page was sealed: returns what of its memory nobody would inherit.
void pim_warm_sealed(const pim_page *page);

// The sealed page is not inherited with its arena: returns the same.
void pim_warm_passed_over(const pim_page *page);

// An arena is about to become an estate: keeps its idle memory or returns it.
void pim_warm_keep(pim_arena *arena);

// The arena is no estate any more.
void pim_warm_forget(pim_arena *arena);

// Gives back what is kept: all of it, or what nobody wanted in time.  Returns
// bytes given back.
size_t pim_warm_trim(bool all);

// When to call pim_warm_trim(), in now_ms(); 0: nothing is kept.  Any thread.
extern _Atomic uint64_t pim_warm_until;

// Gives back the memory of one arena's free units, and the arena if it is empty.
// Adds to *bytes; returns whether the heap still has the arena.
bool pim_heap_purge_arena(pim_heap *heap, pim_arena *arena, bool all,
                          size_t *bytes);

// Finds whose block lies at an address: that heap's id, PIM_PROCESS_ID for what
// has no living owner.  Any address inside a small block will do; of a large one
// only its start.  False: there is no block of ours.  Any thread.
bool pim_heap_find_owner(const void *address, int64_t *id);

// Puts into words what small block an address is in, for a message before the
// process ends: takes no lock and trusts no more than the page's descriptor, which
// the caller has read.  False: it is in none.
bool pim_heap_describe(const void *address, char *text, size_t size);

// Gives memory of empty pages back that was idle for a tick, or all of it.
// Returns bytes given back.  Owner, inside the gate.
size_t pim_heap_purge(pim_heap *heap, bool all);

// Gives free units back for an owner who may be at work, and asks it to give the
// rest back at its next slow path.  The gate is closed by the caller.  Like
// pim_heap_purge() otherwise; without `all` the owner is not asked.
size_t pim_heap_purge_from_outside(pim_heap *heap, bool all);

// Returns idle memory, and takes the pages with free blocks out of use until they
// are empty.  Owner, inside the gate.
void pim_heap_freeze(pim_heap *heap);

// Checks every page and list.  Owner; slow.
void pim_heap_audit(pim_heap *heap);

#endif // PIM_HEAP_HEAP_H

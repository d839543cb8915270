// shadow.c -- words for the region's blocks, a table for the others.
//
//   arena->notes --> | word | word | ...     one for each PIM_ALIGNMENT bytes
//                       |
//                       '- id of the heap's interpreter | size | domain | state
//
// Words are changed by one atomic operation each, so that of two threads that
// free a block at the same time one finds it free.  The table has a lock.

#include <string.h>

#include "arena/region.h"
#include "base/bits.h"
#include "domain/shadow.h"
#include "heap/heap.h"
#include "platform/os.h"

// --- words -----------------------------------------------------------------

#define STATE_MASK UINT64_C(3)
#define DOMAIN_SHIFT 2
#define SIZE_SHIFT 4
#define ID_SHIFT 12 // CPython would have to count for ages to need more bits

#define PLACES (PIM_ARENA_SIZE / PIM_ALIGNMENT)
#define WORDS_BYTES (PLACES * sizeof(known_word))

typedef _Atomic uint64_t known_word;

static _Atomic bool forgot; // there was no memory for something

_Static_assert(PIM_CLASSES + PIM_SPAN_UNITS < 1 << (ID_SHIFT - SIZE_SHIFT),
               "a size fits into its bits");

// A class, or how many units a span has.
static unsigned
size_code(const pim_page *page)
{
    return page->size_class == PIM_CLASS_SPAN
               ? PIM_CLASSES + pim_page_units(page)
               : page->size_class;
}

static size_t
size_of_code(unsigned code)
{
    return code < PIM_CLASSES ? pim_classes[code].block_size
                              : (size_t)(code - PIM_CLASSES) << PIM_UNIT_SHIFT;
}

static pim_shadow
of_word(uint64_t word, const void *start)
{
    return (pim_shadow){
        .state = (pim_shadow_state)(word & STATE_MASK),
        .domain = (unsigned)(word >> DOMAIN_SHIFT & 3),
        .start = start,
        .bytes = size_of_code((unsigned)(word >> SIZE_SHIFT & 0xff)),
        .interp = (int64_t)(word >> ID_SHIFT) - 1,
    };
}

// The words of an address's arena; NULL: there are none (yet).
static known_word *
words_of(const void *address, bool make)
{
    _Atomic(known_word *) *domain_index = &pim_arena_holding(address)->notes;
    known_word *found = pim_load_acquire(domain_index);
    if (found == NULL && make) {
        known_word *made = pim_os->map(WORDS_BYTES);
        if (made == NULL) {
            pim_store_relaxed(&forgot, true);
        } else if (atomic_compare_exchange_strong(domain_index, &found, made)) {
            found = made;
        } else {
            pim_os->unmap(made, WORDS_BYTES); // another thread was faster
        }
    }
    return found;
}

static size_t
place_of(const void *address)
{
    return (uintptr_t)address % PIM_ARENA_SIZE / PIM_ALIGNMENT;
}

static void
add_word(const void *block, unsigned domain, int64_t interp)
{
    known_word *of_arena = words_of(block, true);
    if (of_arena != NULL) {
        uint64_t id = (uint64_t)(interp + 1);
        uint64_t size = size_code(pim_page_of(block));
        pim_store_relaxed(&of_arena[place_of(block)],
                          id << ID_SHIFT | size << SIZE_SHIFT |
                              (uint64_t)domain << DOMAIN_SHIFT |
                              PIM_KNOWN_LIVE);
    }
}

static bool
free_word(const void *block, unsigned domain, pim_shadow *was)
{
    known_word *of_arena = words_of(block, false);
    if (of_arena == NULL || (uintptr_t)block % PIM_ALIGNMENT != 0) {
        return false;
    }
    known_word *word = &of_arena[place_of(block)];
    uint64_t seen = pim_load_relaxed(word);
    uint64_t freed = (seen & ~STATE_MASK) | PIM_KNOWN_FREED;
    *was = of_word(seen, block);
    return was->state == PIM_KNOWN_LIVE && was->domain == domain &&
           atomic_compare_exchange_strong(word, &seen, freed);
}

// Looks at what begins in front of the address, for a live block that contains
// it.
static pim_shadow
find_word(const void *address)
{
    const known_word *of_arena = words_of(address, false);
    const char *at =
        (const char *)pim_align_down((uintptr_t)address, PIM_ALIGNMENT);
    if (of_arena == NULL) {
        return (pim_shadow){.state = PIM_KNOWN_NOT};
    }
    pim_shadow known = of_word(pim_load_relaxed(&of_arena[place_of(at)]), at);
    if (at == address && known.state != PIM_KNOWN_NOT) {
        return known;
    }
    for (size_t place = place_of(at) + 1; place-- > 0; at -= PIM_ALIGNMENT) {
        known = of_word(pim_load_relaxed(&of_arena[place]), at);
        if (known.state == PIM_KNOWN_LIVE) {
            if ((size_t)((const char *)address - at) < known.bytes) {
                return known;
            }
            break;
        }
    }
    return (pim_shadow){.state = PIM_KNOWN_NOT};
}

// --- the table -------------------------------------------------------------

typedef struct entry {
    const void *start; // NULL: never used
    size_t bytes;
    int64_t interp;
    uint8_t domain;
    uint8_t state;
} entry;

#define TABLE_MIN ((size_t)1 << 12)

static PIM_LOCK_SPIN(table_lock);
static entry *table;
static size_t capacity; // a power of two
static size_t used;     // entries that are not NULL
static size_t live;     // of these

static size_t
hash(const void *start)
{
    uint64_t key = (uint64_t)(uintptr_t)start / PIM_ALIGNMENT;
    return (size_t)pim_hash(key, 44);
}

// The entry of an address, or the unused one where it belongs.
static entry *
slot_of(entry *in, size_t n, const void *start)
{
    size_t i = hash(start) & (n - 1);
    while (in[i].start != NULL && in[i].start != start) {
        i = (i + 1) & (n - 1);
    }
    return &in[i];
}

// Makes room for one more.  Free blocks are forgotten for it.
static bool
make_room(void)
{
    if (capacity != 0 && used + 1 < capacity / 4 * 3) {
        return true;
    }
    size_t n = TABLE_MIN;
    while (n < 4 * (live + 1)) {
        n *= 2;
    }
    entry *fresh = pim_os->map(n * sizeof(entry));
    if (fresh == NULL) {
        return used + 1 < capacity;
    }
    for (size_t i = 0; i < capacity; i++) {
        if (table[i].state == PIM_KNOWN_LIVE) {
            *slot_of(fresh, n, table[i].start) = table[i];
        }
    }
    if (table != NULL) {
        pim_os->unmap(table, capacity * sizeof(entry));
    }
    table = fresh;
    capacity = n;
    used = live;
    return true;
}

static void
lock(void)
{
    pim_gate_enter();
    pim_lock_acquire(&table_lock);
}

static void
unlock(void)
{
    pim_lock_release(&table_lock);
    pim_gate_exit();
}

static void
add_entry(const void *block, unsigned domain, size_t bytes, int64_t interp)
{
    lock();
    if (make_room()) {
        entry *e = slot_of(table, capacity, block);
        used += e->start == NULL;
        live += e->state != PIM_KNOWN_LIVE;
        *e = (entry){.start = block,
                     .bytes = bytes,
                     .interp = interp,
                     .domain = (uint8_t)domain,
                     .state = PIM_KNOWN_LIVE};
    } else {
        pim_store_relaxed(&forgot, true);
    }
    unlock();
}

static pim_shadow
of_entry(const entry *e)
{
    return (pim_shadow){.state = (pim_shadow_state)e->state,
                        .domain = e->domain,
                        .start = e->start,
                        .bytes = e->bytes,
                        .interp = e->interp};
}

static bool
free_entry(const void *block, unsigned domain, pim_shadow *was)
{
    bool found = false;
    lock();
    if (capacity != 0) {
        entry *e = slot_of(table, capacity, block);
        *was = of_entry(e);
        found = e->state == PIM_KNOWN_LIVE && e->domain == domain;
        if (found) {
            e->state = PIM_KNOWN_FREED;
            live--;
        }
    }
    unlock();
    return found;
}

static pim_shadow
find_entry(const void *address)
{
    pim_shadow known = {.state = PIM_KNOWN_NOT};
    lock();
    if (capacity != 0) {
        known = of_entry(slot_of(table, capacity, address));
    }
    for (size_t i = 0; i < capacity && known.state == PIM_KNOWN_NOT; i++) {
        const entry *e = &table[i];
        if (e->state == PIM_KNOWN_LIVE &&
            (uintptr_t)address - (uintptr_t)e->start < e->bytes) {
            known = of_entry(e);
        }
    }
    unlock();
    return known;
}

// --- both ------------------------------------------------------------------

void
pim_shadow_add(const void *block, unsigned domain, size_t bytes, int64_t interp)
{
    if (pim_region_contains(block)) {
        add_word(block, domain, interp);
    } else {
        add_entry(block, domain, bytes, interp);
    }
}

bool
pim_shadow_free(const void *block, unsigned domain, pim_shadow *was)
{
    *was = (pim_shadow){.state = PIM_KNOWN_NOT};
    return pim_region_contains(block) ? free_word(block, domain, was)
                                      : free_entry(block, domain, was);
}

pim_shadow
pim_shadow_find(const void *address)
{
    pim_shadow known =
        pim_region_contains(address) ? find_word(address) : find_entry(address);
    known.is_complete = !pim_load_relaxed(&forgot);
    return known;
}

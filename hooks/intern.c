// intern.c -- see intern.h.

#include "hooks/intern.h"

#include <string.h>

#include "base/check.h"
#include "base/keep_errno.h"
#include "platform/gate_lock.h"
#include "platform/os.h"

#define CHUNK_SHIFT 16 // words
#define CHUNK_WORDS (1u << CHUNK_SHIFT)
#define CHUNKS 8192u
#define HEADER_WORDS 2 // kind and length, hash
#define FIRST_SLOTS 4096u

typedef struct lookup {
    struct lookup *smaller;
    uint32_t slots; // a power of two
    uint32_t used;
    _Atomic uint32_t number[];
} lookup;

static PIM_LOCK(lock);
static _Atomic(uint32_t *) chunks[CHUNKS];
static uint32_t next; // word that is free; under the lock, like `mapped`
static uint64_t mapped;
static bool kept;
static _Atomic(lookup *) indices; // the largest first

// --- words -----------------------------------------------------------------

static uint32_t *
at(uint32_t number)
{
    return pim_load_acquire(&chunks[number >> CHUNK_SHIFT]) +
           number % CHUNK_WORDS;
}

const uint32_t *
pim_interned(uint32_t number, unsigned *n)
{
    const uint32_t *item = at(number);
    if (n != NULL) {
        *n = item[0] >> 2;
    }
    return item + HEADER_WORDS;
}

static uint32_t
hash_of(pim_interned_kind kind, const uint32_t *words, unsigned n)
{
    uint64_t hash = kind + 4 * (uint64_t)n;
    for (unsigned i = 0; i < n; i++) {
        hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return (uint32_t)hash;
}

static void *
map(size_t bytes)
{
    void *memory = pim_os->map(bytes);
    mapped += memory != NULL ? bytes : 0;
    return memory;
}

// Room for an item, which does not reach into another chunk; 0: none.
static uint32_t
take_words(unsigned n)
{
    if (next == 0) {
        next = 1; // 0 is no number
    }
    if (next % CHUNK_WORDS + n > CHUNK_WORDS) {
        next = (next | (CHUNK_WORDS - 1)) + 1;
    }
    uint32_t chunk = next >> CHUNK_SHIFT;
    if (chunk >= CHUNKS) {
        return 0;
    }
    if (pim_load_relaxed(&chunks[chunk]) == NULL) {
        uint32_t *words = map(CHUNK_WORDS * sizeof(*words));
        if (words == NULL) {
            return 0;
        }
        pim_store_release(&chunks[chunk], words);
    }
    uint32_t number = next;
    next += n;
    return number;
}

// --- the index -------------------------------------------------------------

static bool
is_at(uint32_t number, uint32_t hash, pim_interned_kind kind,
      const uint32_t *words, unsigned n)
{
    const uint32_t *item = at(number);
    return item[1] == hash && item[0] == (n << 2 | (uint32_t)kind) &&
           memcmp(item + HEADER_WORDS, words, n * sizeof(*words)) == 0;
}

// The number, or 0 and the slot that is free for it.
static uint32_t
look_up(lookup *i, uint32_t hash, pim_interned_kind kind, const uint32_t *words,
        unsigned n, uint32_t *slot)
{
    *slot = hash & (i->slots - 1);
    uint32_t number;
    while ((number = pim_load_acquire(&i->number[*slot])) != 0 &&
           !is_at(number, hash, kind, words, n)) {
        *slot = (*slot + 1) & (i->slots - 1);
    }
    return number;
}

static size_t
index_bytes(uint32_t slots)
{
    return sizeof(lookup) + slots * sizeof(uint32_t);
}

// A larger one, with all that is in the last.  Under the lock.
static lookup *
grow(lookup *last)
{
    uint32_t slots = last == NULL ? FIRST_SLOTS : 2 * last->slots;
    lookup *larger = map(index_bytes(slots));
    if (larger == NULL) {
        return NULL;
    }
    larger->slots = slots;
    larger->smaller = last;
    for (uint32_t i = 0; last != NULL && i < last->slots; i++) {
        uint32_t number = pim_load_relaxed(&last->number[i]);
        if (number != 0) {
            uint32_t slot = at(number)[1] & (slots - 1);
            while (pim_load_relaxed(&larger->number[slot]) != 0) {
                slot = (slot + 1) & (slots - 1);
            }
            pim_store_relaxed(&larger->number[slot], number);
            larger->used++;
        }
    }
    pim_store_release(&indices, larger);
    return larger;
}

// Under the lock.
static uint32_t
add(uint32_t hash, pim_interned_kind kind, const uint32_t *words, unsigned n)
{
    lookup *i = pim_load_relaxed(&indices);
    if (i == NULL || i->used >= i->slots / 2) {
        i = grow(i);
    }
    uint32_t slot;
    uint32_t number = i == NULL ? 0 : look_up(i, hash, kind, words, n, &slot);
    if (i == NULL || number != 0) {
        return number;
    }
    number = take_words(HEADER_WORDS + n);
    if (number != 0) {
        uint32_t *item = at(number);
        item[0] = n << 2 | (uint32_t)kind;
        item[1] = hash;
        memcpy(item + HEADER_WORDS, words, n * sizeof(*words));
        i->used++;
        pim_store_release(&i->number[slot], number); // INTERN-1
    }
    return number;
}

uint32_t
pim_intern(pim_interned_kind kind, const uint32_t *words, unsigned n)
{
    PIM_ASSERT(n <= PIM_INTERN_WORDS);
    uint32_t hash = hash_of(kind, words, n);
    uint32_t slot;
    lookup *i = pim_load_acquire(&indices);
    uint32_t number = i == NULL ? 0 : look_up(i, hash, kind, words, n, &slot);
    if (number == 0) {
        PIM_KEEP_ERRNO;
        pim_lock_enter(&lock);
        number = add(hash, kind, words, n);
        pim_lock_leave(&lock);
    }
    return number;
}

// --- all of it -------------------------------------------------------------

uint64_t
pim_intern_bytes(void)
{
    pim_lock_enter(&lock);
    uint64_t bytes = mapped;
    pim_lock_leave(&lock);
    return bytes;
}

void
pim_intern_keep(void)
{
    pim_lock_enter(&lock);
    kept = true;
    pim_lock_leave(&lock);
}

// Under the lock.
static void
forget(void)
{
    lookup *i = pim_load_relaxed(&indices);
    pim_store_relaxed(&indices, NULL);
    while (i != NULL) {
        lookup *smaller = i->smaller;
        pim_os->unmap(i, index_bytes(i->slots));
        i = smaller;
    }
    for (unsigned c = 0; c < CHUNKS; c++) {
        uint32_t *words = pim_load_relaxed(&chunks[c]);
        if (words != NULL) {
            pim_store_relaxed(&chunks[c], NULL);
            pim_os->unmap(words, CHUNK_WORDS * sizeof(*words));
        }
    }
    next = 0;
    mapped = 0;
}

void
pim_intern_forget(void)
{
    pim_lock_enter(&lock);
    if (!kept) {
        forget();
    }
    pim_lock_leave(&lock);
}

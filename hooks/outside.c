// outside.c -- see outside.h.  Open addressing; a place that is given up is
// filled from behind, so there are no tombstones.

#include "hooks/outside.h"

#include "account/account.h"
#include "base/bits.h"
#include "base/keep_errno.h"
#include "pimalloc/hooks.h"
#include "platform/gate_lock.h"
#include "platform/os.h"

#define FEWEST_PLACES 1024u

static PIM_LOCK(lock);
static pim_traced_block *table; // address NULL: free
static size_t places;           // a power of two, or 0
static size_t used;

// --- under the lock ----------------------------------------------------------

static size_t
home_of(const void *address)
{
    return (size_t)pim_hash((uintptr_t)address, pim_log2_floor(places));
}

// The place of an address, or the free one that it would get.
static size_t
place_of(const void *address)
{
    size_t i = home_of(address);
    while (table[i].address != NULL && table[i].address != address) {
        i = (i + 1) & (places - 1);
    }
    return i;
}

static bool
resize(size_t wanted)
{
    PIM_KEEP_ERRNO;
    pim_traced_block *old = table;
    size_t old_places = places;
    pim_traced_block *new = pim_os->map(wanted * sizeof(*new));
    if (new == NULL) {
        return false;
    }
    table = new;
    places = wanted;
    for (size_t i = 0; i < old_places; i++) {
        if (old[i].address != NULL) {
            table[place_of(old[i].address)] = old[i];
        }
    }
    if (old != NULL) {
        pim_os->unmap(old, old_places * sizeof(*old));
    }
    return true;
}

static bool
make_room(void)
{
    if (2 * used < places) {
        return true;
    }
    return resize(places == 0 ? FEWEST_PLACES : 2 * places) ||
           used + 1 < places;
}

static void
remove_at(size_t hole)
{
    size_t i = hole;
    for (;;) {
        i = (i + 1) & (places - 1);
        if (table[i].address == NULL) {
            break;
        }
        size_t home = home_of(table[i].address);
        // What is at home behind the hole, going round, stays.
        if (((i - home) & (places - 1)) >= ((i - hole) & (places - 1))) {
            table[hole] = table[i];
            hole = i;
        }
    }
    table[hole].address = NULL;
    used--;
    if (places > FEWEST_PLACES && 8 * used < places) {
        resize(places / 2); // or it stays as it is
    }
}

static pim_traced_block *
find(const void *address)
{
    size_t i = places != 0 ? place_of(address) : 0;
    return places != 0 && table[i].address != NULL ? &table[i] : NULL;
}

// --- from outside ------------------------------------------------------------

bool
pim_outside_put(const pim_traced_block *block, pim_record *stale)
{
    pim_lock_enter(&lock);
    *stale = (pim_record){.stack = 0};
    bool done = make_room();
    if (done) {
        size_t i = place_of(block->address);
        if (table[i].address == NULL) {
            used++;
        } else {
            *stale = table[i].record;
        }
        table[i] = *block;
    }
    pim_lock_leave(&lock);
    return done;
}

bool
pim_outside_take(const void *address, pim_record *out)
{
    pim_lock_enter(&lock);
    pim_traced_block *there = find(address);
    bool found = there != NULL;
    if (found) {
        *out = there->record;
        remove_at((size_t)(there - table));
    }
    pim_lock_leave(&lock);
    return found;
}

bool
pim_outside_find(const void *address, pim_traced_block *out)
{
    pim_lock_enter(&lock);
    const pim_traced_block *there = find(address);
    bool found = there != NULL;
    if (found) {
        *out = *there;
    }
    pim_lock_leave(&lock);
    return found;
}

bool
pim_outside_mark_code(const void *address)
{
    pim_lock_enter(&lock);
    pim_traced_block *there = find(address);
    bool found = there != NULL;
    if (found) {
        there->record.is_code = true;
    }
    pim_lock_leave(&lock);
    return found;
}

int
pim_outside_each(int64_t interp, pim_block_visitor visit, void *arg)
{
    int result = 0;
    pim_lock_enter(&lock);
    for (size_t i = 0; i < places && result == 0; i++) {
        const pim_traced_block *b = &table[i];
        if (b->address != NULL && b->record.stack != 0 &&
            (interp == PIMALLOC_EACH || b->interp == interp)) {
            result = visit(arg, b);
        }
    }
    pim_lock_leave(&lock);
    return result;
}

// Removal moves others from behind to where it was; if the table becomes smaller,
// they are anywhere.
void
pim_outside_forget(int64_t interp)
{
    pim_lock_enter(&lock);
    for (size_t i = 0; i < places;) {
        size_t before = places;
        if (table[i].address == NULL ||
            (interp != PIMALLOC_EACH && table[i].interp != interp)) {
            i++;
            continue;
        }
        remove_at(i);
        i = places == before ? i : 0;
    }
    if (used == 0 && table != NULL) {
        pim_os->unmap(table, places * sizeof(*table));
        table = NULL;
        places = 0;
    }
    pim_lock_leave(&lock);
}

void
pim_outside_ended(int64_t interp, bool keeps)
{
    if (!keeps) {
        pim_outside_forget(interp);
        return;
    }
    pim_lock_enter(&lock);
    for (size_t i = 0; i < places; i++) {
        if (table[i].address != NULL && table[i].interp == interp) {
            table[i].interp = PIM_PROCESS_ID;
        }
    }
    pim_lock_leave(&lock);
}

uint64_t
pim_outside_bytes(void)
{
    pim_lock_enter(&lock);
    uint64_t bytes = places * sizeof(*table);
    pim_lock_leave(&lock);
    return bytes;
}

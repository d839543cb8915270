// lives.c -- a table of what is live, by address.

#include "lives.h"

#define NOBODY UINT32_MAX
#define PROCESS (-1) // as an interpreter's id
#define RAW 0        // the domain

typedef struct entry {
    uint64_t address; // 0: none
    uint64_t size;
    int64_t interp;
    uint32_t block;
    uint32_t domain;
} entry;

struct lives {
    log_file *log;
    bool failed;
    lives_count count;
    entry *table; // open addressing
    size_t slots; // a power of two
    size_t used;
    uint32_t *spare; // numbers that are nobody's
    size_t spare_count, spare_room;
    entry *away; // of each stream: what is being resized; address 0: none
    size_t streams;
    bool again;      // the event is to be taken once more
    log_event event; // that one
    size_t swept;    // of the table, for an interpreter that ended
};

// --- the table ---------------------------------------------------------------

static size_t
home(const lives *l, uint64_t address)
{
    return (size_t)((address >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 20) &
           (l->slots - 1);
}

// Its entry, or the free one where it would be.
static entry *
find(const lives *l, uint64_t address)
{
    size_t i = home(l, address);
    while (l->table[i].address != 0 && l->table[i].address != address) {
        i = (i + 1) & (l->slots - 1);
    }
    return &l->table[i];
}

static bool
grow(lives *l)
{
    entry *old = l->table;
    size_t slots = l->slots;
    size_t bytes = slots * sizeof(entry);
    entry *table = log_map(bytes * 2);
    if (table == NULL) {
        return false;
    }
    l->table = table;
    l->slots *= 2;
    for (size_t i = 0; i < slots; i++) {
        if (old[i].address != 0) {
            *find(l, old[i].address) = old[i];
        }
    }
    log_unmap(old, bytes);
    return true;
}

static bool
insert(lives *l, entry new)
{
    if (l->used * 2 >= l->slots && !grow(l)) {
        l->failed = true;
        return false;
    }
    *find(l, new.address) = new;
    l->used++;
    return true;
}

// Those behind it move up, so that nobody looks for them in vain.
static void
remove_entry(lives *l, entry *gone)
{
    size_t hole = (size_t)(gone - l->table);
    size_t mask = l->slots - 1;
    for (size_t i = (hole + 1) & mask; l->table[i].address != 0;
         i = (i + 1) & mask) {
        size_t from = home(l, l->table[i].address);
        if (((i - from) & mask) >= ((i - hole) & mask)) {
            l->table[hole] = l->table[i];
            hole = i;
        }
    }
    l->table[hole].address = 0;
    l->used--;
}

// --- numbers -----------------------------------------------------------------

static uint32_t
take_number(lives *l)
{
    return l->spare_count != 0 ? l->spare[--l->spare_count] : l->count.blocks++;
}

static void
give_number(lives *l, uint32_t number)
{
    if (l->spare_count == l->spare_room) {
        size_t bytes = l->spare_room * sizeof(*l->spare);
        uint32_t *grown = log_remap(l->spare, bytes, bytes * 2);
        if (grown == NULL) {
            l->failed = true;
            return;
        }
        l->spare = grown;
        l->spare_room *= 2;
    }
    l->spare[l->spare_count++] = number;
}

// --- what becomes of an event ------------------------------------------------

static void
tell(const lives *l, life *out, enum life_what what, const entry *e,
     uint64_t size)
{
    *out = (life){.what = what,
                  .zeroed = l->event.zeroed && what == LIFE_BEGINS,
                  .domain = e->domain,
                  .block = e->block,
                  .size = size,
                  .before = e->size,
                  .interp = e->interp,
                  .clock_ms = l->event.clock_ms};
}

static bool
ends(lives *l, entry *e, life *out)
{
    tell(l, out, LIFE_ENDS, e, e->size);
    l->count.live_blocks--;
    l->count.live_bytes -= e->size;
    give_number(l, e->block);
    remove_entry(l, e);
    return true;
}

static bool
begins(lives *l, unsigned domain, int64_t interp, life *out)
{
    const log_event *event = &l->event;
    entry new = {.address = event->address,
                 .size = event->size,
                 .interp = interp,
                 .domain = domain,
                 .block = take_number(l)};
    l->count.live_blocks++;
    l->count.live_bytes += new.size;
    tell(l, out, LIFE_BEGINS, &new, new.size);
    return insert(l, new);
}

// Who still is at the address of one that comes was freed and nobody saw it.
static bool
makes_room(lives *l, life *out)
{
    entry *e = find(l, l->event.address);
    if (e->address == 0) {
        return false;
    }
    l->count.reused++;
    l->again = true;
    return ends(l, e, out);
}

static bool
frees(lives *l, life *out)
{
    entry *e = find(l, l->event.address);
    if (e->address == 0) {
        l->count.strangers++;
        return false;
    }
    l->count.frees++;
    return ends(l, e, out);
}

static void
leaves(lives *l)
{
    entry *e = find(l, l->event.address);
    entry *away = &l->away[l->event.stream];
    if (e->address == 0) {
        l->count.strangers++;
        *away = (entry){.domain = l->event.domain,
                        .interp = PROCESS,
                        .address = l->event.address,
                        .block = NOBODY};
        return;
    }
    *away = *e;
    remove_entry(l, e);
}

// Of one that was there before the recording the size is known only now.
static bool
arrives(lives *l, life *out)
{
    entry *away = &l->away[l->event.stream];
    entry e = *away;
    if (e.address == 0) { // what it left is lost
        return false;
    }
    away->address = 0;
    if (e.block == NOBODY) {
        l->count.allocs++;
        return begins(l, e.domain, e.interp, out);
    }
    l->count.resizes++;
    l->count.live_bytes += l->event.size - e.size;
    tell(l, out, LIFE_RESIZED, &e, l->event.size);
    e.address = l->event.address;
    e.size = l->event.size;
    return insert(l, e);
}

static void
stays(lives *l)
{
    entry *away = &l->away[l->event.stream];
    if (away->address != 0 && away->block != NOBODY) {
        insert(l, *away);
    }
    away->address = 0;
}

// What an interpreter leaves is the process's, or gone without frees.
static bool
sweeps(lives *l, life *out)
{
    for (; l->swept < l->slots; l->swept++) {
        entry *e = &l->table[l->swept];
        if (e->address == 0 || e->interp != l->event.interp) {
            continue;
        }
        if (!l->event.kept && e->domain != RAW) {
            l->again = true;
            return ends(l, e, out);
        }
        e->interp = PROCESS;
    }
    l->swept = 0;
    l->count.ended++;
    return false;
}

// Whether something becomes of it.
static bool
take(lives *l, life *out)
{
    switch (l->event.what) {
    case LOG_ALLOC:
        if (makes_room(l, out)) {
            return true;
        }
        l->count.allocs++;
        return begins(l, l->event.domain, l->event.interp, out);
    case LOG_FREE:
        return frees(l, out);
    case LOG_LEAVES:
        leaves(l);
        return false;
    case LOG_ARRIVES:
        return makes_room(l, out) || arrives(l, out);
    case LOG_STAYS:
        stays(l);
        return false;
    case LOG_BORN:
        l->count.born++;
        return false;
    case LOG_ENDED:
        return sweeps(l, out);
    }
    return false;
}

bool
lives_next(lives *l, life *out)
{
    while (!l->failed) {
        if (!l->again && !log_next(l->log, &l->event)) {
            return false;
        }
        l->again = false;
        if (take(l, out)) {
            return !l->failed;
        }
    }
    return false;
}

// --- the whole ---------------------------------------------------------------

lives *
lives_open(log_file *log)
{
    lives *l = log_map(sizeof(*l));
    if (l == NULL) {
        return NULL;
    }
    l->log = log;
    l->slots = (size_t)1 << 12;
    l->table = log_map(l->slots * sizeof(entry));
    l->spare_room = (size_t)1 << 12;
    l->spare = log_map(l->spare_room * sizeof(*l->spare));
    l->streams = log_streams(log) + 1;
    l->away = log_map(l->streams * sizeof(entry));
    if (l->table == NULL || l->spare == NULL || l->away == NULL) {
        lives_close(l);
        return NULL;
    }
    return l;
}

void
lives_close(lives *l)
{
    log_unmap(l->table, l->slots * sizeof(entry));
    log_unmap(l->spare, l->spare_room * sizeof(*l->spare));
    log_unmap(l->away, l->streams * sizeof(entry));
    log_unmap(l, sizeof(*l));
}

bool
lives_failed(const lives *l)
{
    return l->failed;
}

const lives_count *
lives_counted(const lives *l)
{
    return &l->count;
}

bool
lives_has(const lives *l, uint64_t address)
{
    return find(l, address)->address != 0;
}

// leaks.c -- what is left of an interpreter: counted by kind, and told.
//
//   last event -> observe(): walk, count -> memory is given back -> notify()
//                 under locks                                  none
//
// A kind is a domain, a size class, and for objects their type.  The table has
// a map of its own, for the heaps around it are locked.  What finds no room in
// it is counted in one sum.
//
// Raw blocks are not looked at: much that one interpreter allocates in the raw
// domain belongs to the runtime or to another one, and is meant to stay.
//
// The main interpreter has no last event; see pim_leaks_of_main().

#define _GNU_SOURCE

#include "api/leaks.h"

#include <stdlib.h>
#include <string.h>

#include "api/leaks_write.h"
#include "base/bits.h"
#include "cpython/bind.h"
#include "cpython/object.h"
#include "cpython/symbols.h"
#include "interp/registry.h"
#include "interp/retire.h"
#include "interp/roster.h"
#include "interp/walk.h"
#include "platform/file.h"
#include "platform/lock.h"
#include "platform/os.h"
#include "platform/say.h"

#define KINDS 1024
#define TYPES 512

typedef struct table {
    pimalloc_leaks sum;
    size_t type_count;
    pim_type types[TYPES];      // by hash of the address
    pimalloc_leak kinds[KINDS]; // by hash, a name's address included
    pimalloc_leak sorted[KINDS];
} table;

// Written at install.
static pim_leaks_form form;
static const char *file;

static PIM_LOCK(lock); // callback, arg
static pimalloc_leaks_callback callback;
static void *callback_arg;
static _Atomic uint64_t found;

// --- counting --------------------------------------------------------------

static size_t
hash(uintptr_t key, size_t size)
{
    return (size_t)pim_hash(key, 32) % size;
}

// The type at an address; NULL: there is none, or no room for another one.
static const pim_type *
find_type(table *t, const void *address)
{
    size_t at = hash((uintptr_t)address, TYPES);
    while (t->types[at].address != NULL) {
        if (t->types[at].address == address) {
            return &t->types[at];
        }
        at = (at + 1) % TYPES;
    }
    pim_type read;
    if (address == NULL || t->type_count == TYPES - 1 ||
        !pim_type_read(address, &read)) {
        return NULL;
    }
    t->type_count++;
    t->types[at] = read;
    return &t->types[at];
}

// NULL: no object that is recognised.
static const pim_type *
type_of_block(table *t, const pim_found *block)
{
    const void *candidates[PIM_TYPE_PLACES];
    if (block->domain != PIM_OBJ) {
        return NULL;
    }
    pim_object_candidates(block->address, block->bytes, candidates);
    for (unsigned place = 0; place < PIM_TYPE_PLACES; place++) {
        const pim_type *type = find_type(t, candidates[place]);
        if (type != NULL &&
            pim_type_fits(type, place, block->address, block->bytes)) {
            return type;
        }
    }
    return NULL;
}

static bool
is_same_kind(const pimalloc_leak *a, const pimalloc_leak *b)
{
    return a->type == b->type && a->domain == b->domain &&
           a->size_class == b->size_class && a->is_pythons == b->is_pythons;
}

// The place of a kind in the table, or NULL if there is none left.
static pimalloc_leak *
find_kind(table *t, const pimalloc_leak *kind)
{
    uintptr_t key = (uintptr_t)kind->type ^
                    (uintptr_t)(kind->domain * 1024 + kind->size_class) * 2 ^
                    (uintptr_t)kind->is_pythons;
    size_t at = hash(key, KINDS);
    for (size_t i = 0; i < KINDS; i++, at = (at + 1) % KINDS) {
        pimalloc_leak *there = &t->kinds[at];
        if (there->blocks == 0 || is_same_kind(there, kind)) {
            return there;
        }
    }
    return NULL;
}

static int
count(void *arg, const pim_found *block)
{
    table *t = arg;
    pimalloc_leaks *sum = &t->sum;
    if (block->domain == PIM_RAW) {
        return 0;
    }
    const pim_type *type = type_of_block(t, block);
    bool is_pythons =
        type != NULL && pim_object_is_pythons(type, block->address);
    pimalloc_leak kind = {.type = type != NULL ? type->name : NULL,
                          .domain = (int)block->domain,
                          .size_class = (int)block->size_class,
                          .is_pythons = is_pythons};
    sum->blocks++;
    sum->bytes += block->bytes;
    sum->python_blocks += is_pythons;
    sum->python_bytes += is_pythons ? block->bytes : 0;
    pimalloc_leak *place = find_kind(t, &kind);
    if (place == NULL) {
        sum->more_blocks++;
        sum->more_bytes += block->bytes;
        return 0;
    }
    kind.blocks = place->blocks + 1;
    kind.bytes = place->bytes + block->bytes;
    *place = kind;
    return 0;
}

static size_t
table_bytes(void)
{
    return pim_align_up(sizeof(table), pim_os_page_size());
}

// NULL: no memory.
static void *
look(pim_heap *heap)
{
    table *t = pim_os->map(table_bytes());
    if (t != NULL) {
        t->sum = (pimalloc_leaks){.size = sizeof(t->sum),
                                  .interp = heap->id,
                                  .generation = heap->generation,
                                  .leak_size = sizeof(pimalloc_leak)};
        pim_walk_heap(heap, count, t);
    }
    return t;
}

// --- telling ---------------------------------------------------------------

static int
more_bytes_first(const void *a, const void *b)
{
    const pimalloc_leak *left = a;
    const pimalloc_leak *right = b;
    return left->bytes != right->bytes ? (left->bytes < right->bytes) * 2 - 1
           : left->domain != right->domain
               ? left->domain - right->domain
               : left->size_class - right->size_class;
}

static void
sort(table *t)
{
    size_t n = 0;
    for (size_t i = 0; i < KINDS; i++) {
        if (t->kinds[i].blocks != 0) {
            t->sorted[n++] = t->kinds[i];
        }
    }
    qsort(t->sorted, n, sizeof(t->sorted[0]), more_bytes_first);
    t->sum.count = n;
    t->sum.leaks = t->sorted;
}

static void
write_report(const pimalloc_leaks *leaks)
{
    bool as_json = form == PIM_LEAKS_JSON;
    if (file == NULL) {
        (void)pim_leaks_write(pim_say_fd(), leaks, as_json);
        return;
    }
    pim_file out;
    int err = pim_file_open(&out, file, PIM_FILE_APPEND);
    if (err == 0) {
        err = pim_file_close(&out, pim_leaks_write(out.fd, leaks, as_json));
    }
    if (err != 0) {
        pim_say("pimalloc: what an interpreter left could not be written to "
                "%s: %s; name a file in a folder that this process may write "
                "to\n",
                out.path[0] != '\0' ? out.path : file, strerror(-err));
    }
}

static void
tell(void *seen)
{
    table *t = seen;
    if (t == NULL) {
        return;
    }
    sort(t);
    pim_add_relaxed(&found, t->sum.blocks - t->sum.python_blocks);
    pim_gate_enter();
    pim_lock_acquire(&lock);
    pimalloc_leaks_callback call = callback;
    void *arg = callback_arg;
    pim_lock_release(&lock);
    pim_gate_exit();
    if (call != NULL) {
        call(arg, &t->sum);
    }
    if (form != PIM_LEAKS_UNTOLD) {
        write_report(&t->sum);
    }
    pim_os->unmap(t, table_bytes());
}

// --- who asks --------------------------------------------------------------

static const pim_end_watch watch = {look, tell};

static bool
is_asked(void)
{
    return form != PIM_LEAKS_UNTOLD || callback != NULL;
}

void
pim_leaks_start(const pim_options *options)
{
    form = options->leaks;
    file = options->leaks_file;
    pim_gate_enter();
    pim_lock_acquire(&lock);
    pim_store_release(&pim_end_watcher, is_asked() ? &watch : NULL);
    pim_lock_release(&lock);
    pim_gate_exit();
}

void
pimalloc_leaks_set(pimalloc_leaks_callback new_callback, void *arg)
{
    pim_gate_enter();
    pim_lock_acquire(&lock);
    callback = new_callback;
    callback_arg = arg;
    pim_store_release(&pim_end_watcher, is_asked() ? &watch : NULL);
    pim_lock_release(&lock);
    pim_gate_exit();
}

bool
pim_leaks_of_main(void)
{
    pim_heap *heap = pim_registry_heap(0);
    if (heap == NULL || !pim_interp_is_served() || pim_py.is_initialized()) {
        return false;
    }
    if (is_asked()) {
        tell(look(heap));
    }
    return true;
}

uint64_t
pim_leaks_found(void)
{
    return pim_load_relaxed(&found);
}

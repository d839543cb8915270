// chain.c -- see chain.h.

#include "hooks/chain.h"

#include <errno.h>
#include <string.h>

#include "arena/region.h"
#include "domain/hooked.h"
#include "domain/raw_small.h"
#include "hooks/frames.h"
#include "hooks/readers.h"
#include "interp/current.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "platform/epoch.h"
#include "platform/closing.h"
#include "platform/gate_lock.h"
#include "platform/os.h"

// A hook in the chain.
typedef struct hooked {
    pimalloc_hook hook;
    int64_t interp;
    int handle;
    bool on;
} hooked;

// The newest first; those that are on.
typedef struct chain {
    unsigned count;
    hooked hooks[PIMALLOC_HOOKS_MAX];
} chain;

struct pimalloc_next {
    const chain *chain;
    unsigned at; // the next one to ask
    unsigned domain;
    int64_t interp;
};

static PIM_LOCK(lock);  // taken inside the gate; guards what follows
static bool changing;   // somebody waits for readers
static bool stuck;      // and gave up: the other chain may still be read
static chain all = {0}; // also those that are off

static chain chains[2];
static _Atomic(const chain *) shown = &chains[0];

// --- requests --------------------------------------------------------------

static bool
covers(const hooked *h, int64_t interp)
{
    return h->interp == PIMALLOC_EACH || h->interp == interp;
}

// What comes behind a hook.  Copied field by field: a wider copy of what was
// just written would wait for the stores.
PIM_INLINE pimalloc_next
behind(const pimalloc_next *next, unsigned at)
{
    return (pimalloc_next){.chain = next->chain,
                           .at = at + 1,
                           .domain = next->domain,
                           .interp = next->interp};
}

// The place of the next hook that sees the request and has the function at that
// offset, or the end of the chain.
PIM_INLINE unsigned
advance(const pimalloc_next *next, size_t function)
{
    unsigned at = next->at;
    for (; at < next->chain->count; at++) {
        const hooked *h = &next->chain->hooks[at];
        if (covers(h, next->interp) &&
            *(void *const *)(const void *)((const char *)&h->hook + function) !=
                NULL) {
            break;
        }
    }
    return at;
}

void *
pimalloc_next_alloc(const pimalloc_next *next, size_t size, int zero)
{
    unsigned at = advance(next, offsetof(pimalloc_hook, alloc));
    if (at == next->chain->count) {
        return pim_unhooked_alloc(next->domain, size, zero != 0);
    }
    pimalloc_next rest = behind(next, at);
    const pimalloc_hook *hook = &next->chain->hooks[at].hook;
    return hook->alloc(hook->ctx, &rest, size, zero);
}

void *
pimalloc_next_resize(const pimalloc_next *next, void *block, size_t size)
{
    if (block == NULL) {
        return pimalloc_next_alloc(next, size, 0);
    }
    unsigned at = advance(next, offsetof(pimalloc_hook, resize));
    if (at == next->chain->count) {
        return pim_unhooked_resize(next->domain, block, size);
    }
    pimalloc_next rest = behind(next, at);
    const pimalloc_hook *hook = &next->chain->hooks[at].hook;
    return hook->resize(hook->ctx, &rest, block, size);
}

void
pimalloc_next_free(const pimalloc_next *next, void *block)
{
    if (block == NULL) {
        return;
    }
    unsigned at = advance(next, offsetof(pimalloc_hook, free));
    if (at == next->chain->count) {
        pim_unhooked_free(next->domain, block);
        return;
    }
    pimalloc_next rest = behind(next, at);
    const pimalloc_hook *hook = &next->chain->hooks[at].hook;
    hook->free(hook->ctx, &rest, block);
}

int
pimalloc_next_domain(const pimalloc_next *next)
{
    return (int)next->domain;
}

int64_t
pimalloc_next_interp(const pimalloc_next *next)
{
    return next->interp;
}

// Which interpreter answers is asked before the reader begins: that may make an
// interpreter known, which is told to the chain.
static pimalloc_next
begin(unsigned domain, int64_t interp, pim_reader *reader)
{
    pim_reader_enter(reader);
    return (pimalloc_next){
        .chain = pim_load_acquire(&shown), .domain = domain, .interp = interp};
}

static void *
request_alloc(unsigned domain, size_t size, bool zero)
{
    pim_reader reader;
    pimalloc_next next = begin(domain, pim_request_interp(domain), &reader);
    void *block = pimalloc_next_alloc(&next, size, zero);
    pim_reader_leave(&reader);
    return block;
}

static void *
request_resize(unsigned domain, void *block, size_t size)
{
    pim_reader reader;
    pimalloc_next next =
        begin(domain, pim_block_interp(domain, block), &reader);
    void *resized = pimalloc_next_resize(&next, block, size);
    pim_reader_leave(&reader);
    return resized;
}

static void
request_free(unsigned domain, void *block)
{
    pim_reader reader;
    pimalloc_next next =
        begin(domain, pim_block_interp(domain, block), &reader);
    pimalloc_next_free(&next, block);
    pim_reader_leave(&reader);
}

static const pim_request_ops requests = {request_alloc, request_resize,
                                         request_free};

// --- who is hooked ---------------------------------------------------------

static bool
chain_covers(const chain *c, int64_t interp)
{
    bool found = false;
    for (unsigned i = 0; i < c->count && !found; i++) {
        found = covers(&c->hooks[i], interp);
    }
    return found;
}

static void
mark(void *arg, pim_heap *heap)
{
    pim_store_relaxed(&heap->hooked, chain_covers(arg, heap->id));
}

// The chain is shown; threads do by it from their next request on.  Under the
// lock.
static void
apply(chain *c)
{
    bool process = chain_covers(c, PIM_PROCESS_ID);
    pim_store_relaxed(&pim_hooked_process, process);
    pim_raw_small_expose(!process);
    pim_registry_each_heap(mark, c);
    pim_store_release(&pim_hooked, c->count != 0 ? &requests : NULL);
    atomic_fetch_add(&pim_epoch, 1);
}

void *
pim_chain_find(void *(*alloc)(void *, const pimalloc_next *, size_t, int),
               int64_t interp)
{
    const chain *now = pim_load_acquire(&shown);
    for (unsigned i = 0; i < now->count; i++) {
        const hooked *h = &now->hooks[i];
        if (h->hook.alloc == alloc && covers(h, interp)) {
            return h->hook.ctx;
        }
    }
    return NULL;
}

// --- births, ends, forks ---------------------------------------------------

// Under the lock, or in a child.
static hooked *
find(int handle)
{
    for (unsigned i = 0; i < all.count; i++) {
        if (all.hooks[i].handle == handle) {
            return &all.hooks[i];
        }
    }
    return NULL;
}

static void
born(pim_heap *heap)
{
    pim_lock_enter(&lock);
    const chain *now = pim_load_acquire(&shown);
    pim_store_relaxed(&heap->hooked, chain_covers(now, heap->id));
    pim_lock_leave(&lock);
    pim_reader reader;
    pim_reader_enter(&reader);
    now = pim_load_acquire(&shown);
    for (unsigned i = 0; i < now->count; i++) {
        const hooked *h = &now->hooks[i];
        if (covers(h, heap->id) && h->hook.interp_born != NULL) {
            h->hook.interp_born(h->hook.ctx, heap->id);
        }
    }
    pim_reader_leave(&reader);
}

static void
ended(int64_t id, bool kept)
{
    pim_reader reader;
    pim_reader_enter(&reader);
    const chain *now = pim_load_acquire(&shown);
    for (unsigned i = 0; i < now->count; i++) {
        const hooked *h = &now->hooks[i];
        if (covers(h, id) && h->hook.interp_ended != NULL) {
            h->hook.interp_ended(h->hook.ctx, id, kept);
        }
    }
    pim_reader_leave(&reader);
}

// An adrift child has no heaps, so there is nothing to see.
static void
in_child(bool adrift)
{
    pim_readers_in_child();
    changing = false;
    stuck = false;
    if (adrift) {
        pim_store_release(&pim_hooked, NULL);
        return;
    }
    pim_frames_in_child();
    const chain now = *pim_load_acquire(&shown); // hooks may change it
    for (unsigned i = 0; i < now.count; i++) {
        const hooked *h = &now.hooks[i];
        const hooked *still = find(h->handle);
        if (h->hook.forked != NULL && still != NULL && still->on) {
            h->hook.forked(h->hook.ctx);
        }
    }
}

static const pim_life_watch lives = {born, ended};

void
pim_chain_start(void)
{
    pim_store_release(&pim_gate_on_fork_child[PIM_CHILD_HOOKS], in_child);
    pim_store_release(&pim_life_watcher, &lives);
}

// --- changes ---------------------------------------------------------------

// Fills the chain that nobody reads and shows it.
static void
show(void)
{
    const chain *old = pim_load_relaxed(&shown);
    chain *next = old == &chains[0] ? &chains[1] : &chains[0];
    next->count = 0;
    for (unsigned i = 0; i < all.count; i++) {
        if (all.hooks[i].on) {
            next->hooks[next->count++] = all.hooks[i];
        }
    }
    pim_store_release(&shown, next);
    apply(next);
}

static bool
take_turn(void)
{
    pim_lock_enter(&lock);
    bool taken = !changing;
    changing = true;
    pim_lock_leave(&lock);
    return taken;
}

static void
give_turn(void)
{
    pim_lock_enter(&lock);
    changing = false;
    pim_lock_leave(&lock);
}

// Changes are this thread's to make, one at a time.  0 or an error.
static int
begin_change(void)
{
    if (pim_region.base == NULL || pim_gate_is_adrift()) {
        return -ENOENT;
    }
    if (pim_gate_self.in_chain) {
        return -EDEADLK;
    }
    uint64_t since = pim_os->now_ms();
    unsigned rounds = 0;
    while (!take_turn()) {
        if (pim_gate_pause(&rounds) &&
            pim_os->now_ms() - since >= 2 * pim_inside_patience_ms) {
            return -EBUSY;
        }
    }
    if (stuck) {
        stuck = !pim_readers_wait();
    }
    if (stuck) {
        give_turn();
    }
    return stuck ? -EBUSY : 0;
}

// One change of `all`: 0, or why there is none.
typedef int edit(int handle, const void *arg);

static int
insert(int handle, const void *arg)
{
    if (all.count == PIMALLOC_HOOKS_MAX) {
        return -ENOSPC;
    }
    memmove(all.hooks + 1, all.hooks, all.count * sizeof(*all.hooks));
    all.count++;
    all.hooks[0] = *(const hooked *)arg;
    all.hooks[0].handle = handle;
    return 0;
}

static int
remove_hook(int handle, const void *arg)
{
    (void)arg;
    hooked *h = find(handle);
    if (h == NULL) {
        return -ENOENT;
    }
    size_t behind = (size_t)(all.hooks + all.count - (h + 1));
    memmove(h, h + 1, behind * sizeof(*h));
    all.count--;
    return 0;
}

static int
switch_hook(int handle, const void *on)
{
    hooked *h = find(handle);
    if (h != NULL) {
        h->on = *(const bool *)on;
    }
    return h != NULL ? 0 : -ENOENT;
}

// An interpreter of the runtime before had the id, and another one may have it.
static int
end_runtime(int handle, const void *arg)
{
    (void)handle, (void)arg;
    for (unsigned i = 0; i < all.count; i++) {
        all.hooks[i].on = all.hooks[i].on && all.hooks[i].interp <= 0;
    }
    return 0;
}

// Changes and shows it in one stay inside the gate, so that a forked child has
// both or neither.  -ETIMEDOUT: somebody may still see what was before.
static int
change(edit *how, int handle, const void *arg)
{
    int err = begin_change();
    if (err != 0) {
        return err;
    }
    pim_lock_enter(&lock);
    err = how(handle, arg);
    if (err == 0) {
        show();
    }
    pim_lock_leave(&lock);
    if (err == 0) {
        stuck = !pim_readers_wait();
        err = stuck ? -ETIMEDOUT : 0;
    }
    give_turn();
    return err;
}

int
pimalloc_hook_push(const pimalloc_hook *hook, int64_t interp)
{
    static _Atomic int last_handle;
    if (hook == NULL || hook->size != sizeof(*hook) || hook->name == NULL ||
        interp < PIMALLOC_EACH) {
        return -EINVAL;
    }
    const hooked new = {.hook = *hook, .interp = interp, .on = true};
    int handle = pim_add_relaxed(&last_handle, 1) + 1;
    int err = change(insert, handle, &new);
    return err == 0 || err == -ETIMEDOUT ? handle : err;
}

int
pimalloc_hook_toggle(int handle, int on)
{
    const bool wanted = on != 0;
    int err = change(switch_hook, handle, &wanted);
    return err == -ETIMEDOUT && wanted ? 0 : err;
}

int
pimalloc_hook_pop(int handle)
{
    return change(remove_hook, handle, NULL);
}

void
pim_chain_new_runtime(void)
{
    if (pim_load_acquire(&pim_hooked) != NULL) {
        change(end_runtime, 0, NULL);
    }
}

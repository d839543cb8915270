// fake_interp.c -- begin, run, end; and who is current.

#include "support/fake_interp.h"

#include <string.h>

#include "domain/birth.h"
#include "domain/domain.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "platform/epoch.h"
#include "support/core.h"

// Like CPython's: the state is not at the block's first byte.
#define STATE_OFFSET 64 // CPython aligns the state inside its block

static __thread fake_tstate *current_tstate; // the word
static __thread fake_tstate own_tstate;      // this thread's

static fake_state main_state;
static fake_interp main_interp;
static _Atomic uint32_t generation;
static _Atomic bool word_is_hidden;
static _Atomic uint64_t resolve_calls;
static _Atomic uint64_t look_calls;

static pim_heap *
main_heap(void)
{
    return pim_registry_birth(&main_state, FAKE_MAIN, fake_python_generation(),
                              NULL, NULL);
}

static pim_heap *
heap_of(const fake_state *interp)
{
    uint32_t runtime = fake_python_generation();
    pim_heap *heap = pim_registry_find(interp, interp->id, runtime);
    if (heap != NULL) {
        return heap;
    }
    if (interp->id == FAKE_MAIN) {
        return main_heap();
    }
    pim_maker maker = pim_birth_maker(interp);
    bool shares = interp->is_legacy && !pim_limit_is_tenant(&maker);
    pim_heap *shared = shares ? main_heap() : NULL;
    if (shares && shared == NULL) {
        return NULL;
    }
    heap = pim_registry_birth(interp, interp->id, runtime, shared, &maker);
    if (interp->is_legacy && !shares && heap != NULL) {
        pim_heap_keep_always(heap);
    }
    return heap;
}

static void
settle(pim_current *self)
{
    if (pim_load_relaxed(&word_is_hidden)) {
        pim_current_hide_word(self);
    } else {
        pim_current_set_word(self,
                             (char *)&current_tstate - pim_thread_pointer());
    }
}

static pim_heap *
look(void)
{
    pim_current *self = &pim_current_self;
    uint64_t epoch = pim_load_acquire(&pim_epoch);
    fake_tstate *tstate = current_tstate;
    pim_add_relaxed(&look_calls, 1);
    if (tstate == NULL) {
        if (!pim_load_relaxed(&word_is_hidden)) {
            settle(self);
            pim_current_remember_none(epoch);
        }
        return NULL;
    }
    if (self->epoch == epoch && self->interp == tstate->interp) {
        return self->heap;
    }
    pim_heap *heap = pim_registry_find(tstate->interp, tstate->interp->id,
                                       fake_python_generation());
    if (heap != NULL) {
        settle(self);
        pim_current_remember(tstate->interp, heap, epoch);
    }
    return heap;
}

static pim_heap *
resolve(void)
{
    pim_current *self = &pim_current_self;
    uint64_t epoch = pim_load_acquire(&pim_epoch);
    fake_tstate *tstate = current_tstate;
    pim_add_relaxed(&resolve_calls, 1);
    if (tstate == NULL) {
        return &pim_process_heap;
    }
    if (self->epoch == epoch && self->interp == tstate->interp) {
        return self->heap; // a thread without a word
    }
    pim_heap *heap = heap_of(tstate->interp);
    if (heap == NULL) {
        return &pim_process_heap;
    }
    settle(self);
    pim_current_remember(tstate->interp, heap, epoch);
    return heap;
}

static void
verify(const void *tstate)
{
    EXPECT(tstate == NULL || tstate == (const void *)current_tstate);
}

void
fake_python_start(void)
{
    pim_add_relaxed(&generation, 1);
    main_state = (fake_state){.id = FAKE_MAIN};
    pthread_mutex_init(&main_interp.own_gil, NULL);
    main_interp.state = &main_state;
    main_interp.gil = &main_interp.own_gil;
    pim_current_resolve = resolve;
    pim_current_lookup = look;
    pim_current_verify = verify;
    pim_birth_expect(FAKE_STATE_BLOCK - STATE_OFFSET);
    atomic_fetch_add(&pim_epoch, 1);
}

uint32_t
fake_python_generation(void)
{
    return pim_load_relaxed(&generation);
}

fake_interp *
fake_main(void)
{
    return &main_interp;
}

void
fake_python_hide_word(bool hide)
{
    pim_store_relaxed(&word_is_hidden, hide);
    atomic_fetch_add(&pim_epoch, 1);
}

uint64_t
fake_resolve_calls(void)
{
    return pim_load_relaxed(&resolve_calls);
}

uint64_t
fake_look_calls(void)
{
    return pim_load_relaxed(&look_calls);
}

// As CPython's: whose thread state is current makes it, or was current last.
bool
fake_interp_make(fake_interp *interp, int64_t id)
{
    interp->block = core_domains[PIM_RAW].malloc(NULL, FAKE_STATE_BLOCK);
    if (interp->block == NULL) {
        return false;
    }
    interp->state =
        (fake_state *)(void *)((char *)interp->block + STATE_OFFSET);
    *interp->state = (fake_state){.id = id};
    pthread_mutex_init(&interp->own_gil, NULL);
    interp->gil = &interp->own_gil;
    return true;
}

void
fake_interp_begin(fake_interp *interp, int64_t id)
{
    if (current_tstate == NULL) {
        pim_current_self.maker.serial = 0;
    }
    EXPECT(fake_interp_make(interp, id));
}

void
fake_interp_begin_legacy(fake_interp *interp, int64_t id)
{
    fake_interp_begin(interp, id);
    interp->state->is_legacy = true;
    interp->gil = main_interp.gil;
}

fake_tstate *
fake_interp_swap(const fake_interp *interp)
{
    fake_tstate *before = current_tstate;
    if (interp != NULL) {
        own_tstate.interp = interp->state;
    }
    current_tstate = interp != NULL ? &own_tstate : NULL;
    return before;
}

fake_tstate *
fake_tstate_current(void)
{
    return current_tstate;
}

void
fake_interp_attach(fake_interp *interp)
{
    pthread_mutex_lock(interp->gil);
    fake_interp_swap(interp);
}

void
fake_interp_detach(fake_interp *interp)
{
    fake_interp_swap(NULL);
    pthread_mutex_unlock(interp->gil);
}

void
fake_interp_end(fake_interp *interp)
{
    fake_tstate *before = current_tstate;
    current_tstate = NULL;
    pthread_mutex_destroy(&interp->own_gil);
    core_domains[PIM_RAW].free(NULL, interp->block);
    current_tstate = before;
    interp->block = NULL;
    interp->state = NULL;
}

void
fake_interp_start(fake_interp *interp)
{
    fake_interp_begin(interp, core_next_id());
    fake_interp_attach(interp);
}

void
fake_interp_stop(fake_interp *interp)
{
    fake_interp_detach(interp);
    fake_interp_end(interp);
}

void *
fake_interp_forget(fake_interp *interp)
{
    void *block = interp->block;
    pthread_mutex_destroy(&interp->own_gil);
    interp->block = NULL;
    interp->state = NULL;
    return block;
}

pim_heap *
fake_current_heap(void)
{
    return pim_current_heap();
}

pim_figures
fake_figures(int64_t id)
{
    pim_figures figures;
    memset(&figures, 0, sizeof(figures));
    EXPECT(pim_registry_figures(id, &figures));
    return figures;
}

void
fake_expect_accounts(const pim_figures *before)
{
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    for (unsigned d = 0; d < PIM_DOMAINS; d++) {
        EXPECT_EQ(now.by_domain[d].live_blocks,
                  before->by_domain[d].live_blocks);
        EXPECT_EQ(now.by_domain[d].live_bytes, before->by_domain[d].live_bytes);
    }
}

void
fake_expect_process(const pim_figures *before)
{
    pim_figures now = fake_figures(PIM_PROCESS_ID);
    EXPECT_EQ(now.by_domain[OBJ].live_blocks,
              before->by_domain[OBJ].live_blocks);
    EXPECT_EQ(now.by_domain[OBJ].live_bytes, before->by_domain[OBJ].live_bytes);
    EXPECT_EQ(now.by_domain[MEM].live_blocks,
              before->by_domain[MEM].live_blocks);
    EXPECT_EQ(now.by_domain[MEM].live_bytes, before->by_domain[MEM].live_bytes);
    EXPECT_EQ(now.pages, before->pages);
    EXPECT_EQ(now.arenas, before->arenas);
}

pim_limit_figures
fake_limit(const pim_heap *heap)
{
    pim_limit_figures figures;
    pim_limit_get(&heap->limit, &figures);
    return figures;
}

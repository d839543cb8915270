// tstate.c -- finding the thread-local word that holds the thread state.
//
// The getter costs a call, twice per malloc and free.  It reads a variable in
// the thread-local block of the module that it is in.  The words of that block
// which hold the state are few (3.15 keeps a second pointer to it), and which of
// them the getter reads is found by trying:
//
//   set a word to NULL -> ask the getter -> set it back
//
// It says NULL exactly if it reads that word.  Nothing else runs in the thread
// meanwhile, as its signals are blocked, and no other thread uses these words.
//
//   UNKNOWN --first attached thread: one word is read--> PROVEN
//                                    none, or several--> NEVER: ask the getter
//
// A proof holds for the offset in one thread.  In another thread it is the same
// offset only if the module's TLS is static, so each thread asks the loader once
// where its own block lies, before it reads any word.  With a libpython that was
// loaded late the block lies elsewhere, and those threads use the getter.
//
// `lock` guards the search; PROVEN and `proven_word` are then constant.

#define _GNU_SOURCE

#include "cpython/tstate.h"

#include <link.h>
#include <signal.h>

typedef enum search_state {
    SEARCH_UNKNOWN,
    SEARCH_PROVEN,
    SEARCH_NEVER,
} search_state;

static pim_lock lock = PIM_LOCK_INIT;
static _Atomic int state = SEARCH_NEVER;
static int searches;           // so far
static ptrdiff_t block_offset; // of the block, from the thread pointer
static ptrdiff_t proven_word;  // in it, likewise
static const char *why = "not asked yet";

typedef struct tls_block {
    uintptr_t address_in_module;
    char *start; // of the calling thread's block; NULL if there is none
    size_t bytes;
} tls_block;

static int
visit_module(struct dl_phdr_info *info, size_t info_size, void *arg)
{
    tls_block *block = arg;
    const ElfW(Phdr) *tls = NULL;
    bool holds_getter = false;
    (void)info_size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_TLS) {
            tls = header;
        }
        if (header->p_type == PT_LOAD &&
            block->address_in_module - info->dlpi_addr - header->p_vaddr <
                header->p_memsz) {
            holds_getter = true;
        }
    }
    if (holds_getter && tls != NULL) {
        block->start = info->dlpi_tls_data;
        block->bytes = tls->p_memsz;
    }
    return holds_getter;
}

static tls_block
find_block(void)
{
    tls_block block = {.address_in_module = (uintptr_t)pim_py.tstate};
    dl_iterate_phdr(visit_module, &block);
    return block;
}

// Whether the calling thread's block lies at block_offset; asked once for each
// search.  A thread remembers the number of the search, negative for no.
static bool
can_reach_words(void)
{
    int *reach = &pim_current_self.reach;
    if (*reach != searches && *reach != -searches) {
        tls_block block = find_block();
        bool there = block.start != NULL &&
                     block.start - pim_thread_pointer() == block_offset;
        *reach = there ? searches : -searches;
    }
    return *reach == searches;
}

// Whether the interpreter lies where the fast path expects it.
static bool
interp_is_in_place(PyThreadState *tstate)
{
    const void *there =
        *(const void *const *)(const void *)((const char *)tstate +
                                             PIM_TSTATE_INTERP);
    return there == pim_py.tstate_interp(tstate);
}

static void
conclude(search_state next, const char *reason)
{
    why = reason;
    pim_store_release(&state, (int)next);
    if (next == SEARCH_PROVEN) {
        atomic_fetch_add(&pim_current_epoch, 1); // threads settle anew
    }
}

// Whether the getter reads the word at `at`, which holds `attached`.
static bool
is_read_by_getter(char *at, PyThreadState *attached)
{
    PyThreadState *volatile *word = (void *)at;
    *word = NULL;
    bool is_read = pim_py.tstate() == NULL;
    *word = attached;
    return is_read;
}

// How many words of the calling thread's block the getter reads; the last of
// them becomes proven_word.
static unsigned
try_words(const tls_block *block, PyThreadState *attached)
{
    unsigned n = 0;
    for (size_t i = 0; i + sizeof(void *) <= block->bytes;
         i += sizeof(void *)) {
        char *at = block->start + i;
        if (*(void *const *)(const void *)at == (void *)attached &&
            is_read_by_getter(at, attached)) {
            proven_word = at - pim_thread_pointer();
            n++;
        }
    }
    return n;
}

static void
search(PyThreadState *attached)
{
    tls_block block = find_block();
    if (block.start == NULL || !interp_is_in_place(attached)) {
        conclude(SEARCH_NEVER, "the thread state lies elsewhere than known");
        return;
    }
    block_offset = block.start - pim_thread_pointer();
    searches++;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    unsigned n = try_words(&block, attached);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (n == 1) {
        conclude(SEARCH_PROVEN, "one word of the module's thread-local data "
                                "is what its getter reads");
    } else {
        conclude(SEARCH_NEVER, "no single word of the module's thread-local "
                               "data is what its getter reads");
    }
}

// NULL is what a thread without a word reads.
static void
verify(const void *tstate)
{
    PIM_CHECK(tstate == NULL || tstate == (const void *)pim_py.tstate(),
              "the thread state read is not the current one", tstate);
}

void
pim_tstate_start(bool by_call)
{
    pim_current_verify = verify;
    if (by_call) {
        conclude(SEARCH_NEVER, "asked for by PIMALLOC_TSTATE=call");
    } else {
        conclude(SEARCH_UNKNOWN, "no thread was attached yet");
    }
}

void
pim_tstate_settle_thread(PyThreadState *attached)
{
    pim_current *self = &pim_current_self;
    if (pim_load_acquire(&state) == SEARCH_UNKNOWN) {
        pim_gate_enter();
        pim_lock_acquire(&lock);
        if (pim_load_relaxed(&state) == SEARCH_UNKNOWN) {
            search(attached);
        }
        pim_lock_release(&lock);
        pim_gate_exit();
    }
    if (pim_load_acquire(&state) == SEARCH_PROVEN && can_reach_words() &&
        pim_thread_word(proven_word) == (void *)attached) {
        pim_current_set_word(self, proven_word);
    } else {
        pim_current_hide_word(self);
    }
}

bool
pim_tstate_settle_detached(void)
{
    pim_current *self = &pim_current_self;
    if (pim_load_acquire(&state) == SEARCH_PROVEN && can_reach_words() &&
        pim_thread_word(proven_word) == NULL) {
        pim_current_set_word(self, proven_word);
        return true;
    }
    return false;
}

bool
pim_tstate_is_word(void)
{
    return pim_load_acquire(&state) == SEARCH_PROVEN;
}

const char *
pim_tstate_describe(void)
{
    return why;
}

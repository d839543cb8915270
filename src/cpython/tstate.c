// tstate.c -- finding the thread-local word that holds the thread state.
//
// The getter costs a call, twice per malloc and free.  It reads a variable in
// the thread-local block of the module that it is in.  The words of that block
// which hold the state are few (3.15 keeps a second pointer to it), and which
// of them the getter reads is found by trying:
//
//   set a word to NULL -> ask the getter -> set it back
//
// It says NULL exactly if it reads that word.  Nothing else runs in the thread
// meanwhile, as its signals are blocked, and no other thread uses these words.
//
//   UNKNOWN --first attached thread: one word is read--> its offset in the block
//                                    none, or several--> NEVER: ask the getter
//
// Each thread has a block and a word of its own, at that offset.  The block of
// a module that was there when the program started is in static TLS, at the
// same distance from every thread pointer.  That of a libpython which was
// loaded late is memory that the loader allocates when the thread first needs
// it.  The loader's __tls_get_addr() finds both kinds.  The getter has needed
// the block before, so it is there, and the call allocates nothing and takes no
// lock.
//
// dl_iterate_phdr() can find the block as well, but takes a lock of the
// loader's.  Another thread may hold that while it waits for the GIL of the one
// that asks (a callback of dl_iterate_phdr() written in Python), and a forked
// child may inherit it locked.  So that is asked for the module alone, by the
// installation.
//
// A block stays where it is as long as its thread lives and its module is
// loaded, which it is until the process ends (pim_py_keep_loaded()).
//
// `lock` guards the search.

#define _GNU_SOURCE

#include "cpython/tstate.h"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>

#include "platform/epoch.h"
#include "platform/gate.h"
#include "platform/lock.h"
#include "platform/module.h"

// Instead of the word's offset.
enum {
    WORD_UNKNOWN = -1,
    WORD_NEVER = -2,
};

// pim_thread.finds; 0: the thread has not asked yet.
enum {
    FINDS_BY_WORD = 1,
    FINDS_BY_CALL,
};

// What __tls_get_addr() takes; the ABI's.
typedef struct tls_place {
    unsigned long module;
    unsigned long offset;
} tls_place;

// The module that has the getter in it.
typedef struct tls_module {
    uintptr_t getter; // an address in it
    size_t id;        // the loader's number; 0: it has no thread-local data
    size_t bytes;     // of a thread's block
} tls_module;

static PIM_LOCK(lock);
static _Atomic ptrdiff_t proven = WORD_NEVER; // offset of the word in the block
static tls_module module;                     // constant once it is found
static void *(*find_place)(tls_place *);      // likewise
static const char *_Atomic why = "not asked yet";

// --- where blocks lie ------------------------------------------------------

static void
look_for_tls(const struct dl_phdr_info *info, void *arg)
{
    tls_module *found = arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_TLS) {
            found->id = info->dlpi_tls_modid;
            found->bytes = info->dlpi_phdr[i].p_memsz;
        }
    }
}

// Finds the getter's module; whether blocks of it can be found.
static bool
find_module(void)
{
    tls_module found = {.getter = (uintptr_t)pim_py.tstate};
    // A function pointer from an object pointer, as POSIX has it.
    void *finder = dlsym(RTLD_DEFAULT, "__tls_get_addr");
    pim_module_find((const void *)found.getter, look_for_tls, &found);
    // In a later runtime it is the same, and other threads read it.
    if (found.getter != module.getter || found.id != module.id) {
        find_place = (__typeof__(find_place))(uintptr_t)finder;
        module = found;
    }
    return module.id != 0 && find_place != NULL;
}

// The distance from the thread pointer to an offset in the calling thread's
// block.  The thread has called the getter before.
static ptrdiff_t
distance_to(ptrdiff_t offset)
{
    tls_place place = {.module = module.id,
                       .offset = (unsigned long)offset - PIM_TLS_BIAS};
    return (char *)find_place(&place) - pim_thread_pointer();
}

// --- the search ------------------------------------------------------------

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
conclude(ptrdiff_t word, const char *reason)
{
    pim_store_relaxed(&why, reason);
    pim_store_release(&proven, word);
    if (word >= 0) {
        atomic_fetch_add(&pim_epoch, 1); // threads settle anew
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

// The offset of the one word of the calling thread's block that the getter
// reads; WORD_NEVER: there is none, or several.
static ptrdiff_t
try_words(PyThreadState *attached)
{
    ptrdiff_t found = WORD_NEVER;
    unsigned n = 0;
    char *block = pim_thread_pointer() + distance_to(0);
    for (size_t i = 0; i + sizeof(void *) <= module.bytes;
         i += sizeof(void *)) {
        char *at = block + i;
        if (*(void *const *)(const void *)at == (void *)attached &&
            is_read_by_getter(at, attached)) {
            found = (ptrdiff_t)i;
            n++;
        }
    }
    return n == 1 ? found : WORD_NEVER;
}

static void
search(PyThreadState *attached)
{
    if (!interp_is_in_place(attached)) {
        conclude(WORD_NEVER, "the thread state lies elsewhere than known");
        return;
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ptrdiff_t word = try_words(attached);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    conclude(word, word >= 0 ? "one word of the module's thread-local data "
                               "is what its getter reads"
                             : "no single word of the module's thread-local "
                               "data is what its getter reads");
}

static void
search_once(PyThreadState *attached)
{
    pim_gate_enter();
    pim_lock_acquire(&lock);
    if (pim_load_relaxed(&proven) == WORD_UNKNOWN) {
        search(attached);
    }
    pim_lock_release(&lock);
    pim_gate_exit();
}

// NULL is what a thread without a word reads.
static void
verify(const void *tstate)
{
    PIM_CHECK((tstate == NULL && !pim_current_self.proven) ||
                  tstate == (const void *)pim_py.tstate(),
              "the thread state read is not the current one", tstate);
}

void
pim_tstate_start(bool by_call)
{
    pim_current_verify = verify;
    if (by_call) {
        conclude(WORD_NEVER, "asked for by PIMALLOC_TSTATE=call");
    } else if (!find_module()) {
        conclude(WORD_NEVER, "the thread state lies elsewhere than known");
    } else {
        conclude(WORD_UNKNOWN, "no thread was attached yet");
    }
}

// --- each thread -----------------------------------------------------------

// Notes in the calling thread's record how it finds its thread state.
static void
note(uint8_t finds)
{
    if (pim_gate_self.thread == NULL && !pim_gate_self.ended) {
        pim_gate_enter(); // gets it a record
        pim_gate_exit();
    }
    if (pim_gate_self.thread != NULL) {
        pim_store_relaxed(&pim_gate_self.thread->finds, finds);
    }
}

// Whether the calling thread reads its word from now on, which it does if that
// is proven and holds `current`: what the getter said.
static bool
settle(const PyThreadState *current)
{
    ptrdiff_t word = pim_load_acquire(&proven);
    ptrdiff_t distance = word >= 0 ? distance_to(word) : 0;
    bool reads =
        word >= 0 && pim_thread_word(distance) == (const void *)current;
    if (reads) {
        pim_current_set_word(&pim_current_self, distance);
    } else {
        pim_current_hide_word(&pim_current_self);
    }
    note(reads ? FINDS_BY_WORD : FINDS_BY_CALL);
    return reads;
}

void
pim_tstate_settle_thread(PyThreadState *attached)
{
    if (pim_load_acquire(&proven) == WORD_UNKNOWN) {
        search_once(attached);
    }
    settle(attached);
}

bool
pim_tstate_settle_detached(void)
{
    return settle(NULL);
}

// --- for people ------------------------------------------------------------

bool
pim_tstate_is_word(void)
{
    return pim_load_acquire(&proven) >= 0;
}

const char *
pim_tstate_describe(void)
{
    return pim_load_relaxed(&why);
}

pim_tstate_threads
pim_tstate_count(void)
{
    pim_tstate_threads count = {0, 0};
    for (const pim_thread *t = pim_gate_records(); t != NULL; t = t->next) {
        uint8_t finds = pim_load_relaxed(&t->finds);
        count.by_word += finds == FINDS_BY_WORD;
        count.by_call += finds == FINDS_BY_CALL;
    }
    return count;
}

// record.c -- records in a list that only grows.
//
//   records -> newest chunk's -> ... -> first chunk's      `next` is set once
//
// The end of a thread is told by the destructor of a thread-specific key.  If
// the process has used up its keys, it is told like the end of a thread_local
// of C++, which needs none: then destructors of others' keys run later, and
// what they ask for gets a record that nobody gives back.  Such records, and
// those of threads for whose key there was no memory, are taken from threads
// that are gone when there is no other.

#include "platform/record.h"

#include "base/bits.h"
#include "platform/os.h"
#include "platform/threads.h"

#define RECORDS_PER_MAP 64

pim_thread pim_crowd;
pthread_mutex_t pim_crowd_lock = PTHREAD_MUTEX_INITIALIZER;

static pim_thread first_records[RECORDS_PER_MAP];
static _Atomic bool first_is_taken; // to be linked

// glibc's and others', weak: some do without.
extern int __cxa_thread_atexit_impl(void (*ends)(void *), void *arg,
                                    void *module) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

static void (*on_end)(void *);
static pthread_key_t key;
static bool has_key;

// --- the list --------------------------------------------------------------

static void
link_chunk(pim_thread *chunk)
{
    for (unsigned i = 0; i + 1 < RECORDS_PER_MAP; i++) {
        chunk[i].next = &chunk[i + 1];
    }
    pim_thread *last = &chunk[RECORDS_PER_MAP - 1];
    last->next = pim_load_relaxed(&pim_gate.records);
    while (!pim_cas_weak(&pim_gate.records, &last->next, chunk)) {
    }
}

// The first ones need no memory of the system's.
static pim_thread *
newest(void)
{
    if (pim_load_acquire(&pim_gate.records) == NULL &&
        !pim_exchange(&first_is_taken, true)) {
        link_chunk(first_records);
    }
    return pim_load_acquire(&pim_gate.records);
}

// --- taking one ------------------------------------------------------------

static pim_thread *
take_free(void)
{
    for (pim_thread *t = newest(); t != NULL; t = t->next) {
        bool used = pim_load_relaxed(&t->used);
        if (!used && atomic_compare_exchange_strong(&t->used, &used, true)) {
            return t;
        }
    }
    return NULL;
}

// Of several who find the thread gone one gets the record.
static pim_thread *
take_from_the_gone(void)
{
    for (pim_thread *t = newest(); t != NULL; t = t->next) {
        int id = pim_load_acquire(&t->id);
        if (id != 0 && !pim_load_relaxed(&t->watched) &&
            pim_load_relaxed(&t->used) && pim_thread_is_gone(id) &&
            atomic_compare_exchange_strong(&t->id, &id, 0)) {
            return t;
        }
    }
    return NULL;
}

static pim_thread *
take_new(void)
{
    pim_thread *chunk = pim_os->map(
        pim_align_up(RECORDS_PER_MAP * sizeof(pim_thread), pim_os_page_size()));
    if (chunk == NULL) {
        return NULL;
    }
    pim_store_relaxed(&chunk->used, true); // before others see it
    link_chunk(chunk);
    return chunk;
}

// One that is nobody else's; NULL: no memory.
static pim_thread *
take_any(void)
{
    pim_thread *t = take_free();
    if (t == NULL) {
        t = take_from_the_gone();
    }
    if (t == NULL) {
        t = take_new();
    }
    if (t != NULL) {
        t->depth = 0;
        pim_store_relaxed(&t->watched, false);
        pim_store_relaxed(&t->finds, 0);
        pim_store_release(&t->id, pim_thread_id());
    }
    return t;
}

// --- the end of a thread ---------------------------------------------------

void
pim_record_start(void (*ends)(void *record))
{
    on_end = ends;
    has_key = pthread_key_create(&key, ends) == 0;
}

// The end of the first thread is the process's.
static bool
can_be_told(const pim_thread *record)
{
    return on_end != NULL && __cxa_thread_atexit_impl != NULL &&
           !pim_gate_self.ended &&
           pim_load_relaxed(&record->id) != pim_process_id();
}

// Has the end of the calling thread noticed.  False: that cannot be; the record
// is taken back from a thread that is gone when others run out of them.
static bool
watch(pim_thread *record)
{
    bool watched = false;
    if (has_key) {
        watched = pthread_setspecific(key, record) == 0;
    } else if (can_be_told(record)) {
        watched = __cxa_thread_atexit_impl(on_end, record, &__dso_handle) == 0;
    }
    pim_store_relaxed(&record->watched, watched);
    return watched;
}

// --- a thread and its record -----------------------------------------------

void
pim_record_take(void)
{
    pim_self *self = &pim_gate_self;
    pim_thread *record =
        self->thread == NULL && self->locked == 0 ? take_any() : NULL;
    if (record != NULL) {
        self->keyed = watch(record);
        self->thread = record;
    }
}

void
pim_record_give(pim_thread *record)
{
    pim_store_relaxed(&record->finds, 0);
    pim_store_relaxed(&record->id, 0);
    pim_store_release(&record->used, false);
}

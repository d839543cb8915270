// test_tstate.c -- the word is found in every kind of thread-local block.
//
// The modules of getter.c stand for libpython.  They are loaded late, some of them
// into the static thread-local storage that the loader has in reserve.

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>

#include "cpython/tstate.h"
#include "support/expect.h"

#define TEAM 4

// As much of a thread state as is looked at.
typedef union fake_tstate {
    char bytes[64];
    const void *words[8];
} fake_tstate;

static void *(*get_state)(void);
static void (*set_state)(void *);
static void *handle;

static PyThreadState *
ask_getter(void)
{
    return get_state();
}

static PyInterpreterState *
interp_of(PyThreadState *tstate)
{
    return (PyInterpreterState *)(uintptr_t)((fake_tstate *)(void *)tstate)
        ->words[PIM_TSTATE_INTERP / sizeof(void *)];
}

// --- the modules -----------------------------------------------------------

static void
load(const char *path)
{
    handle = dlopen(path, RTLD_NOW);
    if (handle == NULL) {
        print_error("%s\n", dlerror());
    }
    EXPECT_NOT_NULL(handle);
    get_state = (__typeof__(get_state))(uintptr_t)dlsym(handle, "get_state");
    set_state = (__typeof__(set_state))(uintptr_t)dlsym(handle, "set_state");
    pim_py.tstate = (__typeof__(pim_py.tstate))(uintptr_t)get_state;
    pim_py.tstate_interp = interp_of;
    pim_tstate_start(false);
}

// --- what a thread does ----------------------------------------------------

static void
expect_word(const void *tstate)
{
    EXPECT(pim_current_self.proven);
    EXPECT_PTR_EQ(pim_thread_word(pim_current_self.word), tstate);
}

// As resolve() and look() do: first the getter, then settle.
static void
attach(fake_tstate *tstate)
{
    set_state(tstate);
    EXPECT_PTR_EQ(ask_getter(), tstate);
    pim_tstate_settle_thread((PyThreadState *)(void *)tstate);
}

static bool
be_detached(void)
{
    set_state(NULL);
    EXPECT_NULL(ask_getter());
    return pim_tstate_settle_detached();
}

static void
read_my_word(void)
{
    fake_tstate a = {{0}};
    fake_tstate b = {{0}};
    EXPECT_NULL(ask_getter());
    EXPECT(pim_tstate_settle_detached());
    expect_word(NULL);
    set_state(&a);
    expect_word(&a);
    attach(&b);
    expect_word(&b);
    EXPECT(be_detached());
    expect_word(NULL);
}

static void
ask_always(void)
{
    fake_tstate a = {{0}};
    attach(&a);
    EXPECT(!pim_current_self.proven);
    EXPECT_NULL(pim_thread_word(pim_current_self.word));
    EXPECT(!be_detached());
}

// --- threads that live on --------------------------------------------------

typedef struct member {
    pthread_t thread;
    sem_t told;
    sem_t done;
} member;

static member team[TEAM];
static void (*work)(void); // NULL: the end

static void *
be_member(void *arg)
{
    member *self = arg;
    for (;;) {
        sem_wait(&self->told);
        if (work == NULL) {
            return NULL;
        }
        work();
        sem_post(&self->done);
    }
}

static int
begin(void **state)
{
    (void)state;
    pim_gate_start();
    for (int i = 0; i < TEAM; i++) {
        sem_init(&team[i].told, 0, 0);
        sem_init(&team[i].done, 0, 0);
        pthread_create(&team[i].thread, NULL, be_member, &team[i]);
    }
    return 0;
}

static void
all(void (*task)(void))
{
    work = task;
    for (int i = 0; i < TEAM; i++) {
        sem_post(&team[i].told);
    }
    for (int i = 0; i < TEAM; i++) {
        sem_wait(&team[i].done);
    }
}

static int
end(void **state)
{
    (void)state;
    work = NULL;
    for (int i = 0; i < TEAM; i++) {
        sem_post(&team[i].told);
        pthread_join(team[i].thread, NULL);
    }
    return 0;
}

// --- cases -----------------------------------------------------------------

static void
expect_counts(unsigned by_word, unsigned by_call)
{
    pim_tstate_threads count = pim_tstate_count();
    EXPECT_EQ(count.by_word, by_word);
    EXPECT_EQ(count.by_call, by_call);
}

static void
expect_found(const char *path)
{
    fake_tstate first = {{0}};
    load(path);
    EXPECT(!pim_tstate_is_word());
    EXPECT(!be_detached()); // nobody was attached yet
    attach(&first);
    EXPECT(pim_tstate_is_word());
    expect_word(&first);
    EXPECT_PTR_EQ(ask_getter(), &first);
    all(read_my_word);
    expect_counts(1 + TEAM, 0);
    EXPECT(be_detached());
}

static void
expect_not_found(const char *path)
{
    load(path);
    ask_always();
    EXPECT(!pim_tstate_is_word());
    all(ask_always);
    expect_counts(0, 1 + TEAM);
}

TEST_OF(block_of_its_own_in_each_thread, expect_found(GETTER_DYNAMIC))
TEST_OF(block_that_is_aligned, expect_found(GETTER_ALIGNED))
TEST_OF(block_in_static_storage, expect_found(GETTER_STATIC))

TEST(block_that_a_descriptor_leads_to)
{
#ifdef GETTER_DESCRIPTOR
    expect_found(GETTER_DESCRIPTOR);
#else
    skip();
#endif
}

TEST_OF(one_of_several_words_is_read, expect_found(GETTER_SEVERAL))
TEST_OF(two_words_that_are_both_read, expect_not_found(GETTER_BOTH))
TEST_OF(state_that_is_in_no_word, expect_not_found(GETTER_KEY))

// Where it lies, and its number, may be those of the first time or not.
TEST(module_that_is_loaded_again)
{
    for (int i = 0; i < 3; i++) {
        expect_found(i == 1 ? GETTER_SEVERAL_AGAIN : GETTER_AGAIN);
        EXPECT_EQ(dlclose(handle), 0);
        EXPECT_NULL(dlopen(i == 1 ? GETTER_SEVERAL_AGAIN : GETTER_AGAIN,
                           RTLD_NOW | RTLD_NOLOAD));
    }
}

SUITE(.set_up = begin, .tear_down = end)

// test_identity.c -- who is who where the ends of interpreters are not seen: somebody
// has set another raw allocator after us.  And what is set above us is none.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pimalloc/tenants.h"
#include "support/embed.h"

// --- another raw allocator ---------------------------------------------------

static void *
other_malloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size != 0 ? size : 1);
}

static void *
other_calloc(void *ctx, size_t count, size_t size)
{
    (void)ctx;
    return calloc(count != 0 ? count : 1, size != 0 ? size : 1);
}

static void *
other_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return realloc(block, size != 0 ? size : 1);
}

static void
other_free(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static PyMemAllocatorEx other_raw = {NULL, other_malloc, other_calloc,
                                     other_realloc, other_free};

// Everything goes to libc, and Python is initialised.
static void
start_with_other_raw(int policy)
{
    embed_skip_if_vanilla("figures are ours alone");
    embed_preinit();
    pimalloc_config config = {.size = sizeof(config), .teardown = policy};
    EXPECT_EQ(pimalloc_install(&config), 0);
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &other_raw);
    embed_init();
}

// --- interpreters --------------------------------------------------------------

static const char work[] =
    "import threading\n"
    "x = [{'a%d' % i: bytes(i % 300)} for i in range(5000)]\n"
    "def g():\n"
    "    global y\n"
    "    y = [str(i) * 3 for i in range(5000)]\n"
    "t = threading.Thread(target=g); t.start(); t.join()\n"
    "assert all(len(d) == 1 for d in x)\n";

#define LIVES 6

static struct {
    const PyInterpreterState *at;
    int64_t id;
    char *left;
} lives[LIVES];

static void
expect_listed(int64_t id)
{
    int64_t ids[200];
    size_t n = pimalloc_interpreters(ids, 200);
    bool found = false;
    for (size_t i = 0; i < n && i < 200; i++) {
        found |= ids[i] == id;
    }
    EXPECT(found);
}

// One after the other in this thread, with no other thread state in between.
static void
live(int n)
{
    PyInterpreterConfig config = {.allow_threads = 1,
                                  .check_multi_interp_extensions = 1,
                                  .gil = PyInterpreterConfig_OWN_GIL};
    PyThreadState *state = NULL;
    embed_check_status(Py_NewInterpreterFromConfig(&state, &config));
    lives[n].at = PyInterpreterState_Get();
    lives[n].id = embed_interp_id();
    uint64_t at_birth =
        embed_stats(lives[n].id).domain[PIMALLOC_OBJ].live_blocks;
    embed_run(work);
    lives[n].left = PyMem_Malloc(100);
    memset(lives[n].left, 'a' + n, 100);

    pimalloc_snapshot s = embed_stats(lives[n].id);
    EXPECT_EQ(s.interp, lives[n].id);
    EXPECT_EQ(s.state, PIMALLOC_ALIVE);
    embed_expect_sane(s.domain[PIMALLOC_OBJ]);
    EXPECT_LE(at_birth, 30000); // nothing of another's
    EXPECT_GE(s.domain[PIMALLOC_OBJ].live_blocks, 15000);
    EXPECT_LE(s.domain[PIMALLOC_OBJ].live_blocks, 60000);
    expect_listed(lives[n].id);
    pimalloc_limit limit = embed_limit(lives[n].id);
    EXPECT_EQ(limit.soft_bytes, 0); // nor is another's limit
    EXPECT_EQ(pimalloc_limit_set(lives[n].id, 1 << 30, 0, NULL, NULL), 0);
    Py_EndInterpreter(state);
}

// Whatever policy was set, what they left is there.
static void
expect_all_was_kept(void)
{
    int reused = 0;
    for (int i = 0; i < LIVES; i++) {
        for (int j = 0; j < i; j++) {
            reused += lives[i].at == lives[j].at;
        }
        for (int k = 0; k < 100; k++) {
            EXPECT_EQ(lives[i].left[k], 'a' + i);
        }
        PyMem_Free(lives[i].left);
    }
    if (reused == 0) {
        embed_skip("no address was reused");
    }
}

static void
each_has_a_heap_of_its_own(int policy)
{
    start_with_other_raw(policy);
    EXPECT_EQ(pimalloc_active(), 0);
    PyThreadState *outer = PyEval_SaveThread();
    for (int i = 0; i < LIVES; i++) {
        live(i);
    }
    EXPECT_EQ(pimalloc_active(), 0);
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_POISON), -ENOTSUP);
    EXPECT_HAS(pimalloc_strerror(-ENOTSUP), "raw allocator that was set after");
    EXPECT_EQ(pimalloc_policy_set(lives[LIVES - 1].id, PIMALLOC_POISON),
              -ENOTSUP);
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_KEEP), 0);
    PyEval_RestoreThread(outer);
    expect_all_was_kept();
    embed_run("x = [str(i) for i in range(10000)]");
    embed_stop();
}

CASE_OF(dead_interpreters_have_no_heir_where_raw_is_anothers,
        each_has_a_heap_of_its_own(0))
CASE_OF(nobody_is_poisoned_where_raw_is_anothers,
        each_has_a_heap_of_its_own(PIMALLOC_POISON))

CASE(nobody_is_released_where_raw_is_anothers)
{
    if (!PY_314_OR_NEWER) {
        embed_skip("this Python has no such policy");
    }
    each_has_a_heap_of_its_own(PIMALLOC_RELEASE);
}

// Legacy interpreters have main's heap; at their address another must not.
CASE(kinds_are_told_apart_where_raw_is_anothers)
{
    static const embed_kind kinds[] = {EMBED_LEGACY, EMBED_OWN_GIL,
                                       EMBED_SHARED_GIL};
    start_with_other_raw(0);
    for (int i = 0; i < 18; i++) {
        embed_kind kind = kinds[i * 7 % 3];
        uint64_t main_before = embed_stats(0).domain[PIMALLOC_MEM].live_blocks;
        embed_guest guest = embed_visit(kind);
        int64_t id = embed_interp_id();
        void *blocks[100];
        for (int k = 0; k < 100; k++) {
            blocks[k] = PyMem_Malloc(1000);
        }
        pimalloc_snapshot s = embed_stats(id);
        EXPECT_EQ(s.interp, kind == EMBED_LEGACY ? 0 : id);
        uint64_t main_now = embed_stats(0).domain[PIMALLOC_MEM].live_blocks;
        if (kind != EMBED_LEGACY) {
            EXPECT_LE(main_now, main_before + 50);
        }
        for (int k = 0; k < 100; k++) {
            PyMem_Free(blocks[k]);
        }
        embed_return(&guest);
    }
    embed_stop();
}

CASE_ENV(message_says_that_ends_are_not_seen, "PIMALLOC_VERBOSE=1")
{
    embed_hear();
    start_with_other_raw(0);
    PyThreadState *outer = PyEval_SaveThread();
    for (int i = 0; i < 3; i++) {
        live(i);
    }
    PyEval_RestoreThread(outer);
    char *text = embed_heard();
    EXPECT_HAS(text, "another raw allocator was set after pimalloc");
    const char *first = strstr(text, "another raw allocator");
    EXPECT(strstr(first + 1, "another raw allocator") == NULL); // once
    free(text);
    embed_stop();
}

CASE(report_says_that_raw_is_anothers)
{
    start_with_other_raw(0);
    char *text = embed_stats_text();
    EXPECT_HAS(text, "active but for raw");
    EXPECT_HAS(text, "another raw allocator was set after pimalloc");
    free(text);
    embed_stop();
}

// Up to 3.13 libc may free what we allocated, so the table may change at any time.
CASE(raw_may_become_anothers_while_interpreters_live)
{
    if (PY_314_OR_NEWER || PY_IS_DEBUG) {
        embed_skip("this Python's raw blocks are not libc's");
    }
    embed_start();
    embed_skip_if_vanilla("figures are ours alone");
    PyMemAllocatorEx ours;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &ours);
    PyThreadState *outer = PyEval_SaveThread();
    live(0);
    for (int i = 1; i < LIVES; i++) {
        PyMem_SetAllocator(PYMEM_DOMAIN_RAW, i % 3 == 0 ? &ours : &other_raw);
        live(i);
    }
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &ours);
    EXPECT_EQ(pimalloc_active(), 1);
    PyEval_RestoreThread(outer);
    expect_all_was_kept();
    embed_stop();
}

// --- layers above us ------------------------------------------------------------

static PyMemAllocatorEx below[3];

static void *
layer_malloc(void *ctx, size_t size)
{
    PyMemAllocatorEx *inner = ctx;
    return inner->malloc(inner->ctx, size);
}

static void *
layer_calloc(void *ctx, size_t count, size_t size)
{
    PyMemAllocatorEx *inner = ctx;
    return inner->calloc(inner->ctx, count, size);
}

static void *
layer_realloc(void *ctx, void *block, size_t size)
{
    PyMemAllocatorEx *inner = ctx;
    return inner->realloc(inner->ctx, block, size);
}

static void
layer_free(void *ctx, void *block)
{
    PyMemAllocatorEx *inner = ctx;
    inner->free(inner->ctx, block);
}

static void
set_layer(void)
{
    for (int d = 0; d < 3; d++) {
        PyMem_GetAllocator((PyMemAllocatorDomain)d, &below[d]);
        PyMemAllocatorEx layer = {&below[d], layer_malloc, layer_calloc,
                                  layer_realloc, layer_free};
        PyMem_SetAllocator((PyMemAllocatorDomain)d, &layer);
    }
}

static void
ends_are_seen(void)
{
    EXPECT_EQ(pimalloc_active(), 1);
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_POISON), 0);
    for (int i = 0; i < 4; i++) {
        embed_guest guest = embed_visit(EMBED_OWN_GIL);
        int64_t id = embed_interp_id();
        embed_run(work);
        EXPECT_EQ(pimalloc_policy_set(id, PIMALLOC_POISON), 0);
        EXPECT_EQ(pimalloc_policy_set(id, PIMALLOC_KEEP), 0);
        embed_return(&guest);
        EXPECT_EQ(embed_stats(id).state, PIMALLOC_ENDED);
    }
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_KEEP), 0);
    EXPECT_EQ(pimalloc_active(), 1);
}

CASE(layer_that_passes_all_on_is_no_other_allocator)
{
    embed_start();
    embed_skip_if_vanilla("figures are ours alone");
    ends_are_seen();
    set_layer();
    ends_are_seen();
    for (int d = 0; d < 3; d++) {
        PyMem_SetAllocator((PyMemAllocatorDomain)d, &below[d]);
    }
    ends_are_seen();
    embed_stop();
}

CASE(debug_hooks_are_no_other_allocator)
{
    if (embed_is_vanilla() || PY_IS_DEBUG) {
        embed_skip("a debug build's hooks look like a reset");
    }
    embed_preinit();
    embed_install();
    PyMem_SetupDebugHooks();
    embed_init();
    ends_are_seen();
    embed_stop();
}

// Tracing while others than main live crashes some Pythons on their own.
CASE(tracemalloc_is_no_other_allocator)
{
    embed_start();
    embed_skip_if_vanilla("figures are ours alone");
    embed_run("import tracemalloc; tracemalloc.start()");
    EXPECT_EQ(pimalloc_active(), 1);
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_POISON), 0);
    EXPECT_EQ(pimalloc_policy_set(PIMALLOC_EACH, PIMALLOC_KEEP), 0);
    embed_run("tracemalloc.stop()");
    ends_are_seen();
    embed_stop();
}

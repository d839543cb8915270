// test_limit_calls.c -- pimalloc_limit_set() and pimalloc_limit_get(), and from where
// limits come.

#include <errno.h>

#include <pimalloc/tenants.h>

#include "support/embed.h"

#define MIB ((uint64_t)1 << 20)
#define SOFT (32 * MIB)

typedef struct heard {
    int64_t id; // whose refusals are expected
    uint64_t told;
} heard;

static void
note(void *arg, const pimalloc_refusal *refusal)
{
    heard *h = arg;
    h->told++;
    EXPECT_EQ(refusal->interp, h->id);
}

CASE(limits_are_set_and_read)
{
    pimalloc_limit limit = {.size = sizeof(limit)};
    heard heard_of = {.id = 0};
    EXPECT_EQ(pimalloc_limit_set(0, 1, 2, NULL, NULL), -ENOENT);
    embed_start();
    EXPECT_EQ(pimalloc_limit_get(0, &limit), 0);
    EXPECT_EQ(limit.interp, 0);
    EXPECT_EQ(limit.soft_bytes, 0);
    EXPECT_EQ(limit.hard_bytes, 0);
    EXPECT_EQ(limit.live_bytes,
              embed_stats(0).domain[PIMALLOC_OBJ].live_bytes +
                  embed_stats(0).domain[PIMALLOC_MEM].live_bytes +
                  embed_stats(0).domain[PIMALLOC_RAW].live_bytes);
    EXPECT_EQ(pimalloc_limit_set(0, 1024 * MIB, 2048 * MIB, note, &heard_of),
              0);
    EXPECT_EQ(pimalloc_limit_get(0, &limit), 0);
    EXPECT_EQ(limit.soft_bytes, 1024 * MIB);
    EXPECT_EQ(limit.hard_bytes, 2048 * MIB);
    EXPECT(limit.callback == note && limit.arg == &heard_of);
    EXPECT(PyMem_Malloc(1500 * MIB) == NULL);
    EXPECT_EQ(heard_of.told, 1);
    EXPECT_EQ(pimalloc_limit_set(0, 2, 1, NULL, NULL), -EINVAL);
    EXPECT_EQ(pimalloc_limit_set(PIMALLOC_PROCESS, 1, 2, NULL, NULL), -EINVAL);
    EXPECT_EQ(pimalloc_limit_get(PIMALLOC_PROCESS, &limit), -EINVAL);
    EXPECT_EQ(pimalloc_limit_set(99, 1, 2, NULL, NULL), -ENOENT);
    EXPECT_EQ(pimalloc_limit_get(99, &limit), -ENOENT);
    limit.size--;
    EXPECT_EQ(pimalloc_limit_get(0, &limit), -EINVAL);
    EXPECT_EQ(pimalloc_limit_get(0, NULL), -EINVAL);
    EXPECT_EQ(pimalloc_limit_set(0, 0, 0, NULL, NULL), 0);
    embed_stop();
}

CASE(those_to_come_get_the_default)
{
    pimalloc_limit limit = {.size = sizeof(limit)};
    heard heard_of = {.id = 0};
    embed_start();
    EXPECT_EQ(pimalloc_limit_set(PIMALLOC_EACH, SOFT, 0, note, &heard_of), 0);
    EXPECT_EQ(pimalloc_limit_get(PIMALLOC_EACH, &limit), 0);
    EXPECT_EQ(limit.interp, PIMALLOC_EACH);
    EXPECT_EQ(limit.soft_bytes, SOFT);
    EXPECT_EQ(pimalloc_limit_get(0, &limit), 0);
    EXPECT_EQ(limit.soft_bytes, 0);
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    heard_of.id = embed_interp_id();
    EXPECT_EQ(pimalloc_limit_get(heard_of.id, &limit), 0);
    EXPECT_EQ(limit.soft_bytes, SOFT);
    embed_run("try: bytes(64 << 20)\n"
              "except MemoryError: pass\n"
              "else: raise AssertionError\n");
    EXPECT_EQ(heard_of.told, 1);
    embed_return(&guest);
    EXPECT_EQ(pimalloc_limit_set(PIMALLOC_EACH, 0, 0, NULL, NULL), 0);
    guest.sub = embed_new_interp(EMBED_OWN_GIL);
    embed_run("bytes(64 << 20)");
    embed_return(&guest);
    embed_stop();
}

CASE(legacy_interpreters_share_the_limit_of_main)
{
    pimalloc_limit limit = {.size = sizeof(limit)};
    heard heard_of = {.id = 0};
    embed_start();
    embed_guest guest = embed_visit(EMBED_LEGACY);
    embed_run("import sys"); // makes it known
    EXPECT_EQ(
        pimalloc_limit_set(embed_interp_id(), 64 * MIB, 0, note, &heard_of), 0);
    EXPECT_EQ(pimalloc_limit_get(0, &limit), 0);
    EXPECT_EQ(limit.soft_bytes, 64 * MIB);
    EXPECT(PyMem_Malloc(65 * MIB) == NULL);
    embed_return(&guest);
    EXPECT(PyMem_Malloc(65 * MIB) == NULL);
    EXPECT_EQ(heard_of.told, 2);
    EXPECT_EQ(pimalloc_limit_set(0, 0, 0, NULL, NULL), 0);
    embed_stop();
}

static void
note_raw(void *arg, const pimalloc_refusal *refusal)
{
    note(arg, refusal);
    EXPECT_EQ(refusal->domain, PIMALLOC_RAW);
}

CASE(raw_requests_are_limited_where_an_interpreter_is_current)
{
    heard heard_of = {.id = 0};
    embed_start();
    EXPECT_EQ(pimalloc_limit_set(0, 64 * MIB, 0, note_raw, &heard_of), 0);
    EXPECT(PyMem_RawMalloc(65 * MIB) == NULL);
    EXPECT(PyMem_RawCalloc(65, MIB) == NULL);
    void *half = PyMem_RawMalloc(32 * MIB);
    EXPECT(half != NULL);
    EXPECT(PyMem_RawRealloc(half, 80 * MIB) == NULL);
    EXPECT(PyMem_RawMalloc(40 * MIB) == NULL); // with that one it is too much
    EXPECT_EQ(heard_of.told, 4);
    PyThreadState *outer = PyEval_SaveThread();
    void *nobodys = PyMem_RawMalloc(65 * MIB);
    EXPECT(nobodys != NULL);
    PyMem_RawFree(nobodys);
    PyMem_RawFree(half);
    PyEval_RestoreThread(outer);
    EXPECT_EQ(heard_of.told, 4);
    EXPECT_EQ(pimalloc_limit_set(0, 0, 0, NULL, NULL), 0);
    embed_stop();
}

CASE_ENV(limit_of_the_environment_is_for_all, "PIMALLOC_LIMIT=64M:80M")
{
    pimalloc_limit limit = {.size = sizeof(limit)};
    embed_start();
    EXPECT_EQ(pimalloc_limit_get(0, &limit), 0);
    EXPECT_EQ(limit.soft_bytes, 64 * MIB);
    EXPECT_EQ(limit.hard_bytes, 80 * MIB);
    embed_run("try: bytes(64 << 20)\n"
              "except MemoryError: pass\n"
              "else: raise AssertionError\n");
    embed_stop();
}

// A host's choice before the installation stands against the environment.
CASE_ENV(limit_of_the_program_wins, "PIMALLOC_LIMIT=64M")
{
    pimalloc_limit limit = {.size = sizeof(limit)};
    EXPECT_EQ(pimalloc_limit_set(PIMALLOC_EACH, 128 * MIB, 0, NULL, NULL), 0);
    embed_start();
    EXPECT_EQ(pimalloc_limit_get(0, &limit), 0);
    EXPECT_EQ(limit.soft_bytes, 128 * MIB);
    embed_stop();
}

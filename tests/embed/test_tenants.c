// test_tenants.c -- interpreters that tenants make: whom they count for, and what
// happens where there is no room for one.

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <pimalloc/tenants.h>

#include "support/embed.h"

#define MIB ((uint64_t)1 << 20)
#define SOFT (48 * MIB)
#define HARD (52 * MIB)

static uint64_t told;
static int64_t told_of;
static int64_t told_asked_by;

static void
note(void *arg, const pimalloc_refusal *refusal)
{
    (void)arg;
    told++;
    told_of = refusal->interp;
    told_asked_by = refusal->asked_by;
    EXPECT_LE(refusal->live_bytes, HARD);
}

// The newest living interpreter that is none of the two.
static int64_t
newest_but(int64_t one, int64_t other)
{
    int64_t ids[200];
    int64_t newest = -1;
    size_t n = pimalloc_interpreters(ids, 200);
    EXPECT_LE(n, 200);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] != one && ids[i] != other && ids[i] > newest &&
            embed_stats(ids[i]).state == PIMALLOC_ALIVE) {
            newest = ids[i];
        }
    }
    return newest;
}

// What tenants' scripts call.
static const char preamble[] =
    "import sys\n"
    "try: import _interpreters as _it\n"
    "except ImportError: import _xxsubinterpreters as _it\n"
    "_run = getattr(_it, 'exec', None) or _it.run_string\n"
    "def legacy():\n"
    "    if sys.version_info < (3, 13): return _it.create(isolated=False)\n"
    "    return _it.create('legacy')\n"
    "hog = '''\n"
    "hog = []\n"
    "try:\n"
    "    while True: hog.append(bytes(100_000))\n"
    "except MemoryError: pass\n"
    "hog = len(hog)\n"
    "assert hog < 480, hog\n"
    "'''\n"
    "def run(id, code):\n"
    "    error = _run(id, code)\n"
    "    assert error is None, error\n";

typedef struct tenant {
    PyThreadState *outer; // main's
    PyThreadState *state;
    int64_t id;
} tenant;

// A tenant that is current, made by main.
static tenant
begin_tenant(void)
{
    tenant t = {.outer = PyThreadState_Get()};
    told = 0;
    t.state = embed_new_interp(EMBED_OWN_GIL);
    t.id = embed_interp_id();
    embed_run(preamble);
    EXPECT_EQ(pimalloc_limit_set(t.id, SOFT, HARD, note, NULL), 0);
    return t;
}

static tenant
start_with_tenant(void)
{
    embed_start();
    return begin_tenant();
}

// It is current.
static void
end_tenant(const tenant *t)
{
    Py_EndInterpreter(t->state);
    PyThreadState_Swap(t->outer);
}

// Runs code in a tenant that makes one interpreter; returns that one's id.
static int64_t
make_with(const tenant *t, const char *code)
{
    embed_run(code);
    int64_t id = newest_but(0, t->id);
    EXPECT_GT(id, t->id);
    return id;
}

// --- whom it counts for ----------------------------------------------------

static void
expect_counted(const tenant *t, int64_t made)
{
    EXPECT_EQ(embed_limit(made).parent, t->id);
    EXPECT_GE(embed_limit(made).live_bytes, MIB);
    EXPECT_GE(embed_limit(t->id).tree_bytes,
              embed_limit(t->id).live_bytes + embed_limit(made).live_bytes);
}

static void
expect_limited(const tenant *t, int64_t made)
{
    EXPECT_GT(told, 0);
    EXPECT_EQ(told_of, t->id);
    EXPECT_EQ(told_asked_by, made);
    EXPECT_EQ(embed_limit(made).refusals, 0);
    EXPECT_LE(embed_limit(t->id).tree_bytes, HARD);
    EXPECT_LE(embed_stats(made).domain[PIMALLOC_OBJ].peak_bytes, HARD);
}

// Nobody has made one in this process, which makes CPython attach main's thread state
// on the way; see "Whose heap?" in design.md.
CASE(made_by_python_code)
{
    tenant t = start_with_tenant();
    int64_t made = make_with(&t, "i = _it.create()");
    expect_counted(&t, made);
    embed_run("run(i, hog)");
    expect_limited(&t, made);
    embed_run("_it.destroy(i)");
    EXPECT_LE(embed_limit(t.id).tree_bytes,
              embed_limit(t.id).live_bytes + embed_limit(t.id).left_bytes);
    end_tenant(&t);
    embed_stop();
}

CASE(made_in_a_thread_of_the_tenant)
{
    tenant t = start_with_tenant();
    int64_t made = make_with(&t, "import threading\n"
                                 "def make():\n"
                                 "    global i\n"
                                 "    i = _it.create()\n"
                                 "x = threading.Thread(target=make)\n"
                                 "x.start()\n"
                                 "x.join()\n");
    expect_counted(&t, made);
    embed_run("x = threading.Thread(target=run, args=(i, hog))\n"
              "x.start()\n"
              "x.join()\n");
    expect_limited(&t, made);
    embed_run("_it.destroy(i)");
    end_tenant(&t);
    embed_stop();
}

// It has main's GIL and shares objects with main, and yet is the tenant's.
CASE(made_as_legacy_interpreter)
{
    tenant t = start_with_tenant();
    uint64_t of_main = embed_limit(0).live_bytes;
    int64_t made = make_with(&t, "i = legacy()");
    expect_counted(&t, made);
    embed_run("run(i, hog)");
    expect_limited(&t, made);
    EXPECT_LE(embed_limit(0).live_bytes, of_main + MIB);
    EXPECT_EQ(pimalloc_policy_set(made, PIMALLOC_POISON), -ENOTSUP);
    embed_run("_it.destroy(i)");
    end_tenant(&t);
    embed_run("import json\n"
              "assert json.loads(json.dumps([1] * 1000)) == [1] * 1000\n");
    embed_stop();
}

CASE(made_by_another_that_was_made)
{
    tenant t = start_with_tenant();
    char code[sizeof(preamble) + 300];
    snprintf(code, sizeof(code),
             "preamble = r\"\"\"%s\"\"\"\n"
             "i = _it.create()\n"
             "run(i, preamble)\n"
             "run(i, 'j = _it.create()')\n",
             preamble);
    int64_t inner = make_with(&t, code);
    int64_t outer_one = newest_but(t.id, inner);
    EXPECT_EQ(embed_limit(inner).parent, outer_one);
    EXPECT_EQ(embed_limit(outer_one).parent, t.id);
    embed_run("run(i, 'run(j, hog)')");
    expect_limited(&t, inner);
    embed_run("run(i, '_it.destroy(j)')\n"
              "_it.destroy(i)\n");
    end_tenant(&t);
    embed_stop();
}

CASE(made_for_a_pool)
{
#if !PY_314_OR_NEWER
    embed_skip("InterpreterPoolExecutor is new in 3.14");
#endif
    tenant t = start_with_tenant();
    embed_run("from concurrent.futures import InterpreterPoolExecutor\n"
              "pool = InterpreterPoolExecutor(2)\n"
              "assert list(pool.map(abs, [-1, -2, -3])) == [1, 2, 3]\n");
    int64_t made = newest_but(0, t.id);
    expect_counted(&t, made);
#ifndef Py_DEBUG // which asserts that it does not:
    // The error gets lost on its way out of the pool.
    embed_run("try: result = list(pool.map(bytes, [100 << 20]))\n"
              "except BaseException as e: result = type(e).__name__\n"
              "assert result in ([None], 'MemoryError'), result\n");
    EXPECT_EQ(told_of, t.id);
#endif
    embed_run("pool.shutdown()");
    end_tenant(&t);
    embed_stop();
}

CASE(made_by_c_code_of_the_tenant)
{
    static const embed_kind kinds[] = {EMBED_OWN_GIL, EMBED_SHARED_GIL,
                                       EMBED_LEGACY};
    tenant t = start_with_tenant();
    for (int i = 0; i < 3; i++) {
        PyThreadState *made = embed_new_interp(kinds[i]);
        expect_counted(&t, embed_interp_id());
        Py_EndInterpreter(made);
        PyThreadState_Swap(t.state);
    }
    end_tenant(&t);
    embed_stop();
}

CASE(made_by_the_host_in_a_tenants_thread)
{
    tenant t = start_with_tenant();
    PyThreadState_Swap(t.outer); // the tenant is suspended
    PyThreadState *other = embed_new_interp(EMBED_OWN_GIL);
    EXPECT_EQ(embed_limit(embed_interp_id()).parent, PIMALLOC_PROCESS);
    embed_run("x = bytes(100 << 20)");
    Py_EndInterpreter(other);
    PyThreadState_Swap(t.state);
    Py_EndInterpreter(t.state);
    // Without any thread state.
    other = embed_new_interp(EMBED_OWN_GIL);
    EXPECT_EQ(embed_limit(embed_interp_id()).parent, PIMALLOC_PROCESS);
    Py_EndInterpreter(other);
    PyThreadState_Swap(t.outer);
    embed_stop();
}

// --- at the limit ----------------------------------------------------------

// With all kinds of room left one is made or not, and nobody crashes.
CASE(one_is_made_or_not_whatever_room_is_left)
{
#ifdef Py_DEBUG
    embed_skip("CPython's debug builds assert where memory runs out");
#endif
    tenant t = start_with_tenant();
    embed_run("made = refused = 0\n"
              "def attempt(make):\n"
              "    global made, refused\n"
              "    try: i = make()\n"
              "    except Exception: refused += 1\n"
              "    else:\n"
              "        made += 1\n"
              "        run(i, 'x = [1] * 99')\n"
              "        _it.destroy(i)\n");
    for (int room = 0; room < 12 * 1024; room += 300) {
        char code[200];
        uint64_t free_bytes = SOFT - embed_limit(t.id).tree_bytes;
        uint64_t keep = (uint64_t)room * 1024;
        snprintf(code, sizeof(code),
                 "ballast = bytes(%" PRIu64 ")\n"
                 "attempt(%s)\n"
                 "ballast = None\n",
                 free_bytes > keep + 100000 ? free_bytes - keep - 100000 : 1,
                 room % 600 == 0 ? "legacy" : "_it.create");
        embed_run(code);
        pimalloc_trim(
            PIMALLOC_EACH); // a kept map may be larger than is asked for
    }
    EXPECT_GE(embed_eval("made"), 5);
    EXPECT_GE(embed_eval("refused"), 5);
    EXPECT_LE(embed_limit(t.id).tree_bytes, HARD);
    embed_run("x = [bytes(1 << 20) for i in range(10)]");
    end_tenant(&t);
    embed_stop();
}

CASE(as_many_are_made_as_there_is_room_for)
{
#ifdef Py_DEBUG
    embed_skip("CPython's debug builds assert where memory runs out");
#endif
    tenant t = start_with_tenant();
    embed_run("made = []\n"
              "try:\n"
              "    while True: made.append(_it.create())\n"
              "except Exception: pass\n"
              "assert 5 < len(made) < 40, len(made)\n");
    EXPECT_GT(told, 0);
    EXPECT_LE(embed_limit(t.id).tree_bytes, SOFT);
    EXPECT_GE(embed_limit(t.id).tree_bytes,
              SOFT - 16 * MIB); // no more than one
    embed_run("for i in made: run(i, 'x = sum(range(100))')\n"
              "for i in made: _it.destroy(i)\n"
              "i = _it.create()\n"
              "_it.destroy(i)\n");
    end_tenant(&t);
    embed_stop();
}

CASE(those_that_end_give_back_what_they_had)
{
    tenant t = start_with_tenant();
    embed_run("def life():\n"
              "    i = _it.create()\n"
              "    run(i, 'x = [bytes(1 << 20) for i in range(12)]')\n"
              "    _it.destroy(i)\n"
              "life()\n");
    uint64_t left = embed_limit(t.id).left_bytes;
    embed_run("for _ in range(9): life()\n");
    pimalloc_limit now = embed_limit(t.id);
    EXPECT_LE(now.tree_bytes, now.live_bytes + now.left_bytes);
    EXPECT_LE(now.left_bytes, 10 * left + MIB); // strings, up to 3.13
    if (PY_314_OR_NEWER) {
        EXPECT_LE(now.left_bytes, MIB / 2);
    }
    EXPECT_EQ(told, 0);
    end_tenant(&t);
    embed_stop();
}

CASE(the_limit_holds_for_who_outlives_the_tenant)
{
    tenant t = start_with_tenant();
    PyThreadState *made = embed_new_interp(EMBED_OWN_GIL);
    int64_t id = embed_interp_id();
    embed_run(preamble);
    PyThreadState_Swap(t.state);
    Py_EndInterpreter(t.state);
    PyThreadState_Swap(made);
    EXPECT_EQ(embed_limit(id).parent, t.id);
    EXPECT_EQ(embed_limit(t.id).soft_bytes, SOFT);
    embed_run("exec(hog)");
    EXPECT_EQ(told_of, t.id);
    EXPECT_EQ(pimalloc_limit_set(t.id, 200 * MIB, 0, NULL, NULL), 0);
    embed_run("x = bytes(100 << 20)\n"
              "del x\n");
    Py_EndInterpreter(made);
    PyThreadState_Swap(t.outer);
    EXPECT_EQ(pimalloc_limit_set(t.id, SOFT, 0, NULL, NULL), -ENOENT);
    embed_stop();
}

// --- otherwise -------------------------------------------------------------

CASE(a_host_may_say_otherwise)
{
    tenant t = start_with_tenant();
    EXPECT_EQ(embed_limit(t.id).counts_made, 1);
    EXPECT_EQ(embed_limit(0).counts_made, 0);
    EXPECT_EQ(pimalloc_limit_count_made(t.id, 0), 0);
    int64_t made = make_with(&t, "i = _it.create()");
    EXPECT_EQ(embed_limit(made).parent, PIMALLOC_PROCESS);
    embed_run("run(i, 'x = bytes(100 << 20)')");
    EXPECT_EQ(pimalloc_limit_count_for(made, t.id), 0);
    EXPECT_EQ(embed_limit(made).parent, t.id);
    EXPECT_GE(embed_limit(t.id).tree_bytes, 100 * MIB);
    EXPECT_EQ(pimalloc_limit_count_for(t.id, made), -EINVAL);
    EXPECT_EQ(pimalloc_limit_count_for(made, PIMALLOC_PROCESS), 0);
    EXPECT_LE(embed_limit(t.id).tree_bytes, SOFT);
    EXPECT_EQ(pimalloc_limit_count_for(0, t.id), -EINVAL);
    EXPECT_EQ(pimalloc_limit_count_for(999, t.id), -ENOENT);
    EXPECT_EQ(pimalloc_limit_count_for(PIMALLOC_EACH, t.id), -EINVAL);
    EXPECT_EQ(pimalloc_limit_count_made(999, 1), -ENOENT);
    EXPECT_EQ(pimalloc_limit_count_made(PIMALLOC_PROCESS, 1), -EINVAL);
    embed_run("_it.destroy(i)");
    end_tenant(&t);
    embed_stop();
}

CASE_ENV(of_all_by_the_environment, "PIMALLOC_LIMIT=48M:52M",
         "PIMALLOC_LIMIT_TREE=all")
{
    embed_start();
    EXPECT_EQ(embed_limit(0).counts_made, 1);
    embed_run(preamble);
    embed_run("i = _it.create()\n"
              "run(i, hog)\n"
              "_it.destroy(i)\n");
    EXPECT_GT(embed_limit(0).refusals, 0);
    embed_stop();
}

CASE_ENV(of_none_by_the_environment, "PIMALLOC_LIMIT_TREE=none")
{
    embed_start();
    EXPECT_EQ(embed_limit(PIMALLOC_EACH).counts_made, 0);
    tenant t = begin_tenant();
    int64_t made = make_with(&t, "i = _it.create()");
    EXPECT_EQ(embed_limit(made).parent, PIMALLOC_PROCESS);
    embed_run("_it.destroy(i)");
    end_tenant(&t);
    embed_stop();
}

// test_limits.c -- scripts that run out of what they may have, beside others that
// notice nothing.
//
//   thread 1  an interpreter with a limit: a script that cannot be satisfied
//   thread 2  an interpreter without one: checksums, all the time
//   main      waits, then works and ends
//
// What a scenario ended with is printed: run one by its name to see it.  CPython has
// bugs of its own when memory runs out.  With EMBED_VANILLA=1 the scripts run on
// CPython's allocator with a limit in front of it (support/failing.h), which tells
// whose bug it is.

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pimalloc/tenants.h>

#include "support/embed.h"
#include "support/failing.h"

#define MIB ((uint64_t)1 << 20)
#define SOFT (32 * MIB)
#define HARD (36 * MIB)

// --- the witness ---------------------------------------------------------------

static atomic_bool scenario_ended;

// Works and compares until the scenario has ended, and once more.
static void *
witness(void *arg)
{
    long long *rounds = arg;
    embed_guest guest;
    embed_enter(&guest, EMBED_OWN_GIL);
    embed_run(
        "import json, re, zlib\n"
        "def work(seed):\n"
        "    data = [{'n': i * seed, 's': str(i) * 7} for i in range(400)]\n"
        "    text = json.dumps(data)\n"
        "    assert json.loads(text) == data\n"
        "    text = re.sub('[0-9]', lambda m: chr(97 + int(m[0])), text)\n"
        "    return zlib.crc32(text.encode())\n"
        "want = [work(i) for i in range(5)]\n");
    bool last = false;
    do {
        last = atomic_load(&scenario_ended);
        embed_run("assert [work(i) for i in range(5)] == want\n");
        ++*rounds;
    } while (!last);
    if (!embed_is_vanilla()) {
        pimalloc_limit limit = embed_limit(embed_interp_id());
        EXPECT_EQ(limit.soft_bytes, 0);
        EXPECT_EQ(limit.refusals, 0);
    }
    embed_leave(&guest);
    return NULL;
}

// --- the script ----------------------------------------------------------------

typedef struct script {
    const char *code;
    int64_t id;
    uint64_t soft;
    uint64_t hard;
    uint64_t told;      // refusals the callback heard of
    uint64_t most_live; // of what it heard
    uint64_t most_asked;
    char outcome[200];
} script;

static void
note(void *arg, const pimalloc_refusal *refusal)
{
    script *s = arg;
    s->told++;
    EXPECT_EQ(refusal->interp, s->id);
    EXPECT_EQ(refusal->refusals, s->told);
    if (refusal->live_bytes > s->most_live) {
        s->most_live = refusal->live_bytes;
    }
    if (refusal->bytes > s->most_asked) {
        s->most_asked = refusal->bytes;
    }
}

// The exception that is set, which goes.  Not printed: a traceback of a script that
// recursed until its memory was used up takes CPython minutes.
static void
take_error(script *s)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *text = PyObject_Str(error);
    const char *words = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    snprintf(s->outcome, sizeof(s->outcome), "%s%s%s, reported to the host",
             Py_TYPE(error)->tp_name, words != NULL && *words != 0 ? ": " : "",
             words != NULL ? words : "");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_DECREF(error);
}

static void
run_script(script *s)
{
    PyObject *globals = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject *done = PyRun_String(s->code, Py_file_input, globals, globals);
    if (done == NULL) {
        take_error(s);
        return;
    }
    Py_DECREF(done);
    PyObject *outcome = PyDict_GetItemString(globals, "outcome"); // borrowed
    const char *text = outcome != NULL ? PyUnicode_AsUTF8(outcome) : NULL;
    snprintf(s->outcome, sizeof(s->outcome), "%s",
             text != NULL ? text : "no error");
}

// CPython 3.12 keeps interned strings until the interpreter ends.
static bool
leaves_memory(const script *s)
{
    return PY_312 && strstr(s->code, "sys.intern") != NULL;
}

// What a script left must not keep the interpreter from working.
static void
work_again(void)
{
    embed_run("for name in [n for n in globals() if n[0] != '_']:\n"
              "    del globals()[name]\n"
              "import gc\n"
              "gc.collect()\n");
    embed_run("import json\n"
              "data = [{'n': i} for i in range(20000)]\n"
              "assert json.loads(json.dumps(data)) == data\n");
}

static void
set_limit(script *s)
{
    if (embed_is_vanilla()) {
        failing_limit(PyInterpreterState_Get(), s->soft, s->hard);
    } else {
        EXPECT_EQ(pimalloc_limit_set(s->id, s->soft, s->hard, note, s), 0);
    }
}

static void *
limited(void *arg)
{
    script *s = arg;
    embed_guest guest;
    embed_enter(&guest, EMBED_OWN_GIL);
    s->id = embed_interp_id();
    embed_run("import gc, json"); // what the checks need
    set_limit(s);
    run_script(s);
    if (!embed_is_vanilla()) {
        pimalloc_limit limit = embed_limit(s->id);
        EXPECT_EQ(limit.refusals, s->told);
        EXPECT_GT(s->told, 0);
        EXPECT_LE(s->most_live, s->hard);
    }
    if (!leaves_memory(s)) {
        work_again();
    }
    if (!embed_is_vanilla()) {
        pimalloc_snapshot now = embed_stats(s->id);
        // A block that is moved to shrink may exceed it for a moment.
        EXPECT_LE(now.domain[PIMALLOC_OBJ].peak_bytes, s->hard + MIB);
        EXPECT_LE(now.domain[PIMALLOC_MEM].peak_bytes, s->hard + MIB);
    }
    embed_leave(&guest); // with the limit
    // Up to 3.13 the other thread may swap raw just then, and the end is noticed
    // later (embed/test_ends).
    if (!embed_is_vanilla() &&
        (PY_314_OR_NEWER || embed_stats(s->id).state == PIMALLOC_ENDED)) {
        EXPECT_EQ(embed_stats(s->id).state, PIMALLOC_ENDED);
        EXPECT_EQ(pimalloc_limit_set(s->id, 0, 0, NULL, NULL), -ENOENT);
    }
    return NULL;
}

// One after the other, beside one witness.
static void
run_limited(script *scripts, int count)
{
#ifdef Py_DEBUG
    embed_skip("CPython's debug builds assert where memory runs out");
#endif
    long long rounds = 0;
    embed_preinit();
    embed_install();
    if (embed_is_vanilla()) {
        failing_install();
    }
    embed_init();
    PyThreadState *outer = PyEval_SaveThread();
    pthread_t other = embed_thread(witness, &rounds);
    for (int i = 0; i < count; i++) {
        embed_join(embed_thread(limited, &scripts[i]));
    }
    atomic_store(&scenario_ended, true);
    embed_join(other);
    PyEval_RestoreThread(outer);
    embed_run("import json\n"
              "assert len(bytes(64 << 20)) == 64 << 20\n"
              "assert json.loads('[' + '1,' * 99999 + '1]') == [1] * 100000\n");
    for (int i = 0; i < count; i++) {
        const script *s = &scripts[i];
        printf("%-36s | %9llu | %6.1f | %12.1f | %6lld\n", s->outcome,
               (unsigned long long)s->told, (double)s->most_live / MIB,
               (double)s->most_asked / MIB, rounds);
    }
    embed_stop();
}

// CPython up to 3.13 raises another exception where there is no memory for the
// tracebacks of a deep recursion; with its own allocator, too.
static bool
is_known_of_old_versions(const script *s)
{
    return !PY_314_OR_NEWER && strstr(s->code, "setrecursionlimit") != NULL &&
           strstr(s->outcome, "error return without exception set") != NULL;
}

static void
expect_memory_error(const script *s)
{
    if (strstr(s->outcome, "MemoryError") == NULL &&
        !is_known_of_old_versions(s)) {
        FAIL("a MemoryError, got %s from: %s", s->outcome, s->code);
    }
}

// Runs code that must end with a MemoryError: caught by the script, and, in an
// interpreter of its own, not caught.
static void
scenario(const char *code)
{
    char *caught = malloc(strlen(code) * 2 + 200);
    size_t used = (size_t)sprintf(caught, "def scenario():\n");
    for (const char *line = code; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        used += (size_t)sprintf(caught + used, " %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    sprintf(caught + used, "try:\n"
                           " scenario()\n"
                           " outcome = 'no error'\n"
                           "except MemoryError:\n"
                           " outcome = 'MemoryError, caught by the script'\n"
                           "except BaseException as e:\n"
                           " outcome = type(e).__name__ + ': ' + str(e)\n");
    script scripts[] = {{.code = caught, .soft = SOFT, .hard = HARD},
                        {.code = code, .soft = SOFT, .hard = HARD}};
    run_limited(scripts, 2);
    expect_memory_error(&scripts[0]);
    expect_memory_error(&scripts[1]);
    EXPECT_HAS(scripts[1].outcome, "reported to the host");
    free(caught);
}

#define SCENARIO(name, code) CASE_OF(name, scenario(code))

// --- scenarios -----------------------------------------------------------------

SCENARIO(list_of_a_billion, "x = [0] * 10**9")
SCENARIO(list_of_a_billion_numbers, "x = list(range(10**9))")
SCENARIO(list_that_appends, "x = []\n"
                            "while True: x.append(len(x))")
SCENARIO(dict_that_grows, "d = {}\n"
                          "while True: d[len(d)] = str(len(d))")
SCENARIO(dicts_within_dicts, "d = top = {}\n"
                             "while True:\n"
                             "    d['next'] = {'more': [1, 2, 3]}\n"
                             "    d = d['next']")
SCENARIO(dicts_by_recursion, "import sys\n"
                             "sys.setrecursionlimit(10**7)\n"
                             "def grow(depth):\n"
                             "    return {str(depth): grow(depth + 1),\n"
                             "            'more': [depth] * 50}\n"
                             "grow(0)")
SCENARIO(objects_by_recursion, "import sys\n"
                               "sys.setrecursionlimit(10**7)\n"
                               "class Node: pass\n"
                               "def grow(depth):\n"
                               "    node = Node()\n"
                               "    node.data = bytes(500)\n"
                               "    node.child = grow(depth + 1)\n"
                               "    return node\n"
                               "grow(0)")
SCENARIO(bytes_that_double, "b = b'x'\n"
                            "while True: b = b * 2")
SCENARIO(bytes_of_a_tebibyte, "b = b'x' * 2**40")
SCENARIO(bytearray_that_grows, "b = bytearray()\n"
                               "while True: b += b'0123456789' * 100")
SCENARIO(json_of_nested_lists,
         "import json\n"
         "json.loads('[' + '[[[[[]]]]],' * 200000 + '[]]')")
SCENARIO(json_of_long_strings,
         "import json\n"
         "json.loads('[' + '\"' + '\\\\u00e9' * 3000000 + '\", 1]')")
SCENARIO(json_dump_of_itself_many_times, "import json\n"
                                         "x = ['text'] * 10\n"
                                         "for i in range(8): x = [x] * 10\n"
                                         "json.dumps(x)")
SCENARIO(regex_that_finds_much, "import re\n"
                                "re.findall('.', 'abcd' * 5000000)")
SCENARIO(regex_that_replaces, "import re\n"
                              "re.sub('a', 'b' * 1000, 'a' * 1000000)")
SCENARIO(regex_that_is_long,
         "import re\n"
         "re.compile('|'.join('x%dy(z*)' % i for i in range(10**6)))")
SCENARIO(regex_that_backtracks, "import re\n"
                                "re.match('(?:a|b(?=c))*?$x', 'a' * 20000000)")
SCENARIO(str_join, "import itertools\n"
                   "','.join(str(i) for i in itertools.count())")
SCENARIO(str_join_of_much, "' '.join(['x' * 1000] * 10**6)")
SCENARIO(str_format, "x = '%1000000000d' % 1")
SCENARIO(str_that_adds, "s = ''\n"
                        "while True: s += 'abcdefgh' * 50000")
SCENARIO(numbers_of_many_digits, "x = 1 << 10**10")
// Up to 3.13 CPython frees the code of a function twice that it cannot make
// (docs/faults.md), and writes into free memory.
#if defined(__SANITIZE_ADDRESS__)
#    define IMPORTS_ARE_SOUND PY_314_OR_NEWER
#else
#    define IMPORTS_ARE_SOUND true
#endif

static void
import_much(const char *code)
{
    if (!IMPORTS_ARE_SOUND) {
        embed_skip("CPython writes into free memory");
    }
    scenario(code);
}

CASE_OF(
    imports,
    import_much(
        "import sys, importlib\n"
        "keep = [bytes(1 << 20) for i in range(18)]\n"
        "for name in sorted(sys.stdlib_module_names):\n"
        "    if name in ('antigravity', 'this', 'idlelib', 'crypt'): continue\n"
        "    try: keep.append(importlib.import_module(name))\n"
        "    except MemoryError: raise\n"
        "    except BaseException: pass\n"
        "while True: keep.append(bytes(1 << 20))"))
SCENARIO(classes, "keep = []\n"
                  "while True:\n"
                  "    keep.append(type('C%d' % len(keep), (list,), {'x': 1}))")
SCENARIO(interned_names, "import sys\n"
                         "keep = []\n"
                         "while True:\n"
                         "    keep.append(sys.intern('name%d' % len(keep)))")
SCENARIO(permutations, "import itertools\n"
                       "list(itertools.permutations(range(12)))")
SCENARIO(sets, "s = set()\n"
               "while True: s.add((len(s), 'x'))")
SCENARIO(generators, "def g():\n"
                     "    x = yield\n"
                     "keep = []\n"
                     "while True:\n"
                     "    keep.append(g())\n"
                     "    next(keep[-1])")
// Not asyncio.run(): a loop that finds no memory for a callback forgets it, and who
// waits for what the callback was to wake waits for ever.  Here nobody does.
SCENARIO(tasks,
         "import asyncio\n"
         "async def wait():\n"
         "    await asyncio.sleep(3600)\n"
         "loop = asyncio.new_event_loop()\n"
         "loop.set_exception_handler(lambda loop, context: None)\n"
         "try:\n"
         "    keep = [bytes(1 << 20) for i in range(20)]\n"
         "    while True:\n"
         "        for i in range(100): keep.append(loop.create_task(wait()))\n"
         "        loop.stop()\n" // after one round
         "        loop.run_forever()\n"
         "finally:\n"
         "    keep = None\n"
         "    loop.close()")
SCENARIO(errors_that_chain,
         "def f():\n"
         "    keep = None\n"
         "    while True:\n"
         "        try:\n"
         "            raise ValueError('x' * 1000) from keep\n"
         "        except ValueError as e: keep = e\n"
         "f()")
SCENARIO(source_that_is_long,
         "compile('+'.join(['a1'] * 2000000), 's', 'eval')")
SCENARIO(source_of_many_lines,
         "compile('x = [1, (2, 3), \"a\"]\\n' * 400000, 's', 'exec')")
SCENARIO(pickle_bomb,
         "import pickle\n"
         "x = []\n"
         "for i in range(300000): x.append({'n': i, 's': str(i)})\n"
         "pickle.loads(pickle.dumps(x))")
SCENARIO(zip_bomb,
         "import zlib\n"
         "c = zlib.compressobj(9)\n"
         "d = b''.join([c.compress(bytes(1 << 20)) for i in range(60)]\n"
         "             + [c.flush()])\n"
         "zlib.decompress(d)")
SCENARIO(copies_of_itself,
         "import copy\n"
         "x = [1, {'a': (2, 3)}]\n"
         "while True: x = [copy.deepcopy(x), copy.deepcopy(x)]")
SCENARIO(finalizers_that_allocate,
         "class C:\n"
         "    def __del__(self): x = [bytes(100)] * 100\n"
         "keep = []\n"
         "while True: keep.append(C())")

// Small blocks only, every error swallowed: it never gets beyond the hard limit.
CASE(script_that_will_not_listen)
{
    script s = {.code = "keep = None\n"
                        "caught = 0\n"
                        "while caught < 200:\n"
                        "    try:\n"
                        "        while True: keep = (keep, 'x')\n"
                        "    except MemoryError: caught += 1\n"
                        "keep = None\n" // nothing would work otherwise
                        "outcome = 'caught %d' % caught\n",
                .soft = SOFT,
                .hard = HARD};
    run_limited(&s, 1);
    EXPECT_HAS(s.outcome, "caught 200");
    EXPECT(s.told >= 200 || embed_is_vanilla());
}

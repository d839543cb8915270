// test_leaks.c -- what an interpreter leaves is told, by type where it can be.

#include <pimalloc/tenants.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "support/embed.h"
#include "support/scratch.h"

#define NAME_MAX_HERE 100

// A copy of the last report.
typedef struct report {
    pimalloc_leaks sum;
    pimalloc_leak leaks[2000];
    char names[2000][NAME_MAX_HERE];
    int times;
} report;

static report last;

static void
copy(void *arg, const pimalloc_leaks *leaks)
{
    report *r = arg;
    EXPECT_EQ(leaks->size, sizeof(*leaks));
    EXPECT_EQ(leaks->leak_size, sizeof(pimalloc_leak));
    EXPECT(leaks->count <= 2000);
    r->sum = *leaks;
    r->times++;
    for (size_t i = 0; i < leaks->count; i++) {
        r->leaks[i] = leaks->leaks[i];
        r->names[i][0] = '\0';
        if (leaks->leaks[i].type != NULL) {
            snprintf(r->names[i], NAME_MAX_HERE, "%s", leaks->leaks[i].type);
        }
    }
}

// The report is consistent in itself.
static void
expect_sums(void)
{
    uint64_t blocks = last.sum.more_blocks;
    uint64_t bytes = last.sum.more_bytes;
    uint64_t python_blocks = 0;
    for (size_t i = 0; i < last.sum.count; i++) {
        const pimalloc_leak *leak = &last.leaks[i];
        EXPECT_GT(leak->blocks, 0);
        EXPECT_GE(leak->bytes, leak->blocks * 16);
        EXPECT(i == 0 || leak->bytes <= last.leaks[i - 1].bytes);
        EXPECT(!leak->is_pythons || strcmp(last.names[i], "str") == 0);
        blocks += leak->blocks;
        bytes += leak->bytes;
        python_blocks += leak->is_pythons ? leak->blocks : 0;
    }
    EXPECT_EQ(blocks, last.sum.blocks);
    EXPECT_EQ(bytes, last.sum.bytes);
    EXPECT_EQ(python_blocks, last.sum.python_blocks);
    pimalloc_snapshot s = embed_stats(last.sum.interp);
    EXPECT_EQ(s.state, PIMALLOC_ENDED);
    EXPECT_EQ(blocks, s.domain[PIMALLOC_MEM].live_blocks +
                          s.domain[PIMALLOC_OBJ].live_blocks);
    EXPECT_EQ(bytes, s.domain[PIMALLOC_MEM].live_bytes +
                         s.domain[PIMALLOC_OBJ].live_bytes);
}

// Blocks of a type, or "" for what is not recognised, that are not CPython's own.
static uint64_t
blocks_of(const char *type)
{
    uint64_t n = 0;
    for (size_t i = 0; i < last.sum.count; i++) {
        if (!last.leaks[i].is_pythons && strcmp(last.names[i], type) == 0) {
            n += last.leaks[i].blocks;
        }
    }
    return n;
}

static uint64_t
bytes_of(const char *type)
{
    uint64_t n = 0;
    for (size_t i = 0; i < last.sum.count; i++) {
        if (strcmp(last.names[i], type) == 0) {
            n += last.leaks[i].bytes;
        }
    }
    return n;
}

static PyThreadState *outer;

static void
begin(void)
{
    embed_skip_if_vanilla("reports are ours alone");
    embed_start();
    pimalloc_leaks_set(copy, &last);
    outer = PyThreadState_Get();
}

static void
end_interp(PyThreadState *sub)
{
    int64_t id = embed_interp_id();
    int times = last.times;
    Py_EndInterpreter(sub);
    PyThreadState_Swap(outer);
    EXPECT_EQ(last.times, times + 1);
    EXPECT_EQ(last.sum.interp, id);
    EXPECT_EQ(last.sum.generation, 1);
    expect_sums();
}

static void
print_own(void)
{
    for (size_t i = 0; i < last.sum.count; i++) {
        const pimalloc_leak *l = &last.leaks[i];
        if (!l->is_pythons) {
            fprintf(stderr,
                    "  %llu blocks, %llu bytes, domain %d class %d %s\n",
                    (unsigned long long)l->blocks, (unsigned long long)l->bytes,
                    l->domain, l->size_class, last.names[i]);
        }
    }
}

static uint64_t
own_blocks(void)
{
    return last.sum.blocks - last.sum.python_blocks;
}

static const char *const some_work =
    "import json, re\n"
    "x = [json.dumps({'a': [i, str(i)]}) for i in range(1000)]\n"
    "re.compile('(a|b)*c').match('ababc')\n";

CASE(interpreter_that_ends_cleanly_leaves_nothing_of_its_own)
{
    begin();
    for (int i = 0; i < 3; i++) {
        PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
        embed_run(some_work);
        void *raw = PyMem_RawMalloc(5000); // reports are not about these
        end_interp(sub);
        PyMem_RawFree(raw);
        if (own_blocks() != 0) {
            print_own();
        }
        EXPECT_EQ(own_blocks(), 0);
        if (PY_314_OR_NEWER) {
            EXPECT_EQ(last.sum.blocks, 0);
        } else if (!PY_IS_DEBUG) {
            EXPECT_GT(last.sum.python_blocks, 100);
        }
    }
    embed_stop();
}

// Leaked as C code does that forgets to let go.
static void
forget(const char *expression)
{
    PyObject *main_module = PyImport_AddModule("__main__"); // borrowed
    PyObject *globals = PyModule_GetDict(main_module);
    PyObject *object =
        PyRun_String(expression, Py_eval_input, globals, globals);
    EXPECT(object != NULL);
}

CASE(leaked_objects_are_told_by_their_types)
{
    begin();
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    embed_run(some_work);
    for (int i = 0; i < 7; i++) {
        forget("2.5 * len(x)");
    }
    forget("bytes(1 << 20)");
    forget("[1j * len(x)]");         // collected
    forget("{'key': (1 << 90, 2)}"); // and what they hold
    end_interp(sub);
    EXPECT_EQ(blocks_of("float"), 7);
    EXPECT_EQ(blocks_of("bytes"), 1);
    EXPECT_GE(bytes_of("bytes"), 1 << 20);
    EXPECT_EQ(blocks_of("list"), 1);
    EXPECT_EQ(blocks_of("complex"), 1);
    EXPECT_EQ(blocks_of("dict"), 1);
    EXPECT_EQ(blocks_of("tuple"), 1);
    EXPECT_EQ(blocks_of("int"), 1);
    embed_stop();
}

CASE(leaked_instance_is_told_by_the_name_of_its_class)
{
    begin();
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    embed_run("class Leaky:\n    pass\n"
              "class Slotted:\n    __slots__ = ('a',)\n"
              "class Meta(type):\n    pass\n"
              "class OfMeta(int, metaclass=Meta):\n    pass\n"
              "class W\u00fcst:\n    pass\n"
              "class " /* of 90 letters */
              "Abcdefghijklmnopqrstuvwxyz0123456789"
              "Abcdefghijklmnopqrstuvwxyz0123456789"
              "Abcdefghijklmnopqr:\n    pass\n");
    forget("Leaky()");
    forget("Leaky()");
    forget("Slotted()");
    forget("OfMeta(3)");
    forget("W\u00fcst()");
    forget("Abcdefghijklmnopqrstuvwxyz0123456789"
           "Abcdefghijklmnopqrstuvwxyz0123456789"
           "Abcdefghijklmnopqr()");
    end_interp(sub);
    EXPECT_EQ(blocks_of("Leaky"), 2);
    EXPECT_EQ(blocks_of("Slotted"), 1);
    EXPECT_EQ(blocks_of("OfMeta"), 1);
    // Some Pythons have freed this text at the end although the class is there.
    EXPECT_EQ(blocks_of("W??st"), PY_314_OR_NEWER || PY_IS_DEBUG ? 0 : 1);
    EXPECT_EQ(blocks_of("Abcdefghijklmnopqrstuvwxyz0123456789"
                        "Abcdefghijklmnopqrstuvwxyz0123456789"
                        "Abcd..."),
              1);
    EXPECT_GE(blocks_of("type"), 4); // the classes themselves
    embed_stop();
}

// --- what only looks like an object -------------------------------------------

typedef struct fake_object {
    intptr_t words[12];
} fake_object;

static fake_object *
new_fake(intptr_t count, const void *type)
{
    fake_object *fake = PyObject_Malloc(sizeof(*fake));
    EXPECT(fake != NULL);
    for (size_t i = 0; i < 12; i += 2) {
        fake->words[i] = count;
        fake->words[i + 1] = (intptr_t)type;
    }
    return fake;
}

// A type that is right in all but one thing.
static PyTypeObject *
damaged_type(size_t offset, intptr_t value)
{
    PyTypeObject *type = malloc(sizeof(*type));
    EXPECT(type != NULL);
    memcpy(type, &PyFloat_Type, sizeof(*type));
    memcpy((char *)type + offset, &value, sizeof(value));
    return type;
}

CASE(blocks_that_only_look_like_objects_are_not_believed)
{
    begin();
    long page = 4096;
    char *map = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(map != MAP_FAILED);
    char *end = map + page; // nothing can be read from here on
    EXPECT_EQ(mprotect(end, (size_t)page, PROT_NONE), 0);
    static char loop[sizeof(PyTypeObject)] __attribute__((aligned(16)));
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    int n = 0;
#define FAKE(count, type) (new_fake((count), (type)), n++)
    FAKE(1, NULL);
    FAKE(1, (void *)8);
    FAKE(1, (void *)1);
    FAKE(1, (void *)-1);
    FAKE(1, (void *)-4096);
    FAKE(1, (void *)0x123456789abcdef0);
    FAKE(1, end);
    FAKE(1, end - 64); // begins where it can be read
    FAKE(1, loop);
    FAKE(0, &PyFloat_Type); // dead
    fake_object *self = new_fake(1, NULL);
    n++;
    for (int i = 1; i < 12; i += 2) {
        self->words[i] = (intptr_t)self;
    }
    fake_object *ring = new_fake(1, self);
    n++;
    self->words[3] = (intptr_t)ring;
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_name), 0));
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_name), 16));
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_name), (intptr_t)end));
    memset(end - 4, 'x', 4); // a name without an end
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_name), (intptr_t)(end - 4)));
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_name), (intptr_t) ""));
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_name), (intptr_t) "a\nb"));
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_flags),
                         Py_TPFLAGS_HEAPTYPE)); // not ready
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_basicsize), -1));
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_basicsize), 0));
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_basicsize), 1000));
    FAKE(1, damaged_type(offsetof(PyTypeObject, tp_itemsize), -1));
    FAKE(1, damaged_type(offsetof(PyObject, ob_type), 0));
    FAKE(1, damaged_type(offsetof(PyObject, ob_type), (intptr_t)&PyFloat_Type));
    FAKE(1, damaged_type(offsetof(PyObject, ob_type), (intptr_t)loop));
    FAKE(1, damaged_type(0, 0)); // a type that is gone
    FAKE(1, &PyList_Type);       // not where an object of it would point from
#undef FAKE
    new_fake(1, &PyFloat_Type); // and one that is believed
    new_fake(1,
             damaged_type(offsetof(PyTypeObject, tp_name), (intptr_t) "sound"));
    end_interp(sub);
    EXPECT_EQ(blocks_of("float"), 1);
    EXPECT_EQ(blocks_of("sound"), 1);
    EXPECT_EQ(blocks_of("list"), 1); // behind a header it would
    EXPECT_EQ(blocks_of(""), n - 1);
    embed_stop();
}

CASE(random_blocks_are_survived)
{
    begin();
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    uint32_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        size_t words = 2 + embed_random(&seed) % 40;
        intptr_t *block = PyObject_Malloc(words * sizeof(*block));
        EXPECT(block != NULL);
        for (size_t w = 0; w < words; w++) {
            uint32_t dice = embed_random(&seed);
            block[w] = dice % 4 == 0 ? (intptr_t)block + (intptr_t)(dice % 512)
                       : dice % 4 == 1 ? (intptr_t)&PyType_Type + dice % 64
                       : dice % 4 == 2 ? (intptr_t)dice
                                       : (intptr_t)dice << 24;
        }
    }
    end_interp(sub);
    EXPECT_GE(own_blocks(), 20000);
    embed_stop();
}

// More kinds than the table has room for.
CASE(kinds_without_room_are_counted_in_a_sum)
{
    begin();
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    embed_run("kept = [type('T%d' % i, (), {})() for i in range(3000)]\n");
    forget("kept");
    end_interp(sub);
    EXPECT_GE(last.sum.blocks, 6000);
    EXPECT_GT(last.sum.count, 300);
    EXPECT_GT(blocks_of("") + last.sum.more_blocks, 1000);
    embed_stop();
}

// --- who is told ---------------------------------------------------------------

CASE(nobody_is_told_who_does_not_ask)
{
    begin();
    pimalloc_leaks_set(NULL, NULL);
    PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
    Py_EndInterpreter(sub);
    PyThreadState_Swap(outer);
    EXPECT_EQ(last.times, 0);
    pimalloc_leaks_set(copy, &last);
    sub = embed_new_interp(EMBED_OWN_GIL);
    end_interp(sub);
    embed_stop();
}

CASE(report_is_appended_to_the_file_that_the_environment_names)
{
    char value[4200];
    scratch_make();
    snprintf(value, sizeof(value), "text:%s", scratch_path("left"));
    setenv("PIMALLOC_LEAKS", value, 1);
    begin();
    for (int i = 0; i < 2; i++) {
        PyThreadState *sub = embed_new_interp(EMBED_OWN_GIL);
        forget("bytes(1 << 20)");
        end_interp(sub);
    }
    const char *text = scratch_read(scratch_path("left"));
    EXPECT_HAS(text, "pimalloc: interpreter 1 of process ");
    EXPECT_HAS(text, "pimalloc: interpreter 2 of process ");
    EXPECT_HAS(text, " ended and left 1 block, 1,0");
    EXPECT_HAS(text, "  obj       large  bytes\n");
    embed_stop();
    scratch_remove(1);
}

// test_frames.c -- what makes pim_frames_start() refuse, on a made-up CPython.
//
// The stack is made of bytes, once as 3.12 has it and once as each version with a
// table of offsets.  CPython's own answer about it is a list, in which one thing
// after another is made to differ.

#include <Python.h>
#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>

#include "hooks/frames.h"
#include "hooks/frame_layout.h"
#include "support/expect.h"

#define DEPTH 3 // frames that CPython shows
#define UNITS 40
#define FIRST_TRACEABLE 4

// Where our CPythons have their fields.
enum {
    FRAME_BYTES = 88,
    FRAME_PREVIOUS = 8,
    FRAME_INSTR = 56,
    FRAME_OWNER = 74, // 3.12: 70
    CODE_FIRST_LINE = 68,
    CODE_FILE = 112,
    CODE_FUNCTION = 128,
    CODE_LINES = 136,
    CODE_BYTECODE = 208, // 3.12: 192
    TSTATE_BYTES = 300,
    TSTATE_NEWEST = 72, // 3.12: 56
};

typedef struct fake_str {
    PyASCIIObject head;
    char text[32];
} fake_str;

typedef union fake_bytes {
    PyBytesObject head;
    char all[sizeof(PyBytesObject) + 32];
} fake_bytes;

#define BYTES_AT offsetof(PyBytesObject, ob_sval)

typedef struct answer {
    void *code;
    int lasti;
    int line;
    const char *file; // NULL: an error
    const char *function;
} answer;

static char runtimes[64][1024]; // one after another, for what is found is kept
static unsigned runs;
static char tstate[TSTATE_BYTES];
static char *cframe;
static char frames[DEPTH + 2][FRAME_BYTES];
static char codes[DEPTH][PIM_CODE_BYTES_MAX];
static fake_str files[DEPTH];
static fake_str functions[DEPTH];
static fake_bytes lines[DEPTH];
static fake_bytes encoded;
static answer answers[DEPTH + 1];
static unsigned shown; // how many of them CPython says there are
static int references; // taken and not given back
static int errors;     // raised and not cleared

// --- the functions that the walk is compared with --------------------------

static PyFrameObject *
frame_object(unsigned i)
{
    references += i < shown;
    return i < shown ? (PyFrameObject *)(void *)&answers[i] : NULL;
}

static const answer *
answer_of(const void *object)
{
    return object;
}

PyFrameObject *
PyThreadState_GetFrame(PyThreadState *of)
{
    EXPECT_PTR_EQ(of, tstate);
    return frame_object(0);
}

PyFrameObject *
PyFrame_GetBack(PyFrameObject *frame)
{
    return frame_object((unsigned)(answer_of(frame) - answers) + 1);
}

PyCodeObject *
PyFrame_GetCode(PyFrameObject *frame)
{
    references++;
    return answer_of(frame)->code;
}

int
PyFrame_GetLasti(PyFrameObject *frame)
{
    return answer_of(frame)->lasti;
}

int
PyFrame_GetLineNumber(PyFrameObject *frame)
{
    return answer_of(frame)->line;
}

PyObject *
PyObject_GetAttrString(PyObject *code, const char *name)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        if ((void *)code == codes[i]) {
            bool is_file = strcmp(name, "co_filename") == 0;
            EXPECT(is_file || strcmp(name, "co_qualname") == 0);
            const char *text = is_file ? answers[i].file : answers[i].function;
            references += text != NULL;
            errors += text == NULL;
            return (PyObject *)(uintptr_t)text;
        }
    }
    errors++;
    return NULL;
}

PyObject *
PyUnicode_AsEncodedString(PyObject *text, const char *encoding, const char *how)
{
    size_t length = strlen((const char *)text);
    EXPECT_EQ(strcmp(encoding, "utf-8"), 0);
    EXPECT_EQ(strcmp(how, "replace"), 0);
    encoded.head.ob_base.ob_size = (Py_ssize_t)length;
    memcpy(encoded.all + BYTES_AT, text, length);
    references++;
    return (PyObject *)&encoded;
}

void
PyErr_Clear(void)
{
    errors--;
}

void
Py_DecRef(PyObject *object)
{
    EXPECT_NOT_NULL(object);
    references--;
}

static PyThreadState *
attached(void)
{
    return (PyThreadState *)(void *)tstate;
}

static PyThreadState *
detached(void)
{
    return NULL;
}

// --- the stack -------------------------------------------------------------

static void
put(char *base, size_t offset, const void *value, size_t bytes)
{
    memcpy(base + offset, value, bytes);
}

static void
put_pointer(char *base, size_t offset, const void *pointer)
{
    put(base, offset, &pointer, sizeof(pointer));
}

static void
put_int(char *base, size_t offset, int number)
{
    put(base, offset, &number, sizeof(number));
}

static bool
is_3_12(void)
{
    return pim_py.hexversion >> 16 == 0x030c;
}

static size_t
bytecode_at(void)
{
    return is_3_12() ? CODE_BYTECODE - 16 : CODE_BYTECODE;
}

static void
make_str(fake_str *str, const char *text)
{
    str->head.length = (Py_ssize_t)strlen(text);
    str->head.state.kind = 1;
    str->head.state.compact = 1;
    str->head.state.ascii = 1;
    strcpy(str->text, text);
}

static void
make_code(unsigned i)
{
    static const char *const file[DEPTH] = {"c.py", "b.py", "a.py"};
    static const char *const function[DEPTH] = {"C.f", "g.<locals>.h", "<m>"};
    char *code = codes[i];
    make_str(&files[i], file[i]);
    make_str(&functions[i], function[i]);
    // One entry for eight units, a line each.
    for (unsigned u = 0; u < UNITS / 8; u++) {
        memcpy(&lines[i].all[BYTES_AT + 3 * u], "\xdf\0\0", 3); // kind 11
    }
    lines[i].head.ob_base.ob_size = 3 * (UNITS / 8);
    put_pointer(code, CODE_FILE, &files[i]);
    put_pointer(code, CODE_FUNCTION, &functions[i]);
    put_pointer(code, CODE_LINES, &lines[i]);
    put_int(code, CODE_FIRST_LINE, 10 * (int)i);
    put_int(code, bytecode_at() - 16, FIRST_TRACEABLE);
    // The first is a generator's, which counts wherever it is.
    int unit = 8 * (int)i + (i == 0 ? FIRST_TRACEABLE - 1 : FIRST_TRACEABLE);
    answers[i] = (answer){.code = code,
                          .lasti = 2 * unit,
                          .line = 10 * (int)i + unit / 8 + 1,
                          .file = file[i],
                          .function = function[i]};
}

static void
make_frame(char *frame, char *code, int lasti, int owner, char *previous)
{
    put_pointer(frame, 0, is_3_12() ? code : code + 1); // a tag
    put_pointer(frame, FRAME_PREVIOUS, previous);
    put_pointer(frame, FRAME_INSTR, code + bytecode_at() + lasti);
    frame[is_3_12() ? 70 : FRAME_OWNER] = (char)owner;
}

// The newest frame has not begun, a generator's follows, and below the bottom is
// a frame of CPython's own, whose code may be anything.
static void
make_stack(void)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        make_code(i);
    }
    make_frame(frames[0], codes[0], answers[0].lasti, 0, frames[1]);
    make_frame(frames[1], codes[0], answers[0].lasti, 1, frames[2]);
    make_frame(frames[2], codes[1], answers[1].lasti, 0, frames[3]);
    make_frame(frames[3], codes[2], answers[2].lasti, 2, frames[4]);
    make_frame(frames[4], NULL, 0, 3, NULL);
    cframe = frames[0];
    put_pointer(tstate, is_3_12() ? 56 : TSTATE_NEWEST,
                is_3_12() ? (void *)&cframe : frames[0]);
    shown = DEPTH;
}

// --- the table of offsets ---------------------------------------------------

typedef struct place {
    unsigned long hexversion;
    size_t tstate, frame, code;
} place;

static const place places[] = {
    {0x030d0cf0, 152, 224, 272},
    {0x030e00f0, 176, 248, 312},
    {0x030f02f0, 176, 312, 376},
};

static void
put_row(char *at, const uint64_t *row, size_t n)
{
    memcpy(at, row, n * sizeof(*row));
}

static char *
make_table(const place *where)
{
    char *table = runtimes[runs++ % PIM_ARRAY_LEN(runtimes)];
    uint64_t head[] = {where->hexversion, 0};
    uint64_t state[] = {TSTATE_BYTES, 0, 8, 16, TSTATE_NEWEST};
    uint64_t frame[] = {FRAME_BYTES, FRAME_PREVIOUS, 0, FRAME_INSTR,
                        80,          FRAME_OWNER};
    uint64_t code[] = {
        CODE_BYTECODE + 8, CODE_FILE, 120, CODE_FUNCTION, CODE_LINES,
        CODE_FIRST_LINE,   52,        96,  104,           CODE_BYTECODE};
    memset(table, 0xff, sizeof(runtimes[0]));
    memcpy(table, "xdebugpy", 8);
    put_row(table + 8, head, 2);
    put_row(table + where->tstate, state, 5);
    put_row(table + where->frame, frame, 6);
    put_row(table + where->code, code, 10);
    return table;
}

static char *
begin_on(const place *where)
{
    pim_py = (pim_py_api){.tstate = attached, .hexversion = where->hexversion};
    char *table = make_table(where);
    pim_py.runtime = table;
    make_stack();
    return table;
}

static void
begin_on_3_12(void)
{
    begin_on(&places[0]);
    pim_py.hexversion = 0x030c01f0;
    make_stack();
}

static char *
begin(void)
{
    return begin_on(&places[1]);
}

static void
expect_refusal(const char *part)
{
    pim_frame out[1];
    unsigned total = 7;
    EXPECT(!pim_frames_start());
    EXPECT_NOT_NULL(pim_frames_refusal());
    if (strstr(pim_frames_refusal(), part) == NULL) {
        expect_failed(__FILE__, __LINE__, pim_frames_refusal());
    }
    EXPECT_EQ(pim_frames_walk(tstate, out, 1, &total), 0);
    EXPECT_EQ(total, 0);
    EXPECT_EQ(references, 0);
    EXPECT_EQ(errors, 0);
}

static void
expect_frames(void)
{
    pim_frame out[DEPTH + 1];
    unsigned total = 0;
    char text[40];
    EXPECT(pim_frames_start());
    EXPECT_NULL(pim_frames_refusal());
    EXPECT_EQ(references, 0);
    EXPECT_EQ(pim_frames_walk(tstate, out, DEPTH + 1, &total), DEPTH);
    EXPECT_EQ(total, DEPTH);
    for (unsigned i = 0; i < DEPTH; i++) {
        EXPECT_PTR_EQ(out[i].code, codes[i]);
        EXPECT_EQ(pim_frames_line(&out[i]), answers[i].line);
        EXPECT_EQ(pim_frames_file(codes[i], text, sizeof(text)),
                  strlen(answers[i].file));
        EXPECT_EQ(strcmp(text, answers[i].file), 0);
        pim_frames_function(codes[i], text, sizeof(text));
        EXPECT_EQ(strcmp(text, answers[i].function), 0);
    }
    EXPECT_EQ(pim_frames_walk(tstate, out, 1, &total), 1);
    EXPECT_EQ(total, DEPTH);
    EXPECT_EQ(pim_frames_walk(tstate, out, 2, NULL), 2);
    EXPECT_EQ(pim_frames_walk(tstate, NULL, 0, &total), 0);
    EXPECT_EQ(total, DEPTH);
}

// --- cases -----------------------------------------------------------------

TEST(before_the_start_there_are_no_frames)
{
    pim_frame out[1];
    EXPECT_NOT_NULL(pim_frames_refusal());
    EXPECT_EQ(pim_frames_walk(tstate, out, 1, NULL), 0);
}

TEST(each_layout_is_proven)
{
    for (size_t i = 0; i < PIM_ARRAY_LEN(places); i++) {
        begin_on(&places[i]);
        expect_frames();
    }
    begin_on_3_12();
    expect_frames();
}

TEST(the_proof_is_made_once)
{
    begin();
    expect_frames();
    shown = 0;
    EXPECT(pim_frames_start());
    begin()[0] = 'y';
    expect_refusal("begin with a table");
    memcpy((char *)(uintptr_t)pim_py.runtime, "x", 1);
    expect_refusal("begin with a table");
}

TEST(a_wrong_cookie_is_refused)
{
    begin()[7] = 'x';
    expect_refusal("begin with a table");
}

TEST(another_version_is_refused)
{
    begin();
    pim_py.hexversion = 0x030e01f0;
    expect_refusal("another version's");
}

TEST(free_threaded_builds_are_refused)
{
    begin()[16] = 1;
    expect_refusal("free-threaded");
    begin();
    pim_py.free_threaded = true;
    expect_refusal("free-threaded");
}

TEST(unknown_versions_are_refused)
{
    static const unsigned long versions[] = {0, 0x030b08f0, 0x031000f0,
                                             0x040c0000};
    for (size_t i = 0; i < PIM_ARRAY_LEN(versions); i++) {
        begin();
        pim_py.hexversion = versions[i];
        expect_refusal("version of CPython is not known");
    }
    begin();
    pim_py.runtime = NULL;
    expect_refusal("hides its runtime");
}

// Each word of the three rows in turn; sizes too small or too large.
TEST(offsets_outside_are_refused)
{
    static const uint64_t bad[] = {0, 7, 1 << 20, UINT64_MAX - 4};
    const place *where = &places[1];
    const size_t sizes[] = {where->tstate, where->frame, where->code};
    for (size_t i = 0; i < PIM_ARRAY_LEN(sizes) * PIM_ARRAY_LEN(bad); i++) {
        put(begin(), sizes[i / PIM_ARRAY_LEN(bad)],
            &bad[i % PIM_ARRAY_LEN(bad)], sizeof(bad[0]));
        expect_refusal("not as in its other builds");
    }
    const size_t offsets[] = {where->tstate + 32, where->frame + 8,
                              where->frame + 24,  where->frame + 40,
                              where->code + 8,    where->code + 24,
                              where->code + 32,   where->code + 40};
    const uint64_t beyond = CODE_BYTECODE * 2;
    for (size_t i = 0; i < PIM_ARRAY_LEN(offsets); i++) {
        put(begin(), offsets[i], &beyond, sizeof(beyond));
        expect_refusal("not as in its other builds");
    }
}

TEST(a_walk_that_differs_is_refused)
{
    const answer right = (begin(), answers[1]);
    answer wrong[5] = {right, right, right, right, right};
    wrong[0].code = codes[2];
    wrong[1].lasti += 2;
    wrong[2].line = -1;
    wrong[3].file = "other.py";
    wrong[4].function = NULL;
    for (size_t i = 0; i < PIM_ARRAY_LEN(wrong); i++) {
        begin();
        answers[1] = wrong[i];
        expect_refusal("not laid out");
    }
    begin();
    shown = DEPTH - 1;
    expect_refusal("not laid out");
    begin();
    answers[DEPTH] = right;
    shown = DEPTH + 1;
    expect_refusal("not laid out");
}

TEST(a_walk_that_leads_nowhere_is_refused)
{
    void *nowhere =
        mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    begin();
    put_pointer(frames[2], FRAME_PREVIOUS, nowhere);
    expect_refusal("not laid out");
    begin();
    put_pointer(frames[2], 0, nowhere);
    expect_refusal("not laid out");
    begin();
    put_pointer(tstate, TSTATE_NEWEST, nowhere);
    expect_refusal("not laid out");
    begin();
    put_pointer(frames[4], FRAME_PREVIOUS, frames[0]); // round and round
    expect_refusal("not laid out");
    munmap(nowhere, 4096);
}

TEST(without_python_code_it_is_tried_again)
{
    begin();
    shown = 0;
    expect_refusal("no Python code");
    pim_py.tstate = detached;
    expect_refusal("no Python code");
    pim_py.tstate = attached;
    shown = DEPTH;
    expect_frames();
}

TEST(hidden_functions_are_a_reason)
{
    begin();
    pim_py.module = dlopen("libm.so.6", RTLD_LAZY);
    expect_refusal("hides functions");
}

SUITE()

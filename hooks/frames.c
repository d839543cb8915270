// frames.c -- the Python stack of a thread, read by borrowed fields.
//
//     thread state --> frame --previous--> frame --> ... --> NULL
//                        |--> code object: names, lines, bytecode
//                        '--> instruction, in the bytecode
//
// Some frames are CPython's own: they stand for a C function that runs Python
// code, and what they have for code may be anything.  And a frame is begun before
// its function is: then it executes an instruction before the first traceable
// one.  CPython shows neither, and so do we.
//
// The proof compares a walk with what CPython says of the same stack: code,
// instruction, line and names of each frame, and their number.  Before that walk
// the kernel reads the same memory, as a wrong layout may lead anywhere.

#include "hooks/frames.h"

#include <Python.h>
#include <string.h>

#include "base/atomic.h"
#include "cpython/symbols.h"
#include "hooks/frame_layout.h"
#include "hooks/line_table.h"
#include "hooks/text_of_str.h"
#include "platform/os.h"

// Of a frame, by its owner.
enum {
    OWNER_GENERATOR = 1,
    OWNER_OF_CPYTHON = 3, // this, and all above
};

#define UNIT_BYTES 2 // of bytecode
#define TAG_BITS ((uintptr_t)3)

// How much the proof looks at.
#define PROOF_FRAMES 64
#define PROOF_NAME_BYTES 2048
#define PROOF_STACK_MAX (1u << 18) // a chain with more is a circle

static const char not_asked[] = "pimalloc has not looked for frames";
static const char no_python[] =
    "no Python code was running, on which to prove the layout of frames";
static const char hidden[] =
    "CPython hides functions that frames are proven with";
static const char differs[] =
    "frames are not laid out as in other builds of this CPython";

static pim_frame_layout layout; // constant while there is no refusal
static const void *judged;      // the runtime that the refusal is about
static const char *_Atomic refusal = not_asked;

// --- reading ---------------------------------------------------------------

static const char *
pointer_in(const void *base, unsigned offset)
{
    const char *pointer;
    memcpy(&pointer, (const char *)base + offset, sizeof(pointer));
    return pointer;
}

static int
int_in(const void *base, unsigned offset)
{
    int number;
    memcpy(&number, (const char *)base + offset, sizeof(number));
    return number;
}

static const char *
untagged(const char *pointer)
{
    return (const char *)((uintptr_t)pointer & ~TAG_BITS);
}

// Bytes from the begin of the bytecode; below 0: nothing was executed.
static ptrdiff_t
offset_of(const pim_frame *frame)
{
    return (const char *)frame->instr -
           ((const char *)frame->code + layout.bytecode);
}

static const char *
newest_of(const void *tstate)
{
    const char *frame = pointer_in(tstate, layout.newest);
    return layout.is_two_steps && frame != NULL ? pointer_in(frame, 0) : frame;
}

// Whether CPython shows a frame.  The owner comes first: where it is CPython
// itself, code may be a pointer to anything.
static bool
read_frame(const char *frame, pim_frame *out)
{
    unsigned char owner = (unsigned char)frame[layout.owner];
    if (owner >= OWNER_OF_CPYTHON) {
        return false;
    }
    out->code = untagged(pointer_in(frame, layout.code));
    out->instr = pointer_in(frame, layout.instr);
    // A generator has begun before it has a frame of its own.
    return owner == OWNER_GENERATOR ||
           offset_of(out) >= (ptrdiff_t)UNIT_BYTES *
                                 int_in(out->code, layout.first_traceable);
}

static unsigned
walk(const void *tstate, pim_frame *out, unsigned capacity, unsigned *total)
{
    unsigned depth = 0;
    const char *frame = newest_of(tstate);
    while (frame != NULL && (depth < capacity || total != NULL)) {
        pim_frame seen;
        if (read_frame(frame, &seen)) {
            if (depth < capacity) {
                out[depth] = seen;
            }
            depth++;
        }
        frame = pointer_in(frame, layout.previous);
    }
    if (total != NULL) {
        *total = depth;
    }
    return depth < capacity ? depth : capacity;
}

unsigned
pim_frames_walk(const void *tstate, pim_frame *out, unsigned capacity,
                unsigned *total)
{
    if (pim_load_acquire(&refusal) != NULL) {
        if (total != NULL) {
            *total = 0;
        }
        return 0;
    }
    return walk(tstate, out, capacity, total);
}

int
pim_frames_line(const pim_frame *frame)
{
    const PyBytesObject *table =
        (const void *)pointer_in(frame->code, layout.line_table);
    int first = int_in(frame->code, layout.first_line);
    ptrdiff_t offset = offset_of(frame);
    if (offset < 0) {
        return first > 0 ? first : 0;
    }
    return pim_line_table_find((const unsigned char *)table->ob_sval,
                               (size_t)table->ob_base.ob_size, first,
                               (size_t)offset / UNIT_BYTES);
}

size_t
pim_frames_file(const void *code, char *out, size_t size)
{
    return pim_text_of_str(pointer_in(code, layout.file), out, size);
}

size_t
pim_frames_function(const void *code, char *out, size_t size)
{
    return pim_text_of_str(pointer_in(code, layout.function), out, size);
}

// --- the proof -------------------------------------------------------------

// CPython's functions that know the stack.
typedef struct authority {
    PyFrameObject *(*newest)(PyThreadState *);
    PyFrameObject *(*back)(PyFrameObject *);
    PyCodeObject *(*code)(PyFrameObject *);
    int (*lasti)(PyFrameObject *);
    int (*line)(PyFrameObject *);
    PyObject *(*attribute)(PyObject *, const char *);
    PyObject *(*encoded)(PyObject *, const char *, const char *);
    void (*clear_error)(void);
    void (*release)(PyObject *);
} authority;

static bool
find(const char *name, void *function)
{
    void *symbol = pim_py_symbol(name);
    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

static bool
find_authority(authority *py)
{
    return find("PyThreadState_GetFrame", &py->newest) &&
           find("PyFrame_GetBack", &py->back) &&
           find("PyFrame_GetCode", &py->code) &&
           find("PyFrame_GetLasti", &py->lasti) &&
           find("PyFrame_GetLineNumber", &py->line) &&
           find("PyObject_GetAttrString", &py->attribute) &&
           find("PyUnicode_AsEncodedString", &py->encoded) &&
           find("PyErr_Clear", &py->clear_error) &&
           find("Py_DecRef", &py->release);
}

// Whether the kernel can read all that a walk reads.
static bool
is_readable(const void *tstate)
{
    const char *frame = NULL;
    char head[PIM_FRAME_BYTES_MAX];
    char code[PIM_CODE_BYTES_MAX];
    pim_frame seen;
    if (!pim_os_read(&frame, head, sizeof(frame))) {
        return true; // the system forbids to ask
    }
    bool good =
        pim_os_read((const char *)tstate + layout.newest, &frame,
                    sizeof(frame)) &&
        (!layout.is_two_steps || pim_os_read(frame, &frame, sizeof(frame)));
    for (unsigned i = 0; good && frame != NULL; i++) {
        good = i < PROOF_STACK_MAX &&
               pim_os_read(frame, head, (size_t)layout.owner + 1);
        if (good && (unsigned char)head[layout.owner] < OWNER_OF_CPYTHON) {
            seen.code = untagged(pointer_in(head, layout.code));
            good = pim_os_read(seen.code, code, layout.bytecode);
        }
        frame = pointer_in(head, layout.previous);
    }
    return good;
}

// `name` is pim_frames_file() or its like.
static bool
has_name(const authority *py, PyCodeObject *code, const char *attribute,
         size_t (*name)(const void *, char *, size_t))
{
    char ours[PROOF_NAME_BYTES];
    size_t bytes = name(code, ours, sizeof(ours));
    PyObject *text = py->attribute((PyObject *)code, attribute);
    PyObject *utf8 =
        text != NULL ? py->encoded(text, "utf-8", "replace") : NULL;
    bool same = false;
    if (utf8 != NULL) {
        const PyBytesObject *theirs = (const void *)utf8;
        size_t all = (size_t)theirs->ob_base.ob_size;
        size_t left_out_at = sizeof(ours) - sizeof("\U0010ffff");
        same = (bytes == all || (bytes < all && bytes > left_out_at)) &&
               memcmp(ours, theirs->ob_sval, bytes) == 0;
        py->release(utf8);
    } else {
        py->clear_error();
    }
    if (text != NULL) {
        py->release(text);
    }
    return same;
}

static bool
is_same_frame(const authority *py, PyFrameObject *theirs, const pim_frame *ours)
{
    PyCodeObject *code = py->code(theirs);
    ptrdiff_t offset = offset_of(ours);
    int line = py->line(theirs); // below 0: none
    bool same = code == ours->code &&
                py->lasti(theirs) == (offset < 0 ? -1 : offset) &&
                (line < 0 ? 0 : line) == pim_frames_line(ours) &&
                has_name(py, code, "co_filename", pim_frames_file) &&
                has_name(py, code, "co_qualname", pim_frames_function);
    py->release((PyObject *)code);
    return same;
}

static bool
is_same_stack(const authority *py, PyThreadState *tstate)
{
    pim_frame ours[PROOF_FRAMES];
    unsigned total;
    unsigned count = walk(tstate, ours, PROOF_FRAMES, &total);
    unsigned theirs = 0;
    bool same = true;
    PyFrameObject *frame = py->newest(tstate);
    while (frame != NULL) {
        same = same &&
               (theirs >= count || is_same_frame(py, frame, &ours[theirs]));
        theirs++;
        PyFrameObject *back = py->back(frame);
        py->release((PyObject *)frame);
        frame = back;
    }
    return same && theirs == total;
}

// NULL, or why the layout is not to be believed.
static const char *
prove(void)
{
    authority py;
    if (!find_authority(&py)) {
        return hidden;
    }
    PyThreadState *tstate = pim_py.tstate();
    PyFrameObject *frame = tstate != NULL ? py.newest(tstate) : NULL;
    if (frame == NULL) {
        return no_python;
    }
    py.release((PyObject *)frame);
    return is_readable(tstate) && is_same_stack(&py, tstate) ? NULL : differs;
}

static void
judge(void)
{
    if (judged != NULL && judged == pim_py.runtime) {
        return;
    }
    pim_store_release(&refusal, not_asked);
    const char *why = pim_frame_layout_find(&pim_py, &layout);
    why = why != NULL ? why : prove();
    judged = why != no_python ? pim_py.runtime : NULL;
    pim_store_release(&refusal, why);
}

static _Atomic bool busy; // no lock: the proof runs CPython's code

void
pim_frames_in_child(void)
{
    pim_store_relaxed(&busy, false);
}

bool
pim_frames_start(void)
{
    if (!atomic_exchange(&busy, true)) {
        judge();
        pim_store_release(&busy, false);
    }
    return pim_load_acquire(&refusal) == NULL;
}

bool
pim_frames_are_judged(void)
{
    const char *why = pim_load_acquire(&refusal);
    return why != not_asked && why != no_python;
}

const char *
pim_frames_refusal(void)
{
    return pim_load_acquire(&refusal);
}

bool
pim_frames_judged(void)
{
    return judged != NULL && judged == pim_py.runtime;
}

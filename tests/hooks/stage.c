// stage.c -- see stage.h.  The linker puts these functions in the place of those
// of frames.c.

#include "hooks/stage.h"

#include <string.h>

#include "cpython/symbols.h"
#include "hooks/chain.h"

bool __wrap_pim_frames_start(void);
const char *__wrap_pim_frames_refusal(void);
unsigned __wrap_pim_frames_walk(const void *tstate, pim_frame *out,
                                unsigned capacity, unsigned *total);
int __wrap_pim_frames_line(const pim_frame *frame);
size_t __wrap_pim_frames_file(const void *code, char *out, size_t size);
size_t __wrap_pim_frames_function(const void *code, char *out, size_t size);

bool stage_is_hidden;

static __thread pim_frame stack[STAGE_DEPTH]; // the newest last
static __thread unsigned depth;

bool
__wrap_pim_frames_start(void)
{
    return !stage_is_hidden;
}

const char *
__wrap_pim_frames_refusal(void)
{
    return stage_is_hidden ? "the stage is hidden" : NULL;
}

unsigned
__wrap_pim_frames_walk(const void *tstate, pim_frame *out, unsigned capacity,
                       unsigned *total)
{
    EXPECT(tstate != NULL);
    unsigned n = depth < capacity ? depth : capacity;
    for (unsigned i = 0; i < n; i++) {
        out[i] = stack[depth - 1 - i];
    }
    *total = depth;
    return n;
}

int
__wrap_pim_frames_line(const pim_frame *frame)
{
    const stage_code *code = frame->code;
    return code->first_line + (int)((const char *)frame->instr - code->instr);
}

static size_t
copy(const char *text, char *out, size_t size)
{
    size_t length = strlen(text);
    EXPECT_LT(length, size);
    memcpy(out, text, length + 1);
    return length;
}

size_t
__wrap_pim_frames_file(const void *code, char *out, size_t size)
{
    (void)code;
    return copy("stage.py", out, size);
}

size_t
__wrap_pim_frames_function(const void *code, char *out, size_t size)
{
    return copy(((const stage_code *)code)->function, out, size);
}

static PyThreadState *
current(void)
{
    return (PyThreadState *)(void *)fake_tstate_current();
}

static int
start(void)
{
    pim_py.tstate = current;
    pim_chain_start();
    return 0;
}

int
stage_set_up(void **state)
{
    core_set_up(state);
    return start();
}

int
stage_set_up_with_clock(void **state)
{
    core_set_up_with_clock(state);
    return start();
}

stage_code *
stage_make(const char *function, int first_line)
{
    stage_code *code = core_domains[PIM_OBJ].malloc(NULL, sizeof(*code));
    copy(function, code->function, sizeof(code->function));
    code->first_line = first_line;
    return code;
}

void
stage_unmake(stage_code *code)
{
    core_domains[PIM_OBJ].free(NULL, code);
}

void
stage_call(const stage_code *code, unsigned instr)
{
    EXPECT_LT(depth, STAGE_DEPTH);
    stack[depth++] = (pim_frame){code, code->instr + instr};
}

void
stage_step(unsigned instr)
{
    pim_frame *newest = &stack[depth - 1];
    newest->instr = ((const stage_code *)newest->code)->instr + instr;
}

void
stage_return(void)
{
    EXPECT_NE(depth, 0);
    depth--;
}

bool
stage_is_traced(const void *block)
{
    pimalloc_traced t;
    return pimalloc_trace_find(block, &t) == 0;
}

pimalloc_traced
stage_find(const void *block)
{
    pimalloc_traced t;
    EXPECT_EQ(pimalloc_trace_find(block, &t), 0);
    EXPECT_PTR_EQ(t.address, block);
    return t;
}

void
stage_expect_at(const void *block, const char *function, int line)
{
    pimalloc_frame frame;
    size_t total;
    uint32_t number = stage_find(block).stack;
    EXPECT_GE(pimalloc_trace_stack(number, &frame, 1, &total), 1);
    EXPECT_EQ(frame.line, line);
    EXPECT_EQ(strcmp(frame.function, function), 0);
    EXPECT_EQ(strcmp(frame.file, line != 0 ? "stage.py" : "<unknown>"), 0);
}

pimalloc_trace_figures
stage_figures(int64_t interp)
{
    pimalloc_trace_figures figures = {.size = sizeof(figures)};
    EXPECT_EQ(pimalloc_trace_get(interp, &figures), 0);
    return figures;
}

typedef struct sums {
    uint64_t blocks;
    uint64_t bytes;
} sums;

static int
sum(void *arg, const pimalloc_traced *block)
{
    sums *s = arg;
    s->blocks++;
    s->bytes += block->bytes;
    return 0;
}

void
stage_expect_walk(int64_t interp, uint64_t blocks, uint64_t bytes)
{
    sums s = {0};
    EXPECT_EQ(pimalloc_trace_walk(interp, sum, &s), 0);
    EXPECT_EQ(s.blocks, blocks);
    EXPECT_EQ(s.bytes, bytes);
}

void
stage_expect_live(int64_t interp, uint64_t blocks, uint64_t bytes)
{
    pimalloc_trace_figures f = stage_figures(interp);
    EXPECT_EQ(f.live_blocks, blocks);
    EXPECT_EQ(f.live_bytes, bytes);
    EXPECT_GE(f.peak_bytes, bytes);
    stage_expect_walk(interp, blocks, bytes);
}

// stack.c -- spans in the place of maps: no system call and no page faults
// each time that a program calls and returns across the end of a chunk.

#include "domain/stack.h"

#include "arena/region.h"
#include "base/keep_errno.h"
#include "domain/domain.h"
#include "heap/large.h"
#include "heap/span.h"
#include "interp/current.h"

static pim_stack_source source;

void
pim_stack_set_source(pim_stack_source replaced)
{
    source = replaced;
}

// Maps read as zero, and who asks for anything but a chunk of a stack may count
// on it.
void *
pim_stack_alloc(void *ctx, size_t size)
{
    (void)ctx;
    pim_heap *heap = pim_current_owner();
    if (heap == NULL || size == 0) {
        return source.alloc(source.ctx, size);
    }
    bool zero = size != PIM_UNIT_SIZE;
    void *block =
        size <= PIM_SPAN_MAX ? pim_span_alloc(heap, PIM_MEM, size, zero) : NULL;
    if (block == NULL) {
        block = pim_large_alloc(heap, PIM_MEM, size, zero);
    }
    return block != NULL ? block : pim_domain_refuse();
}

void
pim_stack_free(void *ctx, void *piece, size_t size)
{
    (void)ctx;
    if (pim_region_contains(piece) || pim_large_usable(piece) != 0) {
        pim_mem_free(NULL, piece);
    } else {
        PIM_KEEP_ERRNO;
        source.free(source.ctx, piece, size);
    }
}

// size_class.h -- which block size serves a request, and how its pages look.
//
// Classes lie PIM_ALIGNMENT apart up to PIM_TINY_MAX; from there to
// PIM_SMALL_MAX there are eight to a doubling, so no block wastes more than a
// ninth.  Large requests are often a power of two and a header on top: 33 bytes
// of a bytes object, 41 of an ASCII string, 24 of what CPython's parser asks for.
// So the doublings begin not at powers of two but PIM_CLASS_HEADER bytes above.  Class c of the
// tiny ones holds (c + 1) * PIM_ALIGNMENT bytes.

#ifndef PIM_PAGE_SIZE_CLASS_H
#define PIM_PAGE_SIZE_CLASS_H

#include "base/bits.h"
#include "base/check.h"
#include "base/config.h"

#define PIM_TINY_CLASSES (PIM_TINY_MAX / PIM_ALIGNMENT)
#define PIM_CLASSES (PIM_TINY_CLASSES + 48)

// A span: one block of as many units as it needs, for requests above
// PIM_SMALL_MAX; not in the table.
#define PIM_CLASS_SPAN PIM_CLASSES

// A block outside the arenas has no page; accounts alone know this class.
#define PIM_CLASS_LARGE (PIM_CLASS_SPAN + 1)

// All classes of an account.
#define PIM_ACCOUNT_CLASSES (PIM_CLASS_LARGE + 1)

_Static_assert(PIM_CLASS_LARGE <= UINT8_MAX, "descriptors name it in a byte");

// The largest number of units of a page of a class in the table.
#define PIM_CLASS_UNITS_MAX 9

typedef struct pim_class_info {
    uint32_t block_size; // bytes
    uint16_t capacity;   // blocks in a page
    uint8_t units;       // units in a page
    uint8_t carved;      // blocks carved at a time
} pim_class_info;

extern const pim_class_info pim_classes[PIM_CLASSES];

// The class of a request of 1 to PIM_SMALL_MAX bytes.
PIM_INLINE unsigned
pim_size_class(size_t size)
{
    size_t last = size - 1; // offset of the block's last byte that is needed
    PIM_ASSERT(last < PIM_SMALL_MAX);
    if (PIM_LIKELY(last < PIM_TINY_MAX)) {
        return (unsigned)(last / PIM_ALIGNMENT);
    }
    last -= PIM_CLASS_HEADER;
    unsigned doubling = pim_log2_floor(last);
    unsigned eighth = (unsigned)(last >> (doubling - 3)) & 7;
    return (unsigned)PIM_TINY_CLASSES + (doubling - PIM_TINY_LOG2) * 8 + eighth;
}

// The bytes that a small block or a span has for a request of 1 to
// PIM_SPAN_MAX.
PIM_INLINE size_t
pim_size_served(size_t size)
{
    return size <= PIM_SMALL_MAX ? pim_classes[pim_size_class(size)].block_size
                                 : pim_align_up(size, PIM_UNIT_SIZE);
}

// Whether a block of `bytes` that shrinks to what `served` would do for may
// stay as it is: it wastes no more than an eighth, so that a block that shrinks
// step by step is seldom moved, and no account says much more than what is in
// use.
PIM_INLINE bool
pim_size_suits(size_t bytes, size_t served)
{
    return bytes <= served + served / 8;
}

#endif // PIM_PAGE_SIZE_CLASS_H

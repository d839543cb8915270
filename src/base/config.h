// config.h -- the constants that shape the allocator.
//
// Prose elsewhere names these constants instead of repeating their values.

#ifndef PIM_BASE_CONFIG_H
#define PIM_BASE_CONFIG_H

#include "base/compiler.h"

// Whether anything is counted.  Off only in builds that measure what counting
// costs (CMake option PIMALLOC_ACCOUNTS); every account then says 0.
#ifndef PIM_ACCOUNTS
#    define PIM_ACCOUNTS 1
#endif

// CPython's domains, in the order of PyMemAllocatorDomain.  Heaps serve all
// three, raw from CPython 3.14 on only (domain/raw.c).
enum pim_domain { PIM_RAW = 0, PIM_MEM = 1, PIM_OBJ = 2, PIM_DOMAINS = 3 };

// The alignment that CPython asks of every block.
#define PIM_ALIGNMENT 16

// A unit is the granule of arena space: the page of the small size classes.
// Equal to pymalloc's pool, for an equal footprint (design.md, section 3).
#define PIM_UNIT_SHIFT 14
#define PIM_UNIT_SIZE ((size_t)1 << PIM_UNIT_SHIFT)

// An arena is what a heap takes from the region at a time: one huge page.
#define PIM_ARENA_SHIFT 21
#define PIM_ARENA_SIZE ((size_t)1 << PIM_ARENA_SHIFT)
#define PIM_ARENA_UNITS ((unsigned)(PIM_ARENA_SIZE >> PIM_UNIT_SHIFT))

// A heap of so many arenas asks for huge pages for further ones.
#define PIM_HUGE_FROM_ARENAS 16

// How far the main stretch of arenas may grow.  Nothing of it is reserved.
#define PIM_REGION_SIZE ((size_t)256 << 30)

// How much more address space must be there for a process not to be taken for
// one with a limit, or at its limit (scarcity.h).
#define PIM_LIMITED_BYTES ((size_t)4 << 30)
#define PIM_TIGHT_BYTES ((size_t)64 << 20)

// Size classes PIM_ALIGNMENT apart up to the first limit, eight to a doubling
// from there to the second.
#define PIM_CLASS_HEADER ((size_t)48)
#define PIM_TINY_LOG2 9
#define PIM_TINY_MAX (((size_t)1 << PIM_TINY_LOG2) + PIM_CLASS_HEADER)
#define PIM_SMALL_MAX (((size_t)32 << 10) + PIM_CLASS_HEADER)

// The longest span that is one block, in units: above PIM_SMALL_MAX and up
// to this, blocks are spans.
#define PIM_SPAN_UNITS 64
#define PIM_SPAN_MAX ((size_t)PIM_SPAN_UNITS << PIM_UNIT_SHIFT)

// A block that is grown to this size moves to a span, and back to a class where
// that is smaller when it shrinks; see span.c.
#define PIM_SPAN_GROWN ((size_t)4 << 10)

// How much of freed spans a heap keeps for the next requests of their lengths,
// in units.
#define PIM_IDLE_SPAN_UNITS PIM_SPAN_UNITS

// How much of empty pages a heap leaves to their classes: so many units, and
// this part of what it uses.
#define PIM_EMPTY_UNITS ((size_t)(1 << 20) / PIM_UNIT_SIZE)
#define PIM_EMPTY_SHARE 8

// How many current pages of several units a heap keeps though they are empty.
#define PIM_EMPTY_CURRENT 4

// A block of this size has a map of its own.
#define PIM_EXTENT_BORN PIM_SPAN_MAX

// A block that is grown to this size moves to a map with room to grow in place;
// a few that reach the second size do if a freed map is kept.
#define PIM_EXTENT_GROWN PIM_SPAN_MAX
#define PIM_EXTENT_GROWN_KEPT ((size_t)128 << 10)

// How much room to grow a map gets at most.  What is not touched costs no
// memory, but counts where address space is limited.
#define PIM_EXTENT_ROOM ((size_t)16 << 20)

// From these sizes on huge pages are asked for: a new block is in use up to its
// end, so all of it is worth them.  Of one that grows the end may stay
// untouched, which is to be a small part of it.
#define PIM_EXTENT_HUGE_BORN PIM_ARENA_SIZE
#define PIM_EXTENT_HUGE_GROWN ((size_t)16 << 20)

// How much memory of freed maps is kept, for the whole process and for about
// PIM_PURGE_DELAY_MS, and the smallest piece of it that is worth keeping.
#define PIM_EXTENTS_IDLE ((size_t)48 << 20)
#define PIM_EXTENT_KEPT_MIN ((size_t)256 << 10)

// Largest request that CPython can make (PY_SSIZE_T_MAX); more is refused.
#define PIM_REQUEST_MAX ((size_t)PTRDIFF_MAX)

// What a heap may keep idle on top of what it uses, in units; above that, free
// memory goes back at once.  So a program that shrinks for good returns memory
// soon, and one that swings pays once per this much and its size.
#define PIM_IDLE_UNITS ((size_t)(8 << 20) / PIM_UNIT_SIZE)

// A page that comes from its list has its free blocks put in order if this part
// of its blocks is free.
#define PIM_ORDER_SHARE 4u

// A new peak of a heap's resident memory is one that is higher by this part of
// it and so many units; more than that may not be idle then.
#define PIM_PEAK_SHARE 64
#define PIM_PEAK_UNITS 8

// How much more than that all heaps of the process together may keep for
// PIM_PURGE_DELAY_MS, granted in steps: a program that builds up and tears down
// again and again would pay for the page faults each time.
#define PIM_IDLE_CREDITS ((size_t)(64 << 20) / PIM_UNIT_SIZE)
#define PIM_IDLE_CREDIT ((size_t)(4 << 20) / PIM_UNIT_SIZE)

// How much memory of empty and reclaimable arenas is kept for
// whoever comes next, for the whole process and for PIM_PURGE_DELAY_MS.  An
// interpreter that follows another then faults hardly any page in.  Counted in
// units, of which about half is touched in a young interpreter.
#define PIM_RETAINED_BYTES ((size_t)12 << 20)

// What is charged for an interpreter while CPython makes it: more than it has
// when that is done, about 2.5 MiB and what its pages have free.
#define PIM_LIMIT_BIRTH ((uint64_t)8 << 20)

// An arena of an ended interpreter is reclaimed if this much of it is usable.
#define PIM_ABANDONED_ROOM (PIM_ARENA_SIZE / 8)

// How long an empty page of a living heap keeps its memory, in milliseconds.
// Long enough that a program's steady swing reuses resident memory: returning
// it at once cost all the speed won (design.md, section 10).
#define PIM_PURGE_DELAY_MS 400

// How long forks, walks and ends of interpreters wait for threads that are
// inside the allocator, in milliseconds; and how long a thread waits for a fork
// whose other handlers sleep, or do not.
#define PIM_INSIDE_PATIENCE_MS 10000
#define PIM_GATE_PATIENCE_MS 100
#define PIM_GATE_PATIENCE_AWAKE_MS 2000

// The three numbers of a version coded like PIMALLOC_VERSION, which is how
// mimalloc codes its own; arguments for "%d.%d.%d".
#define PIM_VERSION_PARTS(v) (v) / 10000, (v) / 100 % 100, (v) % 100

#endif // PIM_BASE_CONFIG_H

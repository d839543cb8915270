// side.h -- a record for each traced block, beside its page.
//
//   in a page of blocks of one size  a word, see records.h
//   span, large, of libc             outside.h
//
// A word is written by who has the block: who gets it, and who is about to free
// it.  So there is no lock and no hash where most blocks are.  A page's records
// come with its first traced block, and go when its unit serves blocks of
// another size, or at a sweep that finds it empty.
//
// Invariant:
//   SIDE-1  a record is gone before its block's memory can be another's.

#ifndef PIM_HOOKS_SIDE_H
#define PIM_HOOKS_SIDE_H

#include "hooks/traced_block.h"

// Before all others.  all: what is of no interpreter is traced, too.  False: no
// memory.
bool pim_side_start(bool all);

// Notes a block that its caller has just got.  False: no memory.  *stale: what was
// still noted there, of a block whose free nobody saw, as when CPython swaps its
// raw table up to 3.13; else all 0.
bool pim_side_put(const pim_traced_block *block, pim_record *stale);

// Forgets a block that its caller is about to free.  False: it had no record.
bool pim_side_take(const void *block, pim_record *out);

// Marks the block that an object lies in, whose address is up to three headers
// into it.  The object is alive.  False: no memory.
bool pim_side_mark_code(const void *object);

// The block that an object lies in has another stack, if it is one of a page of
// that interpreter's and traced.  As above; owner of the page.
void pim_side_relabel(const void *object, int64_t interp, uint32_t stack);

// The record of the block that an object lies in, likewise.  False: it has none.
bool pim_side_find(const void *object, pim_traced_block *out);

// Calls visit() with each traced block of an interpreter, or of all
// (PIMALLOC_EACH), until it returns other than 0; returns that.  Each was live
// at some moment of the call.  visit() runs under a lock.  Nobody calls
// pim_side_drop() meanwhile.
int pim_side_each(int64_t interp, pim_block_visitor visit, void *arg);

// What the interpreter left is the process's, or not traced any more.
void pim_side_ended(int64_t interp, bool keeps);

// Forgets the records of an interpreter, or of all, whose hook is gone.
void pim_side_forget(int64_t interp);

// Gives up all memory.  Nobody is in any function of this file.
void pim_side_drop(void);

uint64_t pim_side_bytes(void);

#endif // PIM_HOOKS_SIDE_H

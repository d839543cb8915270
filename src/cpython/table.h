// table.h -- our entries in CPython's allocator tables.

#ifndef PIM_CPYTHON_TABLE_H
#define PIM_CPYTHON_TABLE_H

#include "cpython/symbols.h"
#include "domain/domain.h"

// What the raw domain's table holds now; asked before ours is set.
pim_raw_table pim_table_replaced_raw(void);

// Sets all three domains, to the functions of domain/check.h where that is on,
// and what frame stacks come from; pim_py is filled.
void pim_table_install(void);

// Reads the raw domain's table in force where it lies, without asking CPython,
// which may give up the GIL for that.  Any thread, anywhere.  False: it was not
// found.
bool pim_table_read_raw(PyMemAllocatorEx *out);

// Whether a raw table is ours, or what CPython has by itself, which passes
// nothing on to us.
bool pim_table_is_our_raw(const PyMemAllocatorEx *raw);
bool pim_table_is_pythons_raw(const PyMemAllocatorEx *raw);

// Whether all three domains are ours at this moment.
bool pim_table_is_installed(void);

// CPython's debug hooks were just put on top: they are none that
// pim_table_is_wrapped() tells of.
void pim_table_note_hooks(void);

// Whether a domain's functions are somebody else's, who may call ours:
// tracemalloc's, a profiler's.  Asks no function of CPython's, which would take
// a lock and may give the GIL up; true also where that cannot be known.  Any
// thread.
bool pim_table_is_wrapped(void);

// Whether the tables are again what they were before ours were set: that is
// what a second Py_Initialize() leaves.
bool pim_table_was_reset(void);

// Whether all three domains of a CPython are served by functions of its own;
// false once anybody's allocator was set.
bool pim_table_is_pythons_own(const pim_py_api *py);

#endif // PIM_CPYTHON_TABLE_H

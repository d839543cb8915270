// line_table.h -- the line of an instruction, by a code object's location table.

#ifndef PIM_HOOKS_LINE_TABLE_H
#define PIM_HOOKS_LINE_TABLE_H

#include "base/compiler.h"

// `first`: the line that the code object begins at; `unit`: the number of the
// instruction's code unit.  0: the instruction has no line, or is not in the
// table.  Reads nothing beyond the table, whatever that holds.
int pim_line_table_find(const unsigned char *table, size_t bytes, int first,
                        size_t unit);

#endif // PIM_HOOKS_LINE_TABLE_H

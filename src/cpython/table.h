// table.h -- our entries in CPython's allocator tables.

#ifndef PIM_CPYTHON_TABLE_H
#define PIM_CPYTHON_TABLE_H

#include "domain/domain.h"

// What the raw domain's table holds now; asked before ours is set.
pim_raw_table pim_table_replaced_raw(void);

// Sets all three domains; pim_py is filled.
void pim_table_install(void);

// Whether all three domains are ours at this moment.
bool pim_table_is_installed(void);

#endif // PIM_CPYTHON_TABLE_H

// huge_page.h -- whether the system's huge pages are of the size of an arena.
//
// Where they are larger (512 MiB with 64 KiB system pages), one that is asked
// for makes memory resident that nobody uses; so nobody asks then.

#ifndef PIM_PLATFORM_HUGE_PAGE_H
#define PIM_PLATFORM_HUGE_PAGE_H

#include <stdbool.h>

// Where Linux says it.
#define PIM_HUGE_PAGE_FILE "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

// Reads the size in bytes.  Where there is no such file, it goes by the size of
// the system's pages.  Before threads that ask.
void pim_huge_page_look(const char *path);

// Any thread.
bool pim_huge_page_suits(void);

#endif // PIM_PLATFORM_HUGE_PAGE_H

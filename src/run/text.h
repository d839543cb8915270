// text.h -- texts of any length.

#ifndef PIM_RUN_TEXT_H
#define PIM_RUN_TEXT_H

// As asprintf(3); exits if there is no memory.  Nobody frees such texts: they last
// until COMMAND takes our place.
char *pim_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif // PIM_RUN_TEXT_H

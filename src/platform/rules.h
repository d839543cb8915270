// rules.h -- rules of faults as people write them.
//
// The launcher is linked with this part, too.

#ifndef PIM_PLATFORM_RULES_H
#define PIM_PLATFORM_RULES_H

#include "base/compiler.h"
#include "pimalloc/hooks.h"

// Reads one rule, KEY=VALUE,..., and moves *text behind it and the semicolon
// after it.  Returns NULL, or what is wrong with the text in words that follow
// it.  The rule's function, if any, is in `function`, which has room for
// PIMALLOC_FAULT_NAME_MAX bytes and the end.
const char *pim_rule_of(const char **text, pimalloc_fault *out, char *function);

// What is wrong with rules that are separated by semicolons; NULL: nothing.
const char *pim_rules_lack(const char *text);

#endif // PIM_PLATFORM_RULES_H

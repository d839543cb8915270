// utf8.h -- UTF-8 as RFC 3629 has it.

#ifndef PIM_BASE_UTF8_H
#define PIM_BASE_UTF8_H

#include "base/compiler.h"

// What stands for a byte that belongs to no character.
#define PIM_UTF8_REPLACEMENT "\xef\xbf\xbd"

// How many bytes the character at `text` has, 1 to 4; 0: it is none, because
// bytes are missing, it is longer than it need be, a surrogate, or above
// U+10FFFF.  Reads nothing behind a NUL.
static inline size_t
pim_utf8_bytes(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80) {
        return 1;
    }
    size_t bytes = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[0] < 0xc2 || s[0] > 0xf4 || s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < bytes; i++) {
        if (s[i] >> 6 != 2) {
            return 0;
        }
    }
    return bytes;
}

// The next character at *text, past which it moves, or the replacement of a
// byte that is none.  Returns its bytes, 0 at the end.
static inline size_t
pim_utf8_next(const char **text, const char **character)
{
    size_t bytes = pim_utf8_bytes(*text);
    if (**text == '\0') {
        return 0;
    }
    *character = bytes != 0 ? *text : PIM_UTF8_REPLACEMENT;
    *text += bytes != 0 ? bytes : 1;
    return bytes != 0 ? bytes : sizeof(PIM_UTF8_REPLACEMENT) - 1;
}

#endif // PIM_BASE_UTF8_H

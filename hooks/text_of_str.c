// text_of_str.c -- the text of a Python string, without CPython.
//
// PyUnicode_AsUTF8() keeps its answer in the object, in memory that it asks for:
// not what an allocator can call.  The layout is the same from 3.12 to 3.15:
//
//     ASCII          | PyASCIIObject | characters
//     else           | PyCompactUnicodeObject | characters
//     of a subclass  | PyUnicodeObject |--> characters

#include "hooks/text_of_str.h"

#include <Python.h>
#include <string.h>

#define SEQUENCE_MAX 4 // bytes of a character

static const void *
characters_of(const PyASCIIObject *str)
{
    if (!str->state.compact) {
        return ((const PyUnicodeObject *)str)->data.any;
    }
    return str->state.ascii ? (const void *)(str + 1)
                            : (const PyCompactUnicodeObject *)str + 1;
}

static uint32_t
character_at(const void *characters, unsigned kind, size_t i)
{
    return kind == 1   ? ((const uint8_t *)characters)[i]
           : kind == 2 ? ((const uint16_t *)characters)[i]
                       : ((const uint32_t *)characters)[i];
}

// Returns the bytes of the sequence.
static size_t
encode(uint32_t c, char out[SEQUENCE_MAX])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c >= 0xd800 && c < 0xe000) {
        out[0] = '?';
        return 1;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (c >> 18 & 7));
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

size_t
pim_text_of_str(const void *object, char *out, size_t size)
{
    const PyASCIIObject *str = object;
    const void *characters = characters_of(str);
    size_t length = (size_t)str->length;
    size_t used = 0;
    if (size == 0) {
        return 0;
    }
    if (str->state.ascii) {
        used = length < size ? length : size - 1;
        memcpy(out, characters, used);
        out[used] = '\0';
        return used;
    }
    for (size_t i = 0; i < length; i++) {
        char sequence[SEQUENCE_MAX];
        size_t bytes =
            encode(character_at(characters, str->state.kind, i), sequence);
        if (bytes >= size - used) {
            break;
        }
        memcpy(out + used, sequence, bytes);
        used += bytes;
    }
    out[used] = '\0';
    return used;
}

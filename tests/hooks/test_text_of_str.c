// test_text_of_str.c -- strings of every kind, and cut at every place.

#include <Python.h>
#include <string.h>

#include "hooks/text_of_str.h"
#include "support/expect.h"

#define LENGTH_MAX 16

typedef union room {
    PyASCIIObject ascii;
    PyCompactUnicodeObject compact;
    PyUnicodeObject subclass;
    char bytes[sizeof(PyUnicodeObject) + LENGTH_MAX * sizeof(Py_UCS4)];
} room;

// The object keeps its characters behind it, or at `elsewhere`.
static const void *
make(room *str, unsigned kind, const Py_UCS4 *characters, void *elsewhere)
{
    size_t length = 0;
    bool is_ascii = kind == 1;
    memset(str, 0, sizeof(*str));
    for (; characters[length] != 0; length++) {
        is_ascii = is_ascii && characters[length] < 0x80;
    }
    char *data = elsewhere != NULL ? elsewhere
                 : is_ascii        ? str->bytes + sizeof(PyASCIIObject)
                            : str->bytes + sizeof(PyCompactUnicodeObject);
    for (size_t i = 0; i < length; i++) {
        Py_UCS1 one = (Py_UCS1)characters[i];
        Py_UCS2 two = (Py_UCS2)characters[i];
        const void *from = kind == 1   ? (const void *)&one
                           : kind == 2 ? (const void *)&two
                                       : &characters[i];
        memcpy(data + i * kind, from, kind);
    }
    str->ascii.length = (Py_ssize_t)length;
    str->ascii.state.kind = kind & 7;
    str->ascii.state.compact = elsewhere == NULL;
    str->ascii.state.ascii = is_ascii;
    if (elsewhere != NULL) {
        str->subclass.data.any = elsewhere;
    }
    return str;
}

// `text` is what is expected, in all sizes of buffers.
static void
expect_text(const void *str, const char *text)
{
    size_t all = strlen(text);
    for (size_t size = 0; size <= all + 2; size++) {
        char out[128];
        memset(out, '#', sizeof(out));
        size_t used = pim_text_of_str(str, out, size);
        EXPECT_EQ(out[size], '#');
        if (size == 0) {
            EXPECT_EQ(used, 0);
            continue;
        }
        EXPECT_LT(used, size);
        EXPECT_EQ(out[used], '\0');
        EXPECT_EQ(memcmp(out, text, used), 0);
        EXPECT((text[used] & 0xc0) != 0x80); // cut between characters
        EXPECT(used == all || size - used <= 4);
        EXPECT(used == all || size <= all);
    }
}

static void
expect(unsigned kind, const Py_UCS4 *characters, const char *text)
{
    room str;
    Py_UCS4 elsewhere[LENGTH_MAX];
    expect_text(make(&str, kind, characters, NULL), text);
    expect_text(make(&str, kind, characters, elsewhere), text);
}

#define CHARACTERS(...) ((const Py_UCS4[]){__VA_ARGS__, 0})

TEST(ascii)
{
    expect(1, CHARACTERS('<', 'm', 'o', 'd', 'u', 'l', 'e', '>'), "<module>");
    expect(1, CHARACTERS(0x7f), "\x7f");
    expect(1, CHARACTERS(0), "");
}

TEST(one_byte)
{
    expect(1, CHARACTERS('s', 0xe4, 't'), "s\u00e4t");
    expect(1, CHARACTERS(0x80, 0xff), "\xc2\x80\u00ff");
}

TEST(two_bytes)
{
    expect(2, CHARACTERS(0x438, 0x43c, 'a', 0x44f), "\u0438\u043ca\u044f");
    expect(2, CHARACTERS(0x7ff, 0x800, 0xffff), "\u07ff\u0800\uffff");
    expect(2, CHARACTERS(0xd7ff, 0xe000), "\ud7ff\ue000");
}

TEST(four_bytes)
{
    expect(4, CHARACTERS(0x1f40d, '.', 0xe4, 0x20ac),
           "\U0001f40d.\u00e4\u20ac");
    expect(4, CHARACTERS(0x10000, 0x10ffff), "\U00010000\U0010ffff");
}

TEST(surrogates_are_question_marks)
{
    expect(2, CHARACTERS('a', 0xdcff, 0xd800, 0xdfff), "a???");
    expect(4, CHARACTERS(0x1f40d, 0xdc80), "\U0001f40d?");
}

SUITE()

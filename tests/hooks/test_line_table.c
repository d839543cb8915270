// test_line_table.c -- every kind of entry, and tables that end where they must not.

#include <stdlib.h>
#include <string.h>

#include "hooks/line_table.h"
#include "support/expect.h"

#define ENTRY(kind, units) (0x80 | (kind) << 3 | ((units)-1))
#define FIRST 100

// A copy without a byte to spare, so that AddressSanitizer sees a read beyond it.
static int
find_in(const unsigned char *table, size_t bytes, int first, size_t unit)
{
    unsigned char *copy = calloc(1, bytes != 0 ? bytes : 1);
    EXPECT_NOT_NULL(copy);
    memcpy(copy, table, bytes);
    int line = pim_line_table_find(copy, bytes, first, unit);
    free(copy);
    return line;
}

#define LINE(unit, ...)                                                        \
    find_in((const unsigned char[]){__VA_ARGS__},                              \
            sizeof((const unsigned char[]){__VA_ARGS__}), FIRST, unit)

// As CPython writes them; returns the end.
static unsigned char *
put_number(unsigned char *at, unsigned number)
{
    while (number >= 0x40) {
        *at++ = (unsigned char)(0x40 | (number & 0x3f));
        number >>= 6;
    }
    *at++ = (unsigned char)number;
    return at;
}

static unsigned char *
put_signed(unsigned char *at, int number)
{
    unsigned size = number < 0 ? 0u - (unsigned)number : (unsigned)number;
    return put_number(at, size << 1 | (number < 0));
}

TEST(short_forms_stay_on_the_line)
{
    for (int kind = 0; kind < 10; kind++) {
        EXPECT_EQ(LINE(0, ENTRY(kind, 1), 0x7f), FIRST);
    }
}

TEST(one_line_forms_go_down_by_their_kind)
{
    for (int kind = 10; kind < 13; kind++) {
        EXPECT_EQ(LINE(0, ENTRY(kind, 1), 5, 9), FIRST + kind - 10);
    }
}

TEST(units_of_an_entry_have_its_line)
{
    for (size_t unit = 0; unit < 8; unit++) {
        EXPECT_EQ(LINE(unit, ENTRY(11, 8), 0, 0, ENTRY(12, 1), 0, 0),
                  FIRST + 1);
    }
    EXPECT_EQ(LINE(8, ENTRY(11, 8), 0, 0, ENTRY(12, 1), 0, 0), FIRST + 3);
    EXPECT_EQ(LINE(9, ENTRY(11, 8), 0, 0, ENTRY(12, 1), 0, 0), 0);
}

TEST(numbers_have_a_sign_and_several_bytes)
{
    static const int steps[] = {
        0,    1,     -1,   31,    32,     -31,     -32,     63,        64,
        2047, -2048, 4095, 65536, -65536, 1 << 20, 1 << 29, -(1 << 29)};
    for (unsigned kind = 13; kind <= 14; kind++) {
        for (size_t i = 0; i < PIM_ARRAY_LEN(steps); i++) {
            unsigned char table[32];
            unsigned char *at = table;
            *at++ = (unsigned char)ENTRY(kind, 1);
            at = put_signed(at, steps[i]);
            if (kind == 14) {
                at = put_number(at, 3);
                at = put_number(at, 700);
                at = put_number(at, 70000);
            }
            *at++ = ENTRY(10, 1);
            *at++ = 0;
            *at++ = 0;
            int first = 1 << 30;
            size_t bytes = (size_t)(at - table);
            EXPECT_EQ(find_in(table, bytes, first, 0), first + steps[i]);
            EXPECT_EQ(find_in(table, bytes, first, 1), first + steps[i]);
        }
    }
}

TEST(what_has_no_line_changes_none)
{
    EXPECT_EQ(LINE(0, ENTRY(15, 3), ENTRY(11, 1), 0, 0), 0);
    EXPECT_EQ(LINE(2, ENTRY(15, 3), ENTRY(11, 1), 0, 0), 0);
    EXPECT_EQ(LINE(3, ENTRY(15, 3), ENTRY(11, 1), 0, 0), FIRST + 1);
}

TEST(a_line_below_zero_is_none)
{
    EXPECT_EQ(LINE(0, ENTRY(13, 1), 0x40 | 0x3f, 0x3f), 0);
}

TEST(a_unit_outside_has_no_line)
{
    EXPECT_EQ(find_in((const unsigned char *)"", 0, FIRST, 0), 0);
    EXPECT_EQ(LINE(1, ENTRY(11, 1), 0, 0), 0);
    EXPECT_EQ(LINE((size_t)-1, ENTRY(11, 8), 0, 0), 0);
}

TEST(tables_that_break_off_are_read_to_their_end)
{
    static const unsigned char whole[] = {
        ENTRY(14, 2), 0x41,         0x42,         0x03,        0x44, 0x05, 0x46,
        0x07,         ENTRY(13, 1), 0x7f,         0x7f,        0x7f, 0x7f, 0x7f,
        0x7f,         0x7f,         ENTRY(15, 8), ENTRY(0, 1), 0x11};
    for (size_t bytes = 0; bytes <= sizeof(whole); bytes++) {
        for (size_t unit = 0; unit < 16; unit++) {
            find_in(whole, bytes, FIRST, unit);
        }
    }
    EXPECT_EQ(find_in(whole, 1, FIRST, 1), FIRST); // the number is missing
}

TEST(no_bytes_lead_astray)
{
    unsigned char noise[64];
    uint32_t random = 1;
    for (unsigned round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof(noise); i++) {
            random = random * 1664525u + 1013904223u;
            noise[i] = (unsigned char)(random >> 24);
        }
        EXPECT_GE(
            find_in(noise, random % sizeof(noise), (int)random, round % 99), 0);
    }
}

SUITE()

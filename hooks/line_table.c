// line_table.c -- the line of an instruction, by a code object's location table.
//
// A table is a row of entries, one for some code units that follow one another.
// Its first byte has the high bit set, which no other byte of it has:
//
//     | 1 kind:4 units-1:3 | 0 ... | 0 ... |   the next entry: | 1 ...
//
//     kind      what follows            line
//     0 to 9    columns                 as before
//     10 to 12  columns                 0, 1 or 2 more
//     13        a signed number         more by that
//     14        a signed number, ...    more by that
//     15        nothing                 these units have none
//
// A number has 6 bits a byte, the low ones first; 0x40 says that another byte
// follows.  A signed one has its sign in the lowest bit.  The format is the same
// from 3.11 to 3.15.  Columns are of no interest here.

#include "hooks/line_table.h"

enum {
    ENTRY = 0x80, // a byte that begins one
    MORE = 0x40,  // a byte of a number that is not its last

    KIND_ONE_LINE = 10,
    KIND_NO_COLUMNS = 13,
    KIND_LONG = 14,
    KIND_NO_LINE = 15,
};

static unsigned
read_number(const unsigned char *at, const unsigned char *end)
{
    unsigned number = 0;
    unsigned shift = 0;
    unsigned char byte = MORE;
    while ((byte & MORE) != 0 && at < end && shift < 32) {
        byte = *at++;
        number |= (byte & (MORE - 1u)) << shift;
        shift += 6;
    }
    return number;
}

// By how much the line changes; `at` is behind the entry's first byte.
static unsigned
line_step(unsigned kind, const unsigned char *at, const unsigned char *end)
{
    if (kind < KIND_ONE_LINE || kind == KIND_NO_LINE) {
        return 0;
    }
    if (kind < KIND_NO_COLUMNS) {
        return kind - KIND_ONE_LINE;
    }
    unsigned number = read_number(at, end);
    return (number & 1) != 0 ? 0 - (number >> 1) : number >> 1;
}

int
pim_line_table_find(const unsigned char *table, size_t bytes, int first,
                    size_t unit)
{
    const unsigned char *end = table + bytes;
    const unsigned char *at = table;
    unsigned line = (unsigned)first; // whatever a table says, it wraps
    size_t begin_of_next = 0;
    while (at < end) {
        unsigned char entry = *at++;
        unsigned kind = (entry >> 3) & 15;
        line += line_step(kind, at, end);
        begin_of_next += (entry & 7u) + 1;
        if (unit < begin_of_next) {
            return kind == KIND_NO_LINE || (int)line < 0 ? 0 : (int)line;
        }
        while (at < end && (*at & ENTRY) == 0) {
            at++;
        }
    }
    return 0;
}

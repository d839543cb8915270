// record_format.h -- what a recording is made of; bench/player/log.c reads it.
//
//   file:   head | block | block | ... | end
//   block:  header | events                each whole or not there
//
// Blocks are aligned to 8 bytes, and of several threads in no order.  A block
// that is not whole, by its length or its checksum, is passed over; the next one
// begins where the magic number stands.  Numbers are in the order of bytes of
// the machine, which is little-endian.
//
// An event is a number: its operation in the lowest bits, its argument above;
// other numbers may follow.  Numbers take one byte for each 7 bits; how many
// bytes, the zeros at the low end of the first one say.  An address is the
// difference to the last one of the block, in steps of 8 bytes, its sign in the
// lowest bit.
//
//   FREE + domain                  address
//   ALLOC + domain       size      address
//   ZEROED + domain      size      address
//   RESIZE + domain                address    the block leaves its address
//   RESIZED              size      address    and has this one now
//   MORE                 a number of enum pim_log_more
//
// **Order.**  The events of a stream are those of one thread, in order.  Between
// streams there are segments: one begins where the thread touches memory that
// another one touched last, and then gets the next number of all.  To play
// events by the number of their segment is an order in which each address is
// freed before it is given away again (record_stream.h).

#ifndef PIM_HOOKS_RECORD_FORMAT_H
#define PIM_HOOKS_RECORD_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PIM_LOG_VERSION 1
#define PIM_LOG_MAGIC 0x1a676f4cu // "Log", and what ends a text on a terminal
#define PIM_LOG_BLOCK ((size_t)64 << 10) // of a whole block, at most

enum pim_log_kind {
    PIM_LOG_HEAD = 1,   // text: lines of a name, a space and a value
    PIM_LOG_EVENTS = 2, // events
    PIM_LOG_END = 3,    // nothing: the recording was ended
};

typedef struct pim_log_block {
    uint32_t magic;
    uint32_t kind;
    uint32_t
        bytes; // that follow, without those that fill up to a multiple of 8
    uint32_t stream;   // from 1 on
    uint32_t number;   // of the stream's blocks, from 0 on
    uint32_t thread;   // the system's number of it, at the block's begin
    uint32_t clock_ms; // since the recording began, likewise
    uint32_t unused;
    uint64_t segment; // likewise
    uint64_t checksum;
} pim_log_block;

#define PIM_LOG_OP_BITS 4
enum pim_log_op {
    PIM_LOG_FREE = 0,
    PIM_LOG_ALLOC = 3,
    PIM_LOG_ZEROED = 6,
    PIM_LOG_RESIZE = 9,
    PIM_LOG_RESIZED = 12,
    PIM_LOG_MORE = 13,
};

enum pim_log_more {
    PIM_LOG_INTERP,  // a domain, an id + 1: of its requests from now on
    PIM_LOG_SEGMENT, // how much higher its number is
    PIM_LOG_CLOCK,   // milliseconds since the last one
    PIM_LOG_THREAD,  // the system's number of it: the stream is another's now
    PIM_LOG_BORN,    // an interpreter's id + 1
    PIM_LOG_ENDED, // likewise, and 1: what it left stays; 0: only raw blocks do
    PIM_LOG_KEPT,  // instead of RESIZED: no memory, the block is as it was
};

// At most so many bytes a number, and an event with all that belongs to it.
#define PIM_LOG_NUMBER 8
#define PIM_LOG_EVENT 64

#define PIM_LOG_STEP_BITS 3

// Writes 8 bytes, of which those count that come before what it returns.  The
// number is below 2^56.
static inline unsigned char *
pim_log_put(unsigned char *to, uint64_t number)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(number | 1);
    unsigned bytes = (bits * 9 + 64) / 64; // a seventh, rounded up
    uint64_t word = (number << bytes) | (UINT64_C(1) << (bytes - 1));
    memcpy(to, &word, sizeof(word));
    return to + bytes;
}

// Reads one; *at may be any place with 8 bytes behind it.
static inline uint64_t
pim_log_get(const unsigned char **at)
{
    uint64_t word;
    memcpy(&word, *at, sizeof(word));
    unsigned bytes = (unsigned)__builtin_ctz((unsigned)word | 0x80) + 1;
    *at += bytes;
    word = bytes < 8 ? word & ((UINT64_C(1) << (8 * bytes)) - 1) : word;
    return word >> bytes;
}

// A difference with its sign in the lowest bit, and back.
static inline uint64_t
pim_log_fold(uint64_t difference)
{
    return (difference << 1) ^ (uint64_t)((int64_t)difference >> 63);
}

static inline uint64_t
pim_log_unfold(uint64_t number)
{
    return (number >> 1) ^ (0 - (number & 1));
}

// Of a header, whose checksum does not count, and of what follows.
static inline uint64_t
pim_log_checksum(const pim_log_block *header, const void *content)
{
    const unsigned char *from = content;
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t sum = header->segment;
    uint64_t words[4];
    memcpy(words, header, sizeof(words));
    for (unsigned i = 0; i < 4; i++) {
        sum = (sum ^ words[i]) * factor;
    }
    for (size_t i = 0; i < header->bytes; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        size_t left = header->bytes - i;
        memcpy(&word, from + i, left < sizeof(word) ? left : sizeof(word));
        sum = (sum ^ word) * factor;
        sum ^= sum >> 32;
    }
    return sum;
}

#endif // PIM_HOOKS_RECORD_FORMAT_H

// log.h -- reads a recording (hooks/record_format.h): its events, in an order in
// which each address is freed before it is given away again.
//
// All memory is mapped, never allocated: whoever plays events measures what an
// allocator takes, and whatever malloc() is belongs to that.

#ifndef PIM_BENCH_LOG_H
#define PIM_BENCH_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_what {
    LOG_ALLOC,   // of size at address, for interp
    LOG_FREE,    // of what is at address
    LOG_LEAVES,  // what is at address is about to be resized
    LOG_ARRIVES, // what left before, by the same stream, has size at address
    LOG_STAYS,   // what left before is as it was
    LOG_BORN,    // interp
    LOG_ENDED, // interp; if it is not kept, without what it had in mem and obj
};

typedef struct log_event {
    enum log_what what;
    unsigned domain; // of LOG_ALLOC, LOG_FREE and LOG_LEAVES
    bool zeroed;
    bool kept;
    uint64_t address;
    uint64_t size;
    int64_t interp;
    unsigned stream; // from 1 on, below log_streams()
    unsigned thread; // the system's number
    uint64_t clock_ms;
} log_event;

typedef struct log_file log_file;

// NULL: *why says what is wrong.
log_file *log_open(const char *path, const char **why);
void log_close(log_file *log);

// False: there are no more.
bool log_next(log_file *log, log_event *out);

// The head: lines of a name, a space and a value.
const char *log_head(const log_file *log);

unsigned log_streams(const log_file *log);

// Whether the recording was ended; how many bytes belong to no whole block; and
// how many blocks their streams lack, as far as that can be known.
bool log_is_ended(const log_file *log);
uint64_t log_lost_bytes(const log_file *log);
uint64_t log_missing_blocks(const log_file *log);

// --- memory ------------------------------------------------------------------

// Zeroed; NULL: none.
void *log_map(size_t bytes);
void *log_remap(void *map, size_t before, size_t bytes);
void log_unmap(void *map, size_t bytes);

#endif // PIM_BENCH_LOG_H

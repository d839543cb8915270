// log.c -- see log.h.

#define _GNU_SOURCE

#include "log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hooks/record_format.h"

#define STREAMS ((size_t)UINT16_MAX + 1)
#define PADDING 16 // behind the file, for reads of whole words

// Where a block is, in order of its stream and number.
typedef struct place {
    uint32_t stream;
    uint32_t number;
    size_t header;
} place;

// A stream, and how far it was read.
typedef struct cursor {
    size_t next, end; // of its places
    const unsigned char *at, *limit;
    uint64_t segment;
    uint64_t address; // in steps
    uint64_t clock_ms;
    int64_t interp[3];
    unsigned thread;
} cursor;

struct log_file {
    unsigned char *bytes;
    size_t size;
    char head[1024];
    bool is_ended;
    uint64_t lost, missing;
    place *places;
    size_t place_count, place_room;
    cursor *cursors;
    unsigned streams;
    unsigned *heap; // streams with something left, the lowest segment first
    unsigned heap_count;
};

// --- memory ------------------------------------------------------------------

void *
log_map(size_t bytes)
{
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return map != MAP_FAILED ? map : NULL;
}

void *
log_remap(void *map, size_t before, size_t bytes)
{
    void *grown = mremap(map, before, bytes, MREMAP_MAYMOVE);
    return grown != MAP_FAILED ? grown : NULL;
}

void
log_unmap(void *map, size_t bytes)
{
    if (map != NULL) {
        munmap(map, bytes);
    }
}

// --- opening -----------------------------------------------------------------

static const char *
read_file(log_file *log, const char *path)
{
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s) != 0 || !S_ISREG(s.st_mode)) {
        if (fd >= 0) {
            close(fd);
        }
        return "it cannot be opened, or is no regular file";
    }
    log->size = (size_t)s.st_size;
    log->bytes = log_map(log->size + PADDING);
    size_t got = 0;
    ssize_t n = 0;
    while (log->bytes != NULL && got < log->size &&
           (n = read(fd, log->bytes + got, log->size - got)) > 0) {
        got += (size_t)n;
    }
    close(fd);
    return log->bytes == NULL ? "there is no memory for it"
           : got < log->size  ? "it cannot be read"
                              : NULL;
}

// Whether a whole block begins there.
static bool
is_block(const log_file *log, size_t at, pim_log_block *out)
{
    if (log->size - at < sizeof(*out)) {
        return false;
    }
    memcpy(out, log->bytes + at, sizeof(*out));
    return out->magic == PIM_LOG_MAGIC && out->bytes <= PIM_LOG_BLOCK &&
           out->bytes <= log->size - at - sizeof(*out) &&
           out->stream < STREAMS &&
           pim_log_checksum(out, log->bytes + at + sizeof(*out)) ==
               out->checksum;
}

static bool
add_place(log_file *log, const pim_log_block *block, size_t at)
{
    if (log->place_count == log->place_room) {
        size_t room = log->place_room * 2 + 1024;
        void *grown =
            log->places == NULL
                ? log_map(room * sizeof(place))
                : log_remap(log->places, log->place_room * sizeof(place),
                            room * sizeof(place));
        if (grown == NULL) {
            return false;
        }
        log->places = grown;
        log->place_room = room;
    }
    log->places[log->place_count++] = (place){block->stream, block->number, at};
    log->streams =
        block->stream >= log->streams ? block->stream + 1 : log->streams;
    return true;
}

static void
take_head(log_file *log, const pim_log_block *block, size_t at)
{
    size_t bytes =
        block->bytes < sizeof(log->head) ? block->bytes : sizeof(log->head) - 1;
    memcpy(log->head, log->bytes + at + sizeof(*block), bytes);
    log->head[bytes] = '\0';
}

static const char *
find_blocks(log_file *log)
{
    size_t at = 0;
    while (at < log->size) {
        pim_log_block block;
        if (!is_block(log, at, &block)) {
            size_t step = log->size - at < 8 ? log->size - at : 8;
            log->lost += step;
            at += step;
            continue;
        }
        if (block.kind == PIM_LOG_HEAD) {
            take_head(log, &block, at);
        } else if (block.kind == PIM_LOG_EVENTS &&
                   !add_place(log, &block, at)) {
            return "there is no memory for it";
        }
        log->is_ended |= block.kind == PIM_LOG_END;
        at += sizeof(block) + (block.bytes + 7) / 8 * 8;
    }
    unsigned long version = strncmp(log->head, "version ", 8) == 0
                                ? strtoul(log->head + 8, NULL, 10)
                                : 0;
    return log->head[0] == '\0' ? "it is no recording of pimalloc"
           : version != PIM_LOG_VERSION
               ? "it is a recording of another version of pimalloc"
               : NULL;
}

static bool
comes_before(const place *a, const place *b)
{
    return a->stream != b->stream ? a->stream < b->stream
                                  : a->number < b->number;
}

// The file has them nearly in order.
static void
sort_places(log_file *log)
{
    for (size_t gap = log->place_count; gap > 1;) {
        gap = gap * 10 / 13;
        gap = gap == 0 ? 1 : gap;
        for (size_t i = gap; i < log->place_count; i++) {
            place moved = log->places[i];
            size_t j = i;
            for (; j >= gap && comes_before(&moved, &log->places[j - gap]);
                 j -= gap) {
                log->places[j] = log->places[j - gap];
            }
            log->places[j] = moved;
        }
    }
}

// --- streams by segment ------------------------------------------------------

static bool
is_lower(const log_file *log, unsigned a, unsigned b)
{
    return log->cursors[log->heap[a]].segment <
           log->cursors[log->heap[b]].segment;
}

static void
swap(log_file *log, unsigned a, unsigned b)
{
    unsigned stream = log->heap[a];
    log->heap[a] = log->heap[b];
    log->heap[b] = stream;
}

static void
sink(log_file *log, unsigned i)
{
    for (;;) {
        unsigned low = i;
        for (unsigned child = 2 * i + 1;
             child <= 2 * i + 2 && child < log->heap_count; child++) {
            low = is_lower(log, child, low) ? child : low;
        }
        if (low == i) {
            return;
        }
        swap(log, i, low);
        i = low;
    }
}

// Goes on to the stream's next block.  False: there is none.
static bool
begin_block(log_file *log, cursor *c)
{
    pim_log_block block;
    if (c->next == c->end) {
        return false;
    }
    const unsigned char *at = log->bytes + log->places[c->next++].header;
    memcpy(&block, at, sizeof(block));
    c->at = at + sizeof(block);
    c->limit = c->at + block.bytes;
    c->segment = block.segment;
    c->thread = block.thread;
    c->clock_ms = block.clock_ms;
    c->address = 0;
    return true;
}

static bool
make_cursors(log_file *log)
{
    size_t count = log->streams + 1;
    log->cursors = log_map(count * sizeof(cursor));
    log->heap = log_map(count * sizeof(unsigned));
    if (log->cursors == NULL || log->heap == NULL) {
        return false;
    }
    for (size_t i = 0; i < log->place_count; i++) {
        const place *p = &log->places[i];
        cursor *c = &log->cursors[p->stream];
        bool is_first = c->end == 0;
        uint32_t expected = is_first ? 0 : p[-1].number + 1;
        log->missing += p->number - expected;
        c->next = is_first ? i : c->next;
        c->end = i + 1;
    }
    for (unsigned s = 0; s < log->streams; s++) {
        if (begin_block(log, &log->cursors[s])) {
            log->heap[log->heap_count++] = s;
        }
    }
    for (unsigned i = log->heap_count; i-- > 0;) {
        sink(log, i);
    }
    return true;
}

log_file *
log_open(const char *path, const char **why)
{
    log_file *log = log_map(sizeof(*log));
    if (log == NULL) {
        *why = "there is no memory for it";
        return NULL;
    }
    *why = read_file(log, path);
    *why = *why == NULL ? find_blocks(log) : *why;
    if (*why == NULL) {
        sort_places(log);
        *why = make_cursors(log) ? NULL : "there is no memory for it";
    }
    if (*why != NULL) {
        log_close(log);
        return NULL;
    }
    return log;
}

void
log_close(log_file *log)
{
    size_t count = log->streams + 1;
    log_unmap(log->bytes, log->size + PADDING);
    log_unmap(log->places, log->place_room * sizeof(place));
    log_unmap(log->cursors, count * sizeof(cursor));
    log_unmap(log->heap, count * sizeof(unsigned));
    log_unmap(log, sizeof(*log));
}

// --- events ------------------------------------------------------------------

static uint64_t
address(cursor *c)
{
    c->address += pim_log_unfold(pim_log_get(&c->at));
    return c->address << PIM_LOG_STEP_BITS;
}

// Whether it is one for the reader, and not about the stream.
static bool
read_more(cursor *c, uint64_t what, log_event *out)
{
    uint64_t first = pim_log_get(&c->at);
    switch (what) {
    case PIM_LOG_INTERP:
        c->interp[first % 3] = (int64_t)pim_log_get(&c->at) - 1;
        return false;
    case PIM_LOG_SEGMENT:
        c->segment += first;
        return false;
    case PIM_LOG_CLOCK:
        c->clock_ms += first;
        return false;
    case PIM_LOG_THREAD:
        c->thread = (unsigned)first;
        return false;
    case PIM_LOG_BORN:
    case PIM_LOG_ENDED:
        out->what = what == PIM_LOG_BORN ? LOG_BORN : LOG_ENDED;
        out->interp = (int64_t)first - 1;
        out->kept = what == PIM_LOG_ENDED && pim_log_get(&c->at) != 0;
        return true;
    default:
        out->what = LOG_STAYS;
        return what == PIM_LOG_KEPT;
    }
}

static bool
read_event(cursor *c, log_event *out)
{
    uint64_t number = pim_log_get(&c->at);
    unsigned op = number % (1 << PIM_LOG_OP_BITS);
    uint64_t argument = number >> PIM_LOG_OP_BITS;
    if (op >= PIM_LOG_MORE) {
        return read_more(c, argument, out);
    }
    out->address = address(c);
    out->size = argument;
    out->domain = op % 3;
    out->zeroed = op >= PIM_LOG_ZEROED && op < PIM_LOG_RESIZE;
    out->what = op == PIM_LOG_RESIZED  ? LOG_ARRIVES
                : op >= PIM_LOG_RESIZE ? LOG_LEAVES
                : op >= PIM_LOG_ALLOC  ? LOG_ALLOC
                                       : LOG_FREE;
    out->interp = c->interp[out->domain];
    return true;
}

// A stream goes on until its segment ends: then another one may be lower.
bool
log_next(log_file *log, log_event *out)
{
    while (log->heap_count != 0) {
        unsigned stream = log->heap[0];
        cursor *c = &log->cursors[stream];
        uint64_t segment = c->segment;
        if (c->at >= c->limit && !begin_block(log, c)) {
            log->heap[0] = log->heap[--log->heap_count];
            sink(log, 0);
            continue;
        }
        if (c->segment == segment && read_event(c, out)) {
            out->stream = stream;
            out->thread = c->thread;
            out->clock_ms = c->clock_ms;
            return true;
        }
        if (c->segment != segment) {
            sink(log, 0);
        }
    }
    return false;
}

const char *
log_head(const log_file *log)
{
    return log->head;
}

unsigned
log_streams(const log_file *log)
{
    return log->streams;
}

bool
log_is_ended(const log_file *log)
{
    return log->is_ended;
}

uint64_t
log_lost_bytes(const log_file *log)
{
    return log->lost;
}

uint64_t
log_missing_blocks(const log_file *log)
{
    return log->missing;
}

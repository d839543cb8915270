// record_stream.c -- see record_stream.h.

#include "hooks/record_stream.h"

#include <errno.h>

#include "base/keep_errno.h"
#include "platform/cancel.h"
#include "platform/gate_lock.h"
#include "platform/os.h"
#include "platform/threads.h"

// How much is noted between two looks at the clock.
#define CLOCK_BYTES 512

// Of a stream's map.
#define STREAM_BYTES (PIM_LOG_BLOCK)
#define CONTENT_BYTES (STREAM_BYTES - sizeof(pim_stream))

_Static_assert(sizeof(pim_log_block) == 48 &&
                   offsetof(pim_stream, content) ==
                       offsetof(pim_stream, header) + sizeof(pim_log_block),
               "a header and its content are written at once");

PIM_TLS pim_stream_self pim_stream_mine;
_Atomic uint16_t pim_stream_owners[PIM_OWNER_SLOTS];

static PIM_LOCK(lock); // streams and who has which
static pim_stream *streams;
static unsigned count;
static _Atomic uint64_t segments;

// --- a block -----------------------------------------------------------------

static void
set_limit(pim_stream *s)
{
    unsigned char *last =
        (unsigned char *)s + STREAM_BYTES - 2 * (size_t)PIM_LOG_EVENT;
    unsigned char *soon = s->at + CLOCK_BYTES;
    s->limit = soon < last ? soon : last;
}

static void
begin_block(pim_stream *s)
{
    s->at = s->content;
    s->last = 0;
    for (unsigned i = 0; i < 3; i++) {
        s->interp[i] = INT64_MIN; // is told with the next request
    }
    s->header = (pim_log_block){.kind = PIM_LOG_EVENTS,
                                .stream = s->number,
                                .number = s->blocks,
                                .thread = (uint32_t)s->thread,
                                .clock_ms = (uint32_t)s->clock_ms,
                                .segment = s->segment};
    set_limit(s);
}

static void
end_block(pim_stream *s)
{
    size_t bytes = (size_t)(s->at - s->content);
    if (bytes != 0) {
        s->header.bytes = (uint32_t)bytes;
        pim_record_write(&s->header);
        s->blocks++;
    }
    begin_block(s);
}

static void
put(pim_stream *s, unsigned what, uint64_t first, uint64_t second)
{
    s->at = pim_log_put(s->at, what << PIM_LOG_OP_BITS | PIM_LOG_MORE);
    s->at = pim_log_put(s->at, first);
    if (second != PIM_STREAM_NONE) {
        s->at = pim_log_put(s->at, second);
    }
}

PIM_COLD void
pim_stream_room(pim_stream *s)
{
    PIM_KEEP_ERRNO;
    PIM_NO_CANCEL;
    if (s->at + 2 * (size_t)PIM_LOG_EVENT >=
        (unsigned char *)s + STREAM_BYTES) {
        end_block(s);
    }
    uint64_t now = pim_record_ms();
    if (now > s->clock_ms) {
        put(s, PIM_LOG_CLOCK, now - s->clock_ms, PIM_STREAM_NONE);
        s->clock_ms = now;
    }
    set_limit(s);
}

// --- events that are rare ----------------------------------------------------

static void
begin_segment(pim_stream *s, uint64_t number)
{
    put(s, PIM_LOG_SEGMENT, number - s->segment, PIM_STREAM_NONE);
    s->segment = number;
}

static uint64_t
draw(void)
{
    return atomic_fetch_add(&segments, 1) + 1;
}

// Others may write themselves down meanwhile; the last one to do so stays.  One
// number is told, the last one.
PIM_COLD void
pim_stream_own(pim_stream *s, _Atomic uint16_t *slot)
{
    uint64_t number;
    do {
        atomic_store(slot, s->number);
        number = draw();
    } while (atomic_load(slot) != s->number);
    begin_segment(s, number);
}

PIM_COLD void
pim_stream_say_interp(pim_stream *s, unsigned domain, int64_t interp)
{
    s->interp[domain] = interp;
    put(s, PIM_LOG_INTERP, domain, (uint64_t)(interp + 1));
}

void
pim_stream_more(pim_stream *s, unsigned what, uint64_t first, uint64_t second)
{
    if (s->at >= s->limit) {
        pim_stream_room(s);
    }
    put(s, what, first, second);
}

void
pim_stream_segment(pim_stream *s)
{
    if (s->at >= s->limit) {
        pim_stream_room(s);
    }
    begin_segment(s, draw());
}

// --- whose -------------------------------------------------------------------

// One that was left, by a thread that said so or one that could not; its events
// lie in front of what comes now, by its next segment.
static pim_stream *
find_left(void)
{
    for (pim_stream *s = streams; s != NULL; s = s->next) {
        if (!s->used) {
            return s;
        }
    }
    for (pim_stream *s = streams; s != NULL; s = s->next) {
        if (pim_thread_is_gone(s->thread)) {
            return s;
        }
    }
    return NULL;
}

static pim_stream *
make(void)
{
    pim_stream *s = count < UINT16_MAX ? pim_os->map(STREAM_BYTES) : NULL;
    if (s != NULL) {
        pim_os->name(s, STREAM_BYTES, "pimalloc recording");
        s->number = (uint16_t)++count;
        s->next = streams;
        streams = s;
        begin_block(s);
    }
    return s;
}

PIM_COLD pim_stream *
pim_stream_take(void)
{
    uint32_t epoch = pim_load_relaxed(&pim_record_epoch);
    if (epoch == 0) {
        return NULL;
    }
    PIM_KEEP_ERRNO;
    int thread = pim_thread_id();
    pim_lock_enter(&lock);
    pim_stream *s = find_left();
    s = s != NULL ? s : make();
    if (s != NULL) {
        s->used = true;
        s->thread = thread;
    }
    pim_lock_leave(&lock);
    if (s == NULL) {
        pim_record_fail(-ENOMEM);
        return NULL;
    }
    pim_stream_mine = (pim_stream_self){s, epoch};
    pim_stream_segment(s);
    pim_stream_more(s, PIM_LOG_THREAD, (uint64_t)thread, PIM_STREAM_NONE);
    return s;
}

// Inside the gate.
static void
thread_ends(void)
{
    pim_stream_self *mine = &pim_stream_mine;
    pim_lock_acquire(&lock);
    if (mine->stream != NULL &&
        mine->epoch == pim_load_relaxed(&pim_record_epoch)) {
        mine->stream->used = false;
    }
    pim_lock_release(&lock);
    *mine = (pim_stream_self){NULL, 0};
}

// --- all of them -------------------------------------------------------------

void
pim_stream_start(void)
{
    static uint32_t last;
    for (size_t i = 0; i < PIM_OWNER_SLOTS; i++) {
        pim_store_relaxed(&pim_stream_owners[i], 0);
    }
    pim_store_relaxed(&segments, 0);
    pim_store_release(&pim_gate_on_thread_exit[PIM_EXIT_HOOKS], thread_ends);
    last = last == UINT32_MAX ? 1 : last + 1;
    pim_store_release(&pim_record_epoch, last);
}

// From here on no thread's end touches one.
static pim_stream *
detach(void)
{
    pim_lock_enter(&lock);
    pim_store_relaxed(&pim_record_epoch, 0);
    pim_stream *all = streams;
    streams = NULL;
    count = 0;
    pim_lock_leave(&lock);
    return all;
}

static void
give_back(pim_stream *all)
{
    while (all != NULL) {
        pim_stream *next = all->next;
        pim_os->unmap(all, STREAM_BYTES);
        all = next;
    }
}

void
pim_stream_stop(void)
{
    pim_stream *all = detach();
    for (pim_stream *s = all; s != NULL; s = s->next) {
        end_block(s);
    }
    give_back(all);
}

void
pim_stream_forget(void)
{
    give_back(detach());
}

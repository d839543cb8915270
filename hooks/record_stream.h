// record_stream.h -- what a thread has to say for a recording: its buffer, and
// the order of its events among those of others.
//
//   thread -> its stream's buffer --full--> a block of the file (record_file.h)
//
// A number for each event, drawn from one counter, would order them.  It would
// also send one cache line around between all threads that allocate.  Instead,
// each piece of memory (a slot of `owners`) knows the stream that touched it
// last.  Who finds itself there goes on; who does not writes itself down, draws
// a number, looks again, and begins a segment with that number.
//
// An allocation is noted behind the request, a free in front of it.  So where a
// block is freed by one thread and comes to another, the free was noted first,
// and since both touch the same slot:
//
//   RECORD-1  of two events at one address the segment of the later one is not
//             below that of the earlier one, and above if they are of different
//             streams.
//
// For let the first be noted by C, the second by B.  C drew its number before it
// last looked at the slot and saw C there; B wrote itself down after that look,
// or C had seen B; and B drew its number after that.

#ifndef PIM_HOOKS_RECORD_STREAM_H
#define PIM_HOOKS_RECORD_STREAM_H

#include "hooks/record_file.h"

typedef struct pim_stream {
    unsigned char *at;    // where the next event goes
    unsigned char *limit; // where to look at the clock, or at the buffer's end
    uint64_t last;        // address, in steps
    int64_t interp[3];    // of the last request in each domain
    uint16_t number;

    // Not of each event.
    uint64_t segment;
    uint64_t clock_ms; // as far as it was told
    uint32_t blocks;   // that were written
    int thread;        // the system's number
    bool used;         // it is a thread's; under the lock
    struct pim_stream *next;
    pim_log_block header; // of the block that is begun
    unsigned char content[];
} pim_stream;

typedef struct pim_stream_self {
    pim_stream *stream;
    uint32_t epoch; // for which it is
} pim_stream_self;

extern PIM_TLS pim_stream_self pim_stream_mine;

// The streams that touched memory last, by pieces of 1 << PIM_OWNER_SHIFT bytes;
// 0: none.  Pieces that share a slot cost numbers and are right all the same.
#define PIM_OWNER_SHIFT 14
#define PIM_OWNER_SLOTS ((size_t)1 << 14)
extern _Atomic uint16_t pim_stream_owners[PIM_OWNER_SLOTS];

// Begins with no stream; the clock stands at 0.  Nobody is in a hook's function.
void pim_stream_start(void);

// Writes what all streams have, and gives their memory back.  Nobody is in a
// hook's function.
void pim_stream_stop(void);

// Gives it back as it is; in a forked child.
void pim_stream_forget(void);

// The calling thread's, which had none for this recording; NULL: there is no
// recording, or no memory, and then that is its end.
pim_stream *pim_stream_take(void);

// What is rare.  room(): there is room for an event and all that belongs to it.
void pim_stream_room(pim_stream *s);
void pim_stream_own(pim_stream *s, _Atomic uint16_t *slot);
void pim_stream_say_interp(pim_stream *s, unsigned domain, int64_t interp);

PIM_INLINE pim_stream *
pim_stream_of_thread(void)
{
    const pim_stream_self *mine = &pim_stream_mine;
    return PIM_LIKELY(mine->epoch == pim_load_relaxed(&pim_record_epoch))
               ? mine->stream
               : pim_stream_take();
}

// The address is the thread's for this moment: it was just given to it, or is
// about to be given back.
PIM_INLINE void
pim_stream_touch(pim_stream *s, const void *block)
{
    _Atomic uint16_t *slot =
        &pim_stream_owners[((uintptr_t)block >> PIM_OWNER_SHIFT) %
                           PIM_OWNER_SLOTS];
    if (PIM_UNLIKELY(s->at >= s->limit)) {
        pim_stream_room(s);
    }
    if (PIM_UNLIKELY(atomic_load(slot) != s->number)) {
        pim_stream_own(s, slot);
    }
}

// After pim_stream_touch().
PIM_INLINE void
pim_stream_note(pim_stream *s, unsigned op, size_t size, const void *block)
{
    uint64_t address = (uintptr_t)block >> PIM_LOG_STEP_BITS;
    uint64_t difference = address - s->last;
    s->last = address;
    unsigned char *at =
        pim_log_put(s->at, (uint64_t)size << PIM_LOG_OP_BITS | op);
    s->at = pim_log_put(at, pim_log_fold(difference));
}

// An event that touches no memory; two arguments at most, of which the second
// may be none (PIM_STREAM_NONE).
#define PIM_STREAM_NONE UINT64_MAX
void pim_stream_more(pim_stream *s, unsigned what, uint64_t first,
                     uint64_t second);

// Begins a segment whatever was touched.
void pim_stream_segment(pim_stream *s);

#endif // PIM_HOOKS_RECORD_STREAM_H

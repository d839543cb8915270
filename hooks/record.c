// record.c -- the hook that notes each request in a log.
//
// An allocation is noted when it was served, a free before it is: the order of
// record_stream.h rests on that.  A resize does both, and is noted twice.

#include "hooks/record.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/atomic.h"
#include "hooks/record_file.h"
#include "hooks/record_stream.h"
#include "pimalloc/record.h"
#include "platform/cancel.h"
#include "platform/gate.h"
#include "platform/say.h"

enum { OFF, CHANGING, ON };
static _Atomic int state;

static int handle;
static int64_t whose;
static bool has_pid;
static char user_path[PATH_MAX];

// --- requests ----------------------------------------------------------------

static void *
see_alloc(void *ctx, const pimalloc_next *next, size_t size, int zero)
{
    (void)ctx;
    void *block = pimalloc_next_alloc(next, size, zero);
    pim_stream *s = pim_stream_of_thread();
    if (PIM_UNLIKELY(s == NULL || block == NULL)) {
        return block;
    }
    unsigned domain = (unsigned)pimalloc_next_domain(next);
    int64_t interp = pimalloc_next_interp(next);
    pim_stream_touch(s, block);
    if (PIM_UNLIKELY(s->interp[domain] != interp)) {
        pim_stream_say_interp(s, domain, interp);
    }
    pim_stream_note(s, (zero ? PIM_LOG_ZEROED : PIM_LOG_ALLOC) + domain, size,
                    block);
    return block;
}

static void
see_free(void *ctx, const pimalloc_next *next, void *block)
{
    (void)ctx;
    pim_stream *s = pim_stream_of_thread();
    if (PIM_LIKELY(s != NULL)) {
        pim_stream_touch(s, block);
        pim_stream_note(s, PIM_LOG_FREE + (unsigned)pimalloc_next_domain(next),
                        0, block);
    }
    pimalloc_next_free(next, block);
}

// What comes behind may end the recording, so it is looked for twice; the
// stream stays.
static void *
see_resize(void *ctx, const pimalloc_next *next, void *block, size_t size)
{
    (void)ctx;
    pim_stream *s = pim_stream_of_thread();
    if (PIM_UNLIKELY(s == NULL)) {
        return pimalloc_next_resize(next, block, size);
    }
    pim_stream_touch(s, block);
    pim_stream_note(s, PIM_LOG_RESIZE + (unsigned)pimalloc_next_domain(next), 0,
                    block);
    void *resized = pimalloc_next_resize(next, block, size);
    if (PIM_LIKELY(resized != NULL)) {
        pim_stream_touch(s, resized);
        pim_stream_note(s, PIM_LOG_RESIZED, size, resized);
    } else {
        pim_stream_more(s, PIM_LOG_KEPT, 0, PIM_STREAM_NONE);
    }
    return resized;
}

// --- births, ends, forks -----------------------------------------------------

static void
see_life(unsigned what, int64_t interp, uint64_t more)
{
    pim_stream *s = pim_stream_of_thread();
    if (s != NULL) {
        pim_stream_segment(s);
        pim_stream_more(s, what, (uint64_t)(interp + 1), more);
    }
}

static void
see_born(void *ctx, int64_t interp)
{
    (void)ctx;
    see_life(PIM_LOG_BORN, interp, PIM_STREAM_NONE);
}

static void
see_ended(void *ctx, int64_t interp, int kept)
{
    (void)ctx;
    see_life(PIM_LOG_ENDED, interp, kept != 0);
}

// What the streams hold is the parent's to write.  A child has a log of its own
// if it has a name of its own for one.
static void
see_forked(void *ctx)
{
    (void)ctx;
    pim_stream_forget();
    pim_record_close(true);
    int err = has_pid ? pim_record_open(user_path, whose, &has_pid) : 0;
    if (has_pid && err == 0) {
        pim_stream_start();
        pim_store_release(&state, ON); // whoever was changing it is gone
        return;
    }
    if (err != 0) {
        pim_say("pimalloc: a forked child cannot record into %s: %s\n",
                user_path, strerror(-err));
    }
    pimalloc_hook_pop(handle);
    pim_store_release(&state, OFF);
}

// --- from when to when -------------------------------------------------------

static const pimalloc_hook hook = {.size = sizeof(hook),
                                   .name = "record",
                                   .alloc = see_alloc,
                                   .resize = see_resize,
                                   .free = see_free,
                                   .interp_born = see_born,
                                   .interp_ended = see_ended,
                                   .forked = see_forked};

// A fork in the middle of a start or a stop: the hook is not in the chain, so
// see_forked() does not come.
static void
in_child(bool adrift)
{
    (void)adrift;
    if (pim_load_relaxed(&state) == CHANGING) {
        pim_stream_forget();
        pim_record_close(true);
        pim_store_release(&state, OFF);
    }
}

static bool
change_from(int before)
{
    return atomic_compare_exchange_strong(&state, &before, CHANGING);
}

static int
start(const char *path, int64_t interp)
{
    whose = interp;
    strcpy(user_path, path);
    int err = pim_record_open(path, interp, &has_pid);
    if (err != 0) {
        return err;
    }
    pim_stream_start();
    handle = pimalloc_hook_push(&hook, interp);
    if (handle < 0) {
        pim_stream_forget();
        pim_record_close(true);
        return handle;
    }
    return 0;
}

int
pimalloc_record_start(const char *path, int64_t interp)
{
    PIM_NO_CANCEL;
    if (path == NULL || *path == '\0' || interp < PIMALLOC_EACH) {
        return -EINVAL;
    }
    if (strlen(path) >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    if (!change_from(OFF)) {
        return -EALREADY;
    }
    pim_store_release(&pim_gate_on_fork_child[PIM_CHILD_RECORD], in_child);
    int err = start(path, interp);
    pim_store_release(&state, err == 0 ? ON : OFF);
    return err;
}

int
pimalloc_record_stop(void)
{
    PIM_NO_CANCEL;
    if (!change_from(ON)) {
        return -ENOENT;
    }
    int err = pimalloc_hook_pop(handle);
    if (err != 0 && err != -ENOENT) { // it is out, if we come again
        pim_store_release(&state, ON);
        return err;
    }
    pim_stream_stop();
    err = pim_record_close(false);
    pim_store_release(&state, OFF);
    return err;
}

// The last events are in buffers.
__attribute__((destructor)) static void
process_ends(void)
{
    pimalloc_record_stop();
}

void
pim_record_begin(const char *path)
{
    int err = path != NULL ? pimalloc_record_start(path, PIMALLOC_EACH) : 0;
    if (err != 0 && err != -EALREADY) {
        pim_say("pimalloc: PIMALLOC_RECORD=%s: nothing is recorded: %s\n", path,
                err == -EBUSY ? "another process records into that file; "
                                "%p in its name stands for the process's id"
                              : strerror(-err));
    }
}

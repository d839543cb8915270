// work.c -- see work.h.

#define _GNU_SOURCE

#include "work.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILLING 0x5a

// --- reading -----------------------------------------------------------------

static bool
add(work *w, const life *from)
{
    if (w->count == w->room) {
        size_t bytes = w->room * sizeof(work_step);
        work_step *grown = log_remap(w->steps, bytes, bytes * 2);
        if (grown == NULL) {
            return false;
        }
        w->steps = grown;
        w->room *= 2;
    }
    w->steps[w->count++] = (work_step){.block = from->block,
                                       .what = from->what,
                                       .domain = (unsigned)from->domain & 3,
                                       .zeroed = from->zeroed,
                                       .size = from->size};
    return true;
}

bool
work_read(log_file *log, work *out)
{
    *out = (work){.room = (size_t)1 << 16};
    out->steps = log_map(out->room * sizeof(work_step));
    lives *l = lives_open(log);
    life next;
    if (out->steps == NULL || l == NULL) {
        return false;
    }
    while (lives_next(l, &next)) {
        if (!add(out, &next)) {
            return false;
        }
        const lives_count *now = lives_counted(l);
        out->total_bytes += next.what == LIFE_BEGINS ? next.size : 0;
        out->peak_live_bytes = now->live_bytes > out->peak_live_bytes
                                   ? now->live_bytes
                                   : out->peak_live_bytes;
    }
    bool ok = !lives_failed(l);
    out->lives = *lives_counted(l);
    lives_close(l);
    return ok;
}

// --- memory of the process ---------------------------------------------------

// Bare reads: stdio would allocate.
static size_t
read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static long
resident_kb(void)
{
    char text[128];
    read_text("/proc/self/statm", text, sizeof(text));
    const char *second = strchr(text, ' ');
    return second != NULL
               ? strtol(second, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024)
               : 0;
}

// Since forget_peak(); 0: the system does not say.
static long
highest_kb(void)
{
    char text[4096];
    read_text("/proc/self/status", text, sizeof(text));
    const char *line = strstr(text, "VmHWM:");
    return line != NULL ? strtol(line + 6, NULL, 10) : 0;
}

static bool
forget_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, "5", 1) == 1;
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

// --- doing -------------------------------------------------------------------

typedef struct place {
    void *block;
    size_t size;
} place;

static void
begin(const work_domain *d, const work_step *s, place *p)
{
    p->block =
        s->zeroed ? d->calloc(d->ctx, 1, s->size) : d->malloc(d->ctx, s->size);
    p->size = p->block != NULL ? s->size : 0;
    memset(p->block != NULL ? p->block : p, FILLING, p->size);
}

static void
resize(const work_domain *d, const work_step *s, place *p)
{
    void *block = d->realloc(d->ctx, p->block, s->size);
    if (block == NULL) {
        return;
    }
    if (s->size > p->size) {
        memset((char *)block + p->size, FILLING, s->size - p->size);
    }
    *p = (place){block, s->size};
}

static void
end(const work_domain *d, place *p)
{
    if (p->block != NULL) {
        d->free(d->ctx, p->block);
    }
    *p = (place){NULL, 0};
}

// From one look at memory to the next.  The live bytes are counted beside.
static uint64_t
do_some(const work *w, size_t from, size_t to, const work_domain domains[3],
        place *places, uint64_t live)
{
    for (const work_step *s = w->steps + from; s < w->steps + to; s++) {
        const work_domain *d = &domains[s->domain];
        place *p = &places[s->block];
        live -= p->size;
        if (s->what == LIFE_BEGINS) {
            begin(d, s, p);
        } else if (s->what == LIFE_RESIZED) {
            resize(d, s, p);
        } else {
            end(d, p);
        }
        live += p->size;
    }
    return live;
}

static double
cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Asks for all that is about to be used, so that it is resident before.
static void *
map_and_touch(size_t bytes)
{
    char *map = log_map(bytes + 1);
    if (map != NULL) {
        memset(map, 1, bytes + 1);
        memset(map, 0, bytes + 1);
    }
    return map;
}

bool
work_do(const work *w, const work_domain domains[3], size_t samples,
        work_figures *out)
{
    size_t each = w->count / samples + 1;
    size_t most = w->count / each + 2;
    place *places = map_and_touch(w->lives.blocks * sizeof(place));
    *out = (work_figures){.samples = map_and_touch(most * sizeof(work_sample))};
    if (places == NULL || out->samples == NULL) {
        return false;
    }
    bool peak_is_new = forget_peak();
    long before = resident_kb();
    uint64_t live = 0;
    long highest = 0;
    for (size_t at = 0; at < w->count;) {
        size_t to = w->count - at > each ? at + each : w->count;
        double began = cpu_seconds();
        live = do_some(w, at, to, domains, places, live);
        out->cpu_seconds += cpu_seconds() - began;
        at = to;
        long now = resident_kb() - before;
        highest = now > highest ? now : highest;
        out->samples[out->sample_count++] = (work_sample){at, live, now};
    }
    out->peak_kb = peak_is_new ? highest_kb() - before : highest;
    out->peak_kb = out->peak_kb > highest ? out->peak_kb : highest;
    return true;
}

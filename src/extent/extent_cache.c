// extent_cache.c -- a small set of cached extents, searched from end to end;
// see extent_cache.h.

#include "extent/extent_cache.h"

#include "base/bits.h"
#include "platform/os.h"

_Atomic size_t pim_extent_cache_idle;

static pim_cached_extent pieces[PIM_CACHED_EXTENTS];
static uint32_t taken; // which cached extents there are
static uint64_t last_stamp;

_Static_assert(PIM_CACHED_EXTENTS == 8 * sizeof(taken), "a bit for each");

pim_cached_extent *
pim_extent_cache_after(const pim_cached_extent *before)
{
    unsigned from = before != NULL ? (unsigned)(before - pieces) + 1 : 0;
    uint64_t left = (uint64_t)taken >> from;
    return left != 0 ? &pieces[from + pim_lowest_bit(left)] : NULL;
}

bool
pim_extent_cache_is_full(void)
{
    return taken == UINT32_MAX;
}

static void
set_dirty(pim_cached_extent *p, size_t dirty)
{
    pim_own_add(&pim_extent_cache_idle, dirty - p->map.dirty);
    pim_own_add(p->figure, dirty - p->map.dirty); // under the lock
    p->map.dirty = dirty;
    p->recent = p->recent < dirty ? p->recent : dirty;
}

void
pim_extent_cache_forget(pim_cached_extent *p)
{
    set_dirty(p, 0);
    taken &= ~((uint32_t)1 << (p - pieces));
}

void
pim_extent_cache_assign(pim_cached_extent *p, _Atomic uint64_t *figure)
{
    if (p->figure != figure) {
        pim_own_sub(p->figure, p->map.dirty);
        pim_own_add(figure, p->map.dirty);
        p->figure = figure;
    }
}

pim_cached_extent *
pim_extent_cache_add(_Atomic uint64_t *figure, const pim_extent *map,
                     size_t recent)
{
    pim_cached_extent *p = &pieces[pim_lowest_bit(~(uint64_t)taken)];
    taken |= (uint32_t)1 << (p - pieces);
    p->map = *map;
    p->map.dirty = 0;
    p->stamp = ++last_stamp;
    p->figure = figure;
    p->front = 0;
    set_dirty(p, map->dirty);
    p->recent = recent;
    return p;
}

pim_extent
pim_extent_cache_cut_end(pim_cached_extent *p, size_t from)
{
    pim_extent end = p->map;
    end.start += from;
    end.bytes -= from;
    end.dirty -= from;
    if (from == 0) {
        pim_extent_cache_forget(p);
    } else {
        p->map.bytes = from;
        set_dirty(p, from);
    }
    return end;
}

pim_extent
pim_extent_cache_cut_front(pim_cached_extent *p, size_t bytes)
{
    pim_extent front = p->map;
    if (p->map.dirty <= bytes) {
        pim_extent_cache_forget(p);
        return front;
    }
    size_t recent = p->recent > bytes ? p->recent - bytes : 0;
    set_dirty(p, p->map.dirty - bytes);
    p->recent = recent;
    p->map.start += bytes;
    p->map.bytes -= bytes;
    front.bytes = front.dirty = bytes;
    return front;
}

// --- looking for one -------------------------------------------------------

pim_cached_extent *
pim_extent_cache_at(const char *start, uint64_t origin)
{
    pim_cached_extent *p = NULL;
    while ((p = pim_extent_cache_after(p)) != NULL) {
        if (p->map.start == start && p->map.origin == origin) {
            break;
        }
    }
    return p;
}

pim_cached_extent *
pim_extent_cache_up_to(const char *end, uint64_t origin)
{
    pim_cached_extent *p = NULL;
    while ((p = pim_extent_cache_after(p)) != NULL) {
        if (p->map.start + p->map.bytes == end && p->map.origin == origin) {
            break;
        }
    }
    return p;
}

pim_cached_extent *
pim_extent_cache_stalest(void)
{
    pim_cached_extent *found = NULL;
    for (pim_cached_extent *p = NULL;
         (p = pim_extent_cache_after(p)) != NULL;) {
        if (found == NULL || p->stamp < found->stamp) {
            found = p;
        }
    }
    return found;
}

// Whether a cached extent with `dirty` suits better than one with `best`, 0
// being none: the smallest that has what is wanted, else the largest.
static bool
suits_better(size_t dirty, size_t best, size_t wanted)
{
    if (best == 0 || dirty >= wanted) {
        return best == 0 || best < wanted || dirty < best;
    }
    return best < wanted && dirty > best;
}

pim_cached_extent *
pim_extent_cache_for_fixed(size_t bytes)
{
    pim_cached_extent *found = NULL;
    for (pim_cached_extent *p = NULL;
         (p = pim_extent_cache_after(p)) != NULL;) {
        size_t best = found != NULL ? found->map.dirty : 0;
        if ((p->front != 0 ? p->map.dirty : p->map.bytes) >= bytes &&
            suits_better(p->map.dirty, best, bytes)) {
            found = p;
        }
    }
    return found;
}

static pim_cached_extent *
second_half(pim_cached_extent *p)
{
    size_t half = pim_align_up(p->map.dirty / 2, pim_os_page_size());
    size_t recent = p->recent > half ? p->recent - half : 0;
    pim_extent second = pim_extent_cache_cut_end(p, half);
    return pim_extent_cache_add(p->figure, &second, recent);
}

pim_cached_extent *
pim_extent_cache_for_growing(size_t bytes, bool may_split)
{
    pim_cached_extent *found = NULL;
    pim_cached_extent *largest = NULL;
    for (pim_cached_extent *p = NULL;
         (p = pim_extent_cache_after(p)) != NULL;) {
        size_t best = found != NULL ? found->map.dirty : 0;
        if (p->map.dirty >= bytes && p->front <= bytes / 2 &&
            suits_better(p->map.dirty, best, 4 * bytes)) {
            found = p;
        }
        if (largest == NULL || p->map.dirty > largest->map.dirty) {
            largest = p;
        }
    }
    bool splits = found == NULL && may_split && !pim_extent_cache_is_full() &&
                  largest != NULL && largest->map.dirty / 2 >= 4 * bytes;
    return splits ? second_half(largest) : found;
}

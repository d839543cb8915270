// page.c -- carve a span into equal blocks and know where each is.
//
//   start                                              start + span
//     | block 0 | block 1 | ... | block k-1 | not carved yet | slack |
//                                           ^ carved == k
//
// A carved block is live, on `free`, or on `remote`; never in two places.
// Blocks are carved on demand, left to right, so memory is touched only when
// needed.
//
// Threads.  Non-owners push onto `remote` and do nothing else.  The owner takes
// the whole list at once, so there is no ABA problem.  A block on `remote`
// counts as used, so a page cannot be given back under a push.
//
// Invariants, checked by pim_page_audit():
//   PAGE-1  carved == used + length(free), carved <= capacity; in a page that
//           holds orphans, those not carved are used as well
//   PAGE-2  every block of `free` lies on a block boundary below `carved`
//   PAGE-3  length(remote) <= used
//
// Nothing here maps memory, takes a lock or can fail.

#include "page/page.h"

#include <string.h>

static void
open_as(pim_page *page, struct pim_heap *heap, unsigned domain,
        unsigned size_class, const pim_class_info *info)
{
    page->free = NULL;
    pim_store_relaxed(&page->remote, NULL);
    page->next = NULL;
    page->prev = NULL;
    page->remote_next = NULL;
    page->block_size = info->block_size;
    page->countdown = 0;
    page->rest = 0;
    page->carved = 0;
    page->capacity = info->capacity;
    page->size_class = (uint8_t)size_class;
    page->domain = (uint8_t)domain;
    page->offset_units = 0;
    pim_page_set_owner(page, heap, false);
}

void
pim_page_open(pim_page *page, struct pim_heap *heap, unsigned domain,
              unsigned size_class)
{
    open_as(page, heap, domain, size_class, &pim_classes[size_class]);
}

void
pim_page_open_span(pim_page *page, struct pim_heap *heap, unsigned domain,
                   unsigned units, size_t size)
{
    pim_class_info info = {.block_size = units << PIM_UNIT_SHIFT,
                           .capacity = 1};
    open_as(page, heap, domain, PIM_CLASS_SPAN, &info);
    page->carved = 1;
    page->countdown = 1;
    page->state = PIM_PAGE_FULL;
    page->asked = size;
}

// How far the places of neighbouring blocks of the page are apart.
static size_t
stride(const pim_page *page)
{
    return page->block_size / PIM_ALIGNMENT;
}

unsigned
pim_page_carve(pim_page *page, char *start, const pim_block_set *orphans)
{
    unsigned limit = pim_classes[page->size_class].carved;
    pim_block **link = &page->free;
    unsigned n = 0;
    size_t index = page->carved;
    for (; n < limit && index < page->capacity; index++) {
        if (orphans != NULL &&
            pim_block_set_has(orphans, index * stride(page))) {
            continue;
        }
        pim_block *block = (void *)(start + index * page->block_size);
        *link = block;
        link = &block->next;
        n++;
    }
    *link = NULL;
    page->carved = (uint16_t)index;
    return n;
}

bool
pim_page_push_remote(pim_page *page, pim_block *block)
{
    pim_block *head = pim_load_relaxed(&page->remote);
    do {
        PIM_CHECK(head != block, "a block was freed twice", block);
        block->next = head;
    } while (!pim_cas_weak(&page->remote, &head, block));
    return head == NULL;
}

void
pim_page_give(pim_page *page, char *start, pim_block_set *orphans,
              pim_block *block)
{
    PIM_CHECK(pim_page_used(page) != 0, "a block was freed twice", block);
    page->countdown--;
    if (orphans != NULL) {
        size_t granule = pim_block_granule(start, block);
        PIM_CHECK(page->state != PIM_PAGE_ABANDONED ||
                      pim_block_set_has(orphans, granule),
                  "a block was freed twice", block);
        pim_block_set_remove(orphans, granule);
        if (granule >= page->carved * stride(page)) {
            return; // it will be carved when its turn comes
        }
    }
    block->next = page->free;
    page->free = block;
}

unsigned
pim_page_collect(pim_page *page, char *start, pim_block_set *orphans)
{
    pim_block *block = pim_exchange(&page->remote, NULL);
    unsigned n = 0;
    while (block != NULL) {
        pim_block *next = block->next;
        pim_page_give(page, start, orphans, block);
        block = next;
        n++;
    }
    return n;
}

void
pim_page_abandon(pim_page *page, const char *start, bool holds_orphans,
                 pim_block_set *orphans)
{
    // What was carved is live unless it is on the free list; what was not is
    // live if it was an orphan before.
    size_t end = page->carved * stride(page);
    if (!holds_orphans) {
        size_t words = pim_page_units(page) * PIM_SET_WORDS;
        for (size_t i = 0; i < words; i++) {
            pim_store_relaxed(&orphans[i], 0);
        }
    }
    for (size_t granule = 0; granule < end; granule += stride(page)) {
        pim_block_set_add(orphans, granule);
    }
    for (const pim_block *b = page->free; b != NULL; b = b->next) {
        pim_block_set_remove(orphans, pim_block_granule(start, b));
    }
    page->free = NULL;
    page->carved = 0;
    pim_page_count_down_to(page, 0);
    page->state = PIM_PAGE_ABANDONED;
}

// --- which blocks are live? ------------------------------------------------

static void
live_remove(const pim_page *page, const char *start, const pim_block *block,
            pim_live_set *live)
{
    size_t granule = pim_block_granule(start, block);
    PIM_CHECK(granule < pim_page_granules(page),
              "a list of free blocks was written into", block);
    live->word[granule / PIM_SET_BITS] &=
        ~((uint64_t)1 << granule % PIM_SET_BITS);
}

static void
live_add(pim_live_set *live, size_t granule)
{
    live->word[granule / PIM_SET_BITS] |= (uint64_t)1 << granule % PIM_SET_BITS;
}

// What non-owners freed; only the owner could take a block off the list.
static void
remove_remote(const pim_page *page, const char *start, pim_live_set *live)
{
    const pim_block *block = pim_load_acquire(&page->remote);
    for (unsigned n = 0; block != NULL; n++, block = block->next) {
        PIM_CHECK(n < page->capacity, "a list of free blocks is circular",
                  block);
        live_remove(page, start, block, live);
    }
}

size_t
pim_live_set_next(const pim_live_set *set, size_t granule, size_t end)
{
    while (granule < end) {
        uint64_t rest =
            set->word[granule / PIM_SET_BITS] >> granule % PIM_SET_BITS;
        if (rest != 0) {
            granule += pim_lowest_bit(rest);
            return granule < end ? granule : end;
        }
        granule += PIM_SET_BITS - granule % PIM_SET_BITS;
    }
    return end;
}

// Marks the blocks of the free list in a set of the page's places, which is
// empty.  Returns whether they are in order already.
static bool
mark_free(const pim_page *page, const char *start, uint64_t *set)
{
    bool in_order = true;
    unsigned n = 0;
    for (const pim_block *b = page->free; b != NULL; b = b->next, n++) {
        size_t granule = pim_block_granule(start, b);
        PIM_CHECK(granule < pim_page_granules(page) && n < page->carved,
                  "a list of free blocks was written into", b);
        set[granule / PIM_SET_BITS] |= (uint64_t)1 << granule % PIM_SET_BITS;
        in_order &= b->next == NULL || b->next > b;
    }
    return in_order;
}

void
pim_page_sort(pim_page *page, char *start)
{
    uint64_t set[PIM_LIVE_WORDS];
    size_t words = (pim_page_granules(page) + PIM_SET_BITS - 1) / PIM_SET_BITS;
    memset(set, 0, words * sizeof(set[0]));
    if (mark_free(page, start, set)) {
        return;
    }
    // From the end, so that a fork in between finds no list that is a circle.
    pim_block *sorted = NULL;
    for (size_t i = words; i-- != 0;) {
        char *at = start + i * PIM_SET_BITS * PIM_ALIGNMENT;
        for (uint64_t left = set[i]; left != 0;) {
            unsigned last = pim_log2_floor(left);
            pim_block *block = (void *)(at + last * PIM_ALIGNMENT);
            block->next = sorted;
            sorted = block;
            atomic_signal_fence(memory_order_release);
            left &= ~((uint64_t)1 << last);
        }
    }
    page->free = sorted;
}

void
pim_page_live(const pim_page *page, const char *start,
              const pim_block_set *orphans, pim_live_set *live)
{
    *live = (pim_live_set){{0}};
    for (size_t i = 0; i < page->carved; i++) {
        size_t granule = i * stride(page);
        if (orphans == NULL || !pim_block_set_has(orphans, granule)) {
            live_add(live, granule);
        }
    }
    unsigned n = 0;
    for (const pim_block *b = page->free; b != NULL; b = b->next, n++) {
        PIM_CHECK(n < page->carved, "a list of free blocks is circular", b);
        live_remove(page, start, b, live);
    }
    remove_remote(page, start, live);
}

void
pim_page_live_orphans(const pim_page *page, const char *start,
                      const pim_block_set *orphans, pim_live_set *live)
{
    *live = (pim_live_set){{0}};
    for (size_t i = 0; i < page->capacity; i++) {
        size_t granule = i * stride(page);
        if (pim_block_set_has(orphans, granule)) {
            live_add(live, granule);
        }
    }
    remove_remote(page, start, live);
}

// --- audit -----------------------------------------------------------------

// How many blocks that were not carved are orphans.
static unsigned
orphans_uncarved(const pim_page *page, const pim_block_set *orphans)
{
    unsigned n = 0;
    for (size_t i = page->carved; orphans != NULL && i < page->capacity; i++) {
        n += pim_block_set_has(orphans, i * stride(page));
    }
    return n;
}

void
pim_page_audit(const pim_page *page, const char *start,
               const pim_block_set *orphans)
{
    unsigned length = 0;
    for (const pim_block *b = page->free; b != NULL; b = b->next) {
        size_t offset = (size_t)((const char *)b - start);
        PIM_CHECK(offset % page->block_size == 0 &&
                      offset / page->block_size < page->carved,
                  "PAGE-2: a free block lies off its page's grid", b);
        length++;
        PIM_CHECK(length <= page->carved, "PAGE-1: the free list is circular",
                  b);
    }
    unsigned uncarved = orphans_uncarved(page, orphans);
    PIM_CHECK(page->carved <= page->capacity &&
                  page->carved + uncarved == pim_page_used(page) + length,
              "PAGE-1: used and free blocks do not add up", page);
    unsigned remote = 0;
    const pim_block *b = pim_load_acquire(&page->remote);
    for (; b != NULL; b = b->next) {
        remote++;
        PIM_CHECK(remote <= pim_page_used(page),
                  "PAGE-3: more remote frees than used blocks", b);
    }
}

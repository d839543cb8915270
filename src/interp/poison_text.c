// poison_text.c -- what the handler of faults says of memory that nobody may
// use.

#include "interp/poison_text.h"

#include "abandoned/poison_extent.h"
#include "arena/region.h"
#include "interp/current.h"
#include "platform/fault.h"

// What the handler writes, as far as there is room.
typedef struct line {
    char *text;
    size_t capacity;
    size_t length;
} line;

static void
put(line *l, const char *what)
{
    pim_fault_put(l->text, l->capacity, &l->length, what);
}

static void
put_number(line *l, int64_t n)
{
    pim_fault_put_number(l->text, l->capacity, &l->length, n);
}

static void
put_address(line *l, const void *address)
{
    pim_fault_put_address(l->text, l->capacity, &l->length, address);
}

static void
put_who(line *l)
{
    int64_t id = pim_current_ask_id();
    put(l, "pimalloc: fatal: ");
    if (id >= 0) {
        put(l, "interpreter ");
        put_number(l, id);
    } else {
        put(l, "a thread without an interpreter");
    }
    put(l, " touched memory of interpreter ");
}

static bool
find_in_page(const void *address, pim_poisoned_block *about)
{
    const pim_page *page = pim_page_of(address);
    if (page->state != PIM_PAGE_POISONED) {
        return false;
    }
    const char *first = pim_page_start(page);
    size_t offset = (size_t)((const char *)address - first);
    offset -= offset % page->block_size;
    *about =
        (pim_poisoned_block){.start = first + offset,
                             .bytes = page->block_size,
                             .ended = page->ended,
                             .domain = page->domain,
                             .live = pim_block_set_has(pim_page_orphans(page),
                                                       offset / PIM_ALIGNMENT)};
    return true;
}

size_t
pim_poison_describe(const void *address, char *text, size_t capacity)
{
    line l = {.text = text, .capacity = capacity};
    pim_poisoned_block about;
    if (!(pim_region_contains(address)
              ? find_in_page(address, &about)
              : pim_poison_find_extent(address, &about))) {
        return 0;
    }
    put_who(&l);
    put_number(&l, about.ended);
    put(&l, ", which has ended: address ");
    put_address(&l, address);
    put(&l, " in a block of ");
    put_number(&l, (int64_t)about.bytes);
    put(&l, " bytes at ");
    put_address(&l, about.start);
    put(&l,
        about.domain == PIM_OBJ ? " of the domain obj" : " of the domain mem");
    put(&l, about.live ? " that it left allocated\n" : " that was free\n");
    return l.length;
}

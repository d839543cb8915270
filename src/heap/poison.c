// poison.c -- pages whose blocks nobody may use any more.
//
//   heap ends --> DOOMED --- grace period ---> released: units of an arena
//                 frees find  (retire.c)  or
//                 the void heap                POISONED: no memory, no access
//                                                  | the last block is freed late
//                                                  v
//                                              units of an arena
//
// A page that is doomed still has its memory, because a thread that found the heap
// before may be about to push a block onto it.  From then on what is known of it
// is out of line: the set of its live blocks, whose it was.  So a late free, which
// CPython 3.12 and 3.13 do, touches nothing that is gone.
//
// Blocks of such pages are in no account but that of the ended interpreter.
//
// Invariant:
//   POISON-1  the set of a doomed or poisoned page is its used blocks.

#include "heap/poison.h"

#include "heap/current.h"
#include "platform/fault.h"
#include "platform/os.h"

// Each poisoned page may cost the process a map, of which it has a limited number
// (vm.max_map_count).  What is beyond is given back, but who touches it is not
// noticed.
#define POISONED_PAGES_MAX 16384

pim_heap pim_void_heap;
_Atomic int pim_policy_of_new;
pim_poison_figures pim_poisoned;

static unsigned poisoned_pages; // under the process heap's lock

static size_t
page_bytes(const pim_page *page)
{
    return pim_page_units(page) * PIM_UNIT_SIZE;
}

// --- doomed ----------------------------------------------------------------

void
pim_doom_page(pim_heap *heap, pim_page *page)
{
    pim_page_seal(page, pim_page_start(page), false, pim_page_leftovers(page));
    page->state = PIM_PAGE_DOOMED;
    page->ended = heap->id;
    page->next = heap->doomed;
    heap->doomed = page;
    pim_pending_add_blocks(&heap->gone[PIM_SLOT(page->domain)],
                           page->size_class, page->block_size,
                           pim_page_used(page));
    if (pim_load_relaxed(&heap->policy) == PIM_POISON) {
        pim_arena_expect_clean(page, pim_page_units(page));
    }
    pim_page_set_owner(page, &pim_void_heap, false);
}

// False: it is not live.
static bool
forget_block(pim_page *page, const void *block)
{
    pim_block_set *live = pim_page_leftovers(page);
    size_t place = pim_block_place(pim_page_start(page), block);
    if (!pim_block_set_has(live, place)) {
        return false;
    }
    pim_block_set_remove(live, place);
    page->countdown--;
    return true;
}

void
pim_doom_collect(pim_heap *heap, pim_page *page)
{
    const pim_block *block = pim_exchange(&page->remote, NULL);
    while (block != NULL) {
        const pim_block *next = block->next;
        PIM_CHECK(forget_block(page, block), "a block was freed twice", block);
        pim_pending_add_blocks(&heap->gone[PIM_SLOT(page->domain)],
                               page->size_class, page->block_size, -1);
        block = next;
    }
}

// --- gone ------------------------------------------------------------------

// The page's units are its arena's again, whoever has that.
static void
release(pim_page *page)
{
    page->countdown = 0;
    page->rest = 0;
    pim_own_add(&pim_process_heap.page_count, 1); // which is taken off there
    pim_heap_release_page(&pim_process_heap, page);
}

static void
poison(pim_page *page)
{
    char *start = pim_page_start(page);
    unsigned used = pim_page_used(page);
    page->state = PIM_PAGE_POISONED;
    // Where the system's pages are larger than units, the memory stays.
    if (pim_arena_units_are_pages() &&
        (poisoned_pages >= POISONED_PAGES_MAX ||
         pim_os->decommit(start, page_bytes(page)) != 0)) {
        pim_arena_reset(start, page_bytes(page));
    }
    poisoned_pages++;
    pim_add_relaxed(&pim_poisoned.poisoned_blocks, used);
    pim_add_relaxed(&pim_poisoned.poisoned_bytes,
                    (uint64_t)used * page->block_size);
}

void
pim_doom_finish(pim_heap *heap)
{
    bool releases = pim_load_relaxed(&heap->policy) == PIM_RELEASE;
    pim_page *next;
    for (pim_page *page = heap->doomed; page != NULL; page = next) {
        next = page->next;
        unsigned used = pim_page_used(page);
        if (releases) {
            pim_add_relaxed(&pim_poisoned.released_blocks, used);
            pim_add_relaxed(&pim_poisoned.released_bytes,
                            (uint64_t)used * page->block_size);
            release(page);
        } else if (used == 0) {
            if (pim_arena_units_are_pages()) {
                pim_arena_reset(pim_page_start(page), page_bytes(page));
            }
            release(page);
        } else {
            poison(page);
        }
    }
    heap->doomed = NULL;
}

static void
unpoison(pim_page *page)
{
    if (pim_os->commit(pim_page_start(page), page_bytes(page)) == 0) {
        poisoned_pages--;
        release(page);
    }
}

void
pim_poison_free(pim_page *page, void *block)
{
    PIM_CHECK(forget_block(page, block), "a block was freed twice", block);
    pim_add_relaxed(&pim_poisoned.late_frees, 1);
    if (page->state == PIM_PAGE_POISONED) {
        pim_sub_relaxed(&pim_poisoned.poisoned_blocks, 1);
        pim_sub_relaxed(&pim_poisoned.poisoned_bytes, page->block_size);
        if (pim_page_used(page) == 0) {
            unpoison(page);
        }
    }
}

// --- telling ---------------------------------------------------------------

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
                             .live = pim_block_set_has(pim_page_leftovers(page),
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
              : pim_poison_find_map(address, &about))) {
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

// poison.c -- pages whose blocks nobody may use any more.
//
//   heap ends --> CONDEMNED --- grace period ---> released: units of an arena
//                 frees find   (retire.c)  or
//                 the defunct heap             POISONED: no memory, no access
//                                                  | the last block is freed late
//                                                  v
//                                              units of an arena
//
// A page that is condemned still has its memory, because a thread that found
// the heap before may be about to push a block onto it.  From then on what is
// known of it is out of line: the set of its live blocks, whose it was.  So a
// late free, which CPython 3.12 and 3.13 do, touches nothing that is gone.
//
// Blocks of such pages are in no account but that of the ended interpreter.
//
// Invariant:
//   POISON-1  the set of a condemned or poisoned page is its used blocks.

#include "abandoned/poison.h"

#include "abandoned/retained.h"
#include "arena/arena_set.h"
#include "platform/os.h"

// Each poisoned page may cost the process a map, of which it has a limited
// number (vm.max_map_count).  What is beyond is given back, but who touches it
// is not noticed.
#define POISONED_PAGES_MAX 16384

_Atomic int pim_policy_of_new;
pim_poison_figures pim_poisoned;

static unsigned poisoned_pages; // under the process heap's lock

static size_t
page_bytes(const pim_page *page)
{
    return pim_page_units(page) * PIM_UNIT_SIZE;
}

// --- condemned -------------------------------------------------------------

void
pim_condemn_page(pim_condemned *condemned, pim_page *page, int64_t id,
                 int policy, const struct pim_heap *defunct)
{
    pim_page_abandon(page, pim_page_start(page), false, pim_page_orphans(page));
    page->state = PIM_PAGE_CONDEMNED;
    page->ended = id;
    page->next = condemned->pages;
    condemned->pages = page;
    pim_pending_add_blocks(&condemned->gone[PIM_DOMAIN_INDEX(page->domain)],
                           page->size_class, page->block_size,
                           pim_page_used(page));
    if (policy == PIM_POISON) {
        pim_arena_expect_clean(page, pim_page_units(page));
    }
    pim_page_set_owner(page, defunct, false);
}

// False: it is not live.
static bool
forget_block(pim_page *page, const void *block)
{
    pim_block_set *live = pim_page_orphans(page);
    size_t granule = pim_block_granule(pim_page_start(page), block);
    if (!pim_block_set_has(live, granule)) {
        return false;
    }
    pim_block_set_remove(live, granule);
    page->countdown--;
    return true;
}

void
pim_condemned_collect(pim_condemned *condemned, pim_page *page)
{
    const pim_block *block = pim_exchange(&page->remote, NULL);
    while (block != NULL) {
        const pim_block *next = block->next;
        PIM_CHECK(forget_block(page, block), "a block was freed twice", block);
        pim_pending_add_blocks(&condemned->gone[PIM_DOMAIN_INDEX(page->domain)],
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
    pim_retained_free_page(page);
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
pim_condemned_finish(pim_condemned *condemned, int policy)
{
    bool releases = policy == PIM_RELEASE;
    pim_page *next;
    for (pim_page *page = condemned->pages; page != NULL; page = next) {
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
    condemned->pages = NULL;
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

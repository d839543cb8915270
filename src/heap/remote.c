// remote.c -- frees by threads that do not hold the owner's GIL.
//
//   page->remote        blocks, pushed by anyone, taken by the owner at once
//   heap->remote_pages  the pages whose `remote` is not empty
//
// Whoever makes a page's list non-empty also pushes the page.  The owner takes
// lists only of pages that it finds on remote_pages, so between the two pushes
// the page cannot be collected, become empty and go away (REMOTE-1).  A page is
// on remote_pages at most once (REMOTE-2): its list is non-empty until after it
// was taken off.
//
// Retirement (retire.c) may hand a page to the process heap while a block is
// being pushed; it waits for such pushes with pim_gate_synchronize() and drains
// the retired heap once more.

#include "heap/heap_inline.h"
#include "heap/poison.h"

static void
announce(pim_heap *heap, pim_page *page)
{
    pim_page *head = pim_load_relaxed(&heap->remote_pages);
    do {
        page->remote_next = head;
    } while (!pim_cas_weak(&heap->remote_pages, &head, page));
}

// Counts the block as gone from the account that it is in.
static void
account_free(pim_heap *heap, pim_page *page, bool is_leftover)
{
    unsigned slot = PIM_SLOT(page->domain);
    if (is_leftover) {
        pim_lock_acquire(&pim_process_lock);
        pim_account_remove(&pim_process_heap.account[slot], page->size_class,
                           page->block_size);
        pim_lock_release(&pim_process_lock);
    } else {
        pim_pending_add(&heap->pending[slot], page->size_class,
                        page->block_size);
        pim_add_relaxed(&heap->remote_frees, 1);
    }
}

PIM_COLD void
pim_heap_free_remote(pim_page *page, void *block)
{
    bool tagged;
    pim_gate_enter();
    pim_heap *heap = pim_page_owner(page, &tagged);
    PIM_CHECK(heap != NULL, "free of an address that is not a live block",
              block);
    char *start = pim_page_start(page);
    size_t offset = (size_t)((char *)block - start);
    PIM_CHECK(offset % page->block_size == 0,
              "free of an address inside a block", block);
    PIM_CHECK(offset / page->block_size < page->capacity,
              "free of an address behind a page's blocks", block);
    if (heap == &pim_void_heap) {
        pim_lock_acquire(&pim_process_lock);
        pim_poison_free(page, block);
        pim_lock_release(&pim_process_lock);
        heap = NULL;
    } else if (pim_heap_is_process(heap)) {
        pim_lock_acquire(&pim_process_lock);
        // An heir may have taken the page while we waited for the lock.
        heap = pim_page_owner(page, &tagged);
        if (pim_heap_is_process(heap)) {
            pim_estate_free(page, block);
            heap = NULL;
        }
        pim_lock_release(&pim_process_lock);
    }
    if (heap != NULL) {
        bool is_leftover =
            tagged && pim_block_set_has(pim_page_leftovers(page),
                                        pim_block_place(start, block));
        account_free(heap, page, is_leftover);
        if (pim_page_push_remote(page, block)) {
            announce(heap, page);
        }
    }
    pim_gate_exit();
}

bool
pim_heap_uncount_living(const pim_heap *caller, pim_heap *heap, uint64_t serial,
                        unsigned domain, size_t bytes)
{
    unsigned slot = PIM_SLOT(domain);
    if (serial != pim_load_relaxed(&heap->serial) ||
        pim_heap_is_process(heap)) {
        return false;
    }
    if (heap == caller) {
        pim_account_remove(&heap->account[slot], PIM_CLASS_LARGE, bytes);
    } else {
        pim_pending_add(&heap->pending[slot], PIM_CLASS_LARGE, bytes);
        pim_add_relaxed(&heap->remote_frees, 1);
    }
    return true;
}

void
pim_heap_uncount(const pim_heap *caller, pim_heap *heap, uint64_t serial,
                 unsigned domain, size_t bytes)
{
    if (!pim_heap_uncount_living(caller, heap, serial, domain, bytes)) {
        pim_lock_acquire(&pim_process_lock);
        pim_account_remove(&pim_process_heap.account[PIM_SLOT(domain)],
                           PIM_CLASS_LARGE, bytes);
        pim_lock_release(&pim_process_lock);
    }
}

// Takes the pending figures over.
static void
settle(pim_heap *heap)
{
    for (unsigned slot = 0; slot < PIM_SLOTS; slot++) {
        pim_pending *pending = &heap->pending[slot];
        if (pim_load_relaxed(&pending->bytes) != 0) {
            atomic_fetch_add(&heap->settling, 1); // see pim_heap_figures()
            pim_account_settle(&heap->account[slot], pending);
            atomic_fetch_add(&heap->settling, 1);
        }
    }
}

// Collects a page that was on the heap's remote_pages.
static void
collect(pim_heap *heap, pim_page *page)
{
    bool tagged;
    pim_heap *owner = pim_page_owner(page, &tagged);
    if (owner == &pim_void_heap) {
        pim_doom_collect(heap, page);
        return;
    }
    if (owner != heap && !pim_heap_is_process(owner)) {
        // Our heap is retired and an heir has the page already.  It is the
        // heir's to collect; the process heap's lock, which we hold, keeps it
        // from retiring too.
        announce(owner, page);
        return;
    }
    bool sealed = page->state == PIM_PAGE_SEALED;
    pim_page_collect(page, pim_page_start(page),
                     tagged || sealed ? pim_page_leftovers(page) : NULL);
    if (sealed) {
        pim_heap_room_made(owner, page);
    }
    if (owner == heap && pim_load_relaxed(&heap->serial) == 0) {
        return; // being retired: the page is about to change hands (HEAP-5)
    }
    pim_heap_page_gained(owner, page);
}

void
pim_heap_drain(pim_heap *heap)
{
    if (pim_load_relaxed(&heap->remote_pages) != NULL) {
        pim_page *page = pim_exchange(&heap->remote_pages, NULL);
        while (page != NULL) {
            pim_page *next = page->remote_next; // may change once collected
            collect(heap, page);
            page = next;
        }
    }
    settle(heap);
}

// remote.c -- frees by threads that do not hold the owner's GIL.
//
//   page->remote        blocks, pushed by anyone, taken by the owner at once
//   heap->remote.pages  the pages whose `remote` is not empty
//
// Whoever makes a page's list non-empty also pushes the page.  The owner takes
// lists only of pages that it finds on remote.pages, so between the two pushes
// the page cannot be collected, become empty and go away (REMOTE-1).  A page is
// on remote.pages at most once (REMOTE-2): its list is non-empty until after it
// was taken off.
//
// Retirement (retire.c) may abandon a page while a block is
// being pushed; it waits for such pushes with pim_gate_synchronize() and drains
// the retired heap once more.

#include "heap/remote.h"

#include "abandoned/poison.h"
#include "abandoned/retained.h"
#include "arena/arena_set.h"
#include "heap/page_list.h"

void
pim_heap_announce(pim_heap *heap, pim_page *page)
{
    pim_page *head = pim_load_relaxed(&heap->remote.pages);
    do {
        page->remote_next = head;
    } while (!pim_cas_weak(&heap->remote.pages, &head, page));
}

// --- accounts --------------------------------------------------------------

bool
pim_heap_uncount_living(const pim_heap *caller, pim_heap *heap, uint64_t serial,
                        unsigned domain, size_t bytes)
{
    unsigned domain_index = PIM_DOMAIN_INDEX(domain);
    if (serial != pim_load_relaxed(&heap->serial) ||
        pim_heap_is_process(heap)) {
        return false;
    }
    if (heap == caller) {
        pim_account_remove(&heap->account[domain_index], PIM_CLASS_LARGE,
                           bytes);
    } else {
        pim_pending_add(&heap->remote.pending[domain_index], PIM_CLASS_LARGE,
                        bytes);
        pim_add_relaxed(&heap->remote.frees, 1);
    }
    return true;
}

void
pim_heap_uncount(const pim_heap *caller, pim_heap *heap, uint64_t serial,
                 unsigned domain, size_t bytes)
{
    if (!pim_heap_uncount_living(caller, heap, serial, domain, bytes)) {
        pim_lock_acquire(&pim_process_lock);
        pim_account_remove(&pim_process_heap.account[PIM_DOMAIN_INDEX(domain)],
                           PIM_CLASS_LARGE, bytes);
        pim_lock_release(&pim_process_lock);
    }
}

// Takes the pending figures over.
static void
fold(pim_heap *heap)
{
    for (unsigned domain_index = 0; domain_index < PIM_DOMAINS;
         domain_index++) {
        pim_pending *pending = &heap->remote.pending[domain_index];
        if (pim_load_relaxed(&pending->bytes) != 0) {
            atomic_fetch_add(&heap->remote.folding, 1); // see ledger.c
            pim_account_fold(&heap->account[domain_index], pending);
            atomic_fetch_add(&heap->remote.folding, 1);
        }
    }
}

// --- what the owner does ---------------------------------------------------

// The heap is retired, and the page is nobody's.
static void
collect_defunct(pim_heap *heap, pim_page *page)
{
    if (page->state != PIM_PAGE_ABANDONED) {
        pim_condemned_collect(&heap->condemned, page);
        return;
    }
    pim_page_collect(page, pim_page_start(page), pim_page_orphans(page));
    pim_abandoned_gained(page);
}

// Collects a page that was on the heap's remote.pages.
static void
collect(pim_heap *heap, pim_page *page)
{
    bool tagged;
    pim_heap *owner = pim_page_owner(page, &tagged);
    if (owner == &pim_defunct_heap) {
        collect_defunct(heap, page);
        return;
    }
    if (owner != heap) {
        // Our heap is retired and a reclaimer has the page already.  It is the
        // reclaimer's to collect; the process heap's lock, which we hold, keeps
        // it from retiring too.
        pim_heap_announce(owner, page);
        return;
    }
    pim_page_collect(page, pim_page_start(page),
                     tagged ? pim_page_orphans(page) : NULL);
    if (pim_load_relaxed(&heap->serial) == 0) {
        return; // being retired: the page is about to change hands (HEAP-5)
    }
    pim_heap_page_gained(heap, page);
}

void
pim_heap_drain(pim_heap *heap)
{
    if (pim_load_relaxed(&heap->remote.pages) != NULL) {
        pim_page *page = pim_exchange(&heap->remote.pages, NULL);
        while (page != NULL) {
            pim_page *next = page->remote_next; // may change once collected
            collect(heap, page);
            page = next;
        }
    }
    fold(heap);
}

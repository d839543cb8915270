// fence.c -- membarrier(2), and what is done when that is taken away.
//
//   EXPEDITED --membarrier fails--> SETTLING --a moment--> OWN
//    who waits asks the system                              who enters fences
//
// A process may confine itself after Python started: a filter (seccomp) then
// lets membarrier fail, and nobody is told.  From then on threads that enter
// must fence themselves.  They learn it from pim_gate.fence_on_enter, and the
// question is which entries were made without a fence, and cannot be seen yet:
//
//   thread that enters             who waits
//     inside = odd                   what it wrote, a fence
//     fence_on_enter?  no            membarrier fails
//     (not seen by others yet)       fence_on_enter = true, a fence
//                                    settle()
//                                    inside?
//
// Whoever reads fence_on_enter after that fence finds it set, fences, and is as
// good as ever.  So each thread has at most one entry that counts: the one
// whose reading came before.  Its store `inside = odd` came earlier still in
// the thread's order, and if it is not seen it lies in the store buffer of the
// processor that the thread runs on.  Such a buffer is written out
//   - when its processor takes an interrupt or switches to another thread;
//   - by itself, as fast as the caches take it, which is in some microseconds.
// settle() sees to the first where the system interrupts all processors of a
// process to take a page away from it (x86-64 but for the newest), and gives
// the second a thousand times as long as it takes.  Whoever else waits
// meanwhile settles itself.  This is done once in the life of a process.

#define _GNU_SOURCE

#include "platform/fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/keep_errno.h"
#include "platform/gate_state.h"
#include "platform/os.h"
#include "platform/threads.h"

#define SETTLE_MS 20

enum { OWN, EXPEDITED, SETTLING };

static _Atomic int means = OWN;

static bool
ask(int command)
{
    PIM_KEEP_ERRNO;
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

static void
use(int what)
{
    atomic_store(&means, what);
    pim_store_release(&pim_gate.fence_on_enter, what != EXPEDITED);
}

void
pim_fence_start(void)
{
    use(ask(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) ? EXPEDITED : OWN);
}

// What the parent had to do without, the child does.
void
pim_fence_in_child(void)
{
    bool has = pim_load_relaxed(&means) == EXPEDITED;
    use(has && ask(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) ? EXPEDITED
                                                              : OWN);
}

// A page that was written to and goes.
static void
interrupt_processors(void)
{
    size_t bytes = pim_os_page_size();
    char *page = pim_os->map(bytes);
    if (page != NULL) {
        *(volatile char *)page = 1;
        pim_os->unmap(page, bytes);
    }
}

static void
settle(void)
{
    uint64_t until = pim_clock_ms() + SETTLE_MS + 1;
    interrupt_processors();
    while (pim_clock_ms() < until) {
        pim_sleep_us(1000);
    }
}

static PIM_COLD void
do_without(void)
{
    int expedited = EXPEDITED;
    pim_store_relaxed(&pim_gate.fence_on_enter, true);
    atomic_thread_fence(memory_order_seq_cst);
    atomic_compare_exchange_strong(&means, &expedited, SETTLING);
    settle();
    atomic_store(&means, OWN);
}

void
pim_fence_everywhere(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    int now = atomic_load(&means);
    if (now == SETTLING ||
        (now == EXPEDITED && !ask(MEMBARRIER_CMD_PRIVATE_EXPEDITED))) {
        do_without();
    }
}

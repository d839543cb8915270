// fault.c -- handlers of SIGSEGV and SIGBUS in front of those that were there.
//
// They run on the alternate stack where the thread has one.  Everything in them
// is async-signal-safe: no lock, no allocation, no printf.
//
//   fault --> ours: known? tell --> the one before, or the default action
//
// For the default action the handler is taken away and the faulting instruction
// runs again, so a core dump shows where.

#define _GNU_SOURCE

#include "platform/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "platform/say.h"

#define TEXT_MAX 512

static pim_fault_describe *_Atomic watcher;
static struct sigaction before_segv;
static struct sigaction before_bus;

static void
append(char *text, size_t capacity, size_t *length, const char *what, size_t n)
{
    size_t room = capacity - *length;
    n = n < room ? n : room;
    memcpy(text + *length, what, n);
    *length += n;
}

void
pim_fault_put(char *text, size_t capacity, size_t *length, const char *what)
{
    append(text, capacity, length, what, strlen(what));
}

static void
put_digits(char *text, size_t capacity, size_t *length, uint64_t n,
           unsigned base)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n != 0);
    append(text, capacity, length, digits + at, sizeof(digits) - at);
}

void
pim_fault_put_number(char *text, size_t capacity, size_t *length, int64_t n)
{
    if (n < 0) {
        append(text, capacity, length, "-", 1);
    }
    uint64_t size = n < 0 ? -(uint64_t)n : (uint64_t)n;
    put_digits(text, capacity, length, size, 10);
}

void
pim_fault_put_address(char *text, size_t capacity, size_t *length,
                      const void *address)
{
    append(text, capacity, length, "0x", 2);
    put_digits(text, capacity, length, (uintptr_t)address, 16);
}

static void
tell(const void *address)
{
    char text[TEXT_MAX];
    pim_fault_describe *describe = pim_load_acquire(&watcher);
    size_t length = describe != NULL ? describe(address, text, TEXT_MAX) : 0;
    if (length != 0 && pim_say_fd() >= 0) {
        pim_write(pim_say_fd(), text, length);
    }
}

// As if we had not been in front of it.
static void
pass_on(const struct sigaction *before, int number, siginfo_t *info,
        void *context)
{
    if ((before->sa_flags & SA_SIGINFO) != 0) {
        before->sa_sigaction(number, info, context);
    } else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(number);
    } else if (info->si_code > 0) {
        signal(number, SIG_DFL); // a fault cannot be ignored
    } else if (before->sa_handler == SIG_DFL) {
        signal(number, SIG_DFL); // somebody sent it
        raise(number);
    }
}

static void
on_fault(int number, siginfo_t *info, void *context)
{
    const struct sigaction *before =
        number == SIGSEGV ? &before_segv : &before_bus;
    int err = errno;
    if (info->si_code > 0) {
        tell(info->si_addr);
    }
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, &before->sa_mask, &mask);
    pass_on(before, number, info, context);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    errno = err;
}

int
pim_fault_watch(pim_fault_describe *describe)
{
    pim_fault_describe *none = NULL;
    if (!atomic_compare_exchange_strong(&watcher, &none, describe)) {
        return 0;
    }
    struct sigaction ours = {.sa_sigaction = on_fault,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    // Known before the first fault can come to us.
    if (sigaction(SIGSEGV, NULL, &before_segv) != 0 ||
        sigaction(SIGBUS, NULL, &before_bus) != 0 ||
        sigaction(SIGSEGV, &ours, NULL) != 0 ||
        sigaction(SIGBUS, &ours, NULL) != 0) {
        int err = errno;
        pim_store_release(&watcher, NULL); // to be tried again
        return -err;
    }
    return 0;
}

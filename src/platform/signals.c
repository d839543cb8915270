// signals.c -- names and numbers.
//
// The names are here and not glibc's, which has sigabbrev_np() since 2.32 and
// which other C libraries follow or do not.

#include "platform/signals.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/compiler.h"

// Signals 1 to 31 have names, the same on every system.
#define STANDARD_SIGNALS 31

static const char *const names[STANDARD_SIGNALS + 1] = {
    [SIGHUP] = "HUP",       [SIGINT] = "INT",       [SIGQUIT] = "QUIT",
    [SIGILL] = "ILL",       [SIGTRAP] = "TRAP",     [SIGABRT] = "ABRT",
    [SIGBUS] = "BUS",       [SIGFPE] = "FPE",       [SIGKILL] = "KILL",
    [SIGUSR1] = "USR1",     [SIGSEGV] = "SEGV",     [SIGUSR2] = "USR2",
    [SIGPIPE] = "PIPE",     [SIGALRM] = "ALRM",     [SIGTERM] = "TERM",
    [SIGSTKFLT] = "STKFLT", [SIGCHLD] = "CHLD",     [SIGCONT] = "CONT",
    [SIGSTOP] = "STOP",     [SIGTSTP] = "TSTP",     [SIGTTIN] = "TTIN",
    [SIGTTOU] = "TTOU",     [SIGURG] = "URG",       [SIGXCPU] = "XCPU",
    [SIGXFSZ] = "XFSZ",     [SIGVTALRM] = "VTALRM", [SIGPROF] = "PROF",
    [SIGWINCH] = "WINCH",   [SIGPOLL] = "POLL",     [SIGPWR] = "PWR",
    [SIGSYS] = "SYS"};

// A decimal number without sign that ends the text; -1 if it is none.
static int
number_of(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits >= 1 && digits <= 3 && text[digits] == '\0' ? atoi(text) : -1;
}

int
pim_signal_of(const char *text)
{
    int number = number_of(text);
    if (number >= 0) {
        return number <= SIGRTMAX ? number : 0;
    }
    text += strncasecmp(text, "SIG", 3) == 0 ? 3 : 0;
    for (int i = 1; i <= STANDARD_SIGNALS; i++) {
        if (names[i] != NULL && strcasecmp(names[i], text) == 0) {
            return i;
        }
    }
    if (strncasecmp(text, "RTMIN", 5) != 0) {
        return 0;
    }
    int above = text[5] == '+' ? number_of(text + 6) : text[5] == '\0' ? 0 : -1;
    return above >= 0 && above <= SIGRTMAX - SIGRTMIN ? SIGRTMIN + above : 0;
}

// What cannot be caught, what the processor or the kernel raises for a mistake,
// and what belongs to children, pipes and terminals is not for us to take; nor
// are libc's own, between the standard ones and SIGRTMIN.
bool
pim_signal_is_free(int number)
{
    static const int taken[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,  SIGFPE,
                                SIGILL,  SIGTRAP, SIGABRT, SIGSYS,  SIGCHLD,
                                SIGPIPE, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < PIM_ARRAY_LEN(taken); i++) {
        if (number == taken[i]) {
            return false;
        }
    }
    return (number >= 1 && number <= STANDARD_SIGNALS) ||
           (number >= SIGRTMIN && number <= SIGRTMAX);
}

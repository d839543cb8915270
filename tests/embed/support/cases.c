// cases.c -- a program of cases, one process per case.
//
//   program --fork+exec--> program NAME     (output into a memory file)
//           <--status------
//
// A child is started with exec, so that a case finds the process as an
// embedder's main() does: nothing of cmocka, no other case's memory.

#define _GNU_SOURCE

#include "support/embed.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/patience.h"

#define OUTPUT_SHOWN 20000

static int
run_here(const embed_case *c)
{
    for (size_t i = 0; i < sizeof(c->env) / sizeof(c->env[0]); i++) {
        if (c->env[i] != NULL) {
            putenv(strdup(c->env[i]));
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(patience());
    c->run();
    return 0;
}

static pid_t
start_child(const embed_case *c, int output)
{
    pid_t child = fork();
    if (child == 0) {
        char *const argv[] = {(char *)(uintptr_t) "embed",
                              (char *)(uintptr_t)c->name, NULL};
        dup2(output, 1);
        dup2(output, 2);
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    return child;
}

static void
show_output(int output)
{
    char *text = calloc(1, OUTPUT_SHOWN + 1);
    off_t end = lseek(output, 0, SEEK_END);
    off_t start = end > OUTPUT_SHOWN ? end - OUTPUT_SHOWN : 0;
    if (text != NULL && pread(output, text, OUTPUT_SHOWN, start) >= 0) {
        print_error("%s\n", text);
    }
    free(text);
}

// cmocka's test function: `*state` is the case.
static void
run_in_child(void **state)
{
    const embed_case *c = *state;
    int output = memfd_create("output", MFD_CLOEXEC);
    pid_t child = start_child(c, output);
    int status = 0;
    assert_true(child > 0);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == EMBED_SKIPPED) {
        show_output(output);
        close(output);
        skip();
    }
    if (status != 0) {
        show_output(output);
    }
    close(output);
    if (WIFSIGNALED(status)) {
        fail_msg("%s: %s", c->name,
                 WTERMSIG(status) == SIGALRM ? "took too long"
                                             : strsignal(WTERMSIG(status)));
    } else if (status != 0) {
        fail_msg("%s: exit status %d", c->name, WEXITSTATUS(status));
    }
}

static embed_case *cases; // by line

void
embed_list(embed_case *c)
{
    embed_case **at = &cases;
    while (*at != NULL && (*at)->line < c->line) {
        at = &(*at)->next;
    }
    c->next = *at;
    *at = c;
}

int
main(int argc, char **argv)
{
    static struct CMUnitTest tests[64];
    size_t count = 0;
    for (embed_case *c = cases; c != NULL; c = c->next) {
        if (argc == 2 && strcmp(argv[1], c->name) == 0) {
            return run_here(c);
        }
        if (argc != 1) {
            printf("%s\n", c->name);
        } else if (count == sizeof(tests) / sizeof(tests[0])) {
            return 1;
        } else {
            tests[count++] = (struct CMUnitTest){
                .name = c->name, .test_func = run_in_child, .initial_state = c};
        }
    }
    return argc != 1 ? 2
                     : _cmocka_run_group_tests("embed", tests, count, NULL,
                                               NULL) != 0;
}

// standin.c -- plays libpimalloc-preload.so where a test is about the launcher.
//
// STANDIN_TRACE=FILE: appends the name of each program that it is loaded into.
// PIMALLOC_RUN_CHECK=1: answers as STANDIN_ANSWER="STATUS LINE" says and ends the
// process, or lets the program run if there is no such variable.

#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void
process_starts(void)
{
    const char *trace = getenv("STANDIN_TRACE");
    FILE *file = trace != NULL ? fopen(trace, "a") : NULL;
    if (file != NULL) {
        fprintf(file, "%s\n", program_invocation_short_name);
        fclose(file);
    }
    const char *answer = getenv("STANDIN_ANSWER");
    if (getenv("PIMALLOC_RUN_CHECK") != NULL && answer != NULL) {
        puts(answer + 2);
        fflush(stdout);
        _exit(answer[0] - '0');
    }
}

// test_stats_print.c -- the table for people says what the figures say.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/embed.h"

static pimalloc_usage
look(int64_t interp, enum pimalloc_domain domain)
{
    pimalloc_usage u = embed_stats(interp).domain[domain];
    embed_expect_sane(u);
    return u;
}

// Reads a number with separators; 0 if there is none.
static bool
parse_number(const char **text, uint64_t *out)
{
    const char *p = *text + strspn(*text, " ");
    uint64_t n = 0;
    if (*p < '0' || *p > '9') {
        return false;
    }
    for (; (*p >= '0' && *p <= '9') || *p == ','; p++) {
        if (*p != ',') {
            n = n * 10 + (uint64_t)(*p - '0');
        }
    }
    *text = p;
    *out = n;
    return true;
}

// Finds the row of `domain` at or after the row that begins with `who`.
static pimalloc_usage
row_of(const char *text, const char *who, const char *domain)
{
    char needle[16];
    pimalloc_usage f = {0};
    const char *at = strstr(text, who);
    snprintf(needle, sizeof(needle), " %s ", domain);
    at = at != NULL ? strstr(at, needle) : NULL;
    if (at == NULL) {
        FAIL("a row '%s' '%s' in: %s", who, domain, text);
    }
    at += strlen(needle);
    EXPECT(
        parse_number(&at, &f.live_bytes) && parse_number(&at, &f.live_blocks) &&
        parse_number(&at, &f.peak_bytes) && parse_number(&at, &f.peak_blocks));
    EXPECT(parse_number(&at, &f.total_bytes) &&
           parse_number(&at, &f.total_blocks));
    EXPECT_EQ(*at, '\n');
    return f;
}

static void
expect_row(const char *text, const char *who, const char *domain,
           pimalloc_usage f)
{
    pimalloc_usage row = row_of(text, who, domain);
    if (memcmp(&row, &f, sizeof(f)) != 0) {
        FAIL("the row '%s' '%s' to be what pimalloc_stats() says: %s", who,
             domain, text);
    }
}

CASE(table_says_what_the_figures_say)
{
    embed_start();
    embed_guest guest = embed_visit(EMBED_OWN_GIL);
    embed_return(&guest);
    guest.sub = embed_new_interp(EMBED_OWN_GIL);
    embed_run("x = [str(i) for i in range(5000)]");
    char *text = embed_stats_text();
    EXPECT_HAS(text, ", active, ");
    expect_row(text, "interp 0 ", "mem", look(0, PIMALLOC_MEM));
    expect_row(text, "interp 0 ", "obj", look(0, PIMALLOC_OBJ));
    expect_row(text, "interp 1 ended", "obj", look(1, PIMALLOC_OBJ));
    expect_row(text, "interp 2 ", "mem", look(2, PIMALLOC_MEM));
    expect_row(text, "interp 2 ", "obj", look(2, PIMALLOC_OBJ));
    expect_row(text, "process", "mem", look(PIMALLOC_PROCESS, PIMALLOC_MEM));
    // Columns are aligned: all rows of figures are of one length.
    size_t width = 0;
    for (char *line = strtok(text, "\n"); line != NULL;
         line = strtok(NULL, "\n")) {
        if (strstr(line, " mem ") != NULL || strstr(line, " obj ") != NULL ||
            strstr(line, " dom ") != NULL) {
            EXPECT(width == 0 || width == strlen(line));
            width = strlen(line);
        }
    }
    EXPECT_GT(width, 40);
    free(text);
    embed_return(&guest);
    pimalloc_stats_print(NULL); // to stderr
    embed_stop();
}

// Of all that a program may be ended by, a table that nobody reads is the last.
CASE(table_for_a_dead_pipe_ends_nothing)
{
    embed_skip_if_vanilla("figures are ours alone");
    embed_start();
    signal(SIGPIPE, SIG_DFL);
    for (int buffered = 0; buffered < 2; buffered++) {
        int pipes[2];
        EXPECT_EQ(pipe(pipes), 0);
        close(pipes[0]);
        FILE *out = fdopen(pipes[1], "w");
        setvbuf(out, NULL, buffered ? _IOFBF : _IONBF, BUFSIZ);
        pimalloc_stats_print(out);
        sigset_t pending;
        sigpending(&pending);
        EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
        // What the stream still holds is for /dev/null.
        int null = open("/dev/null", O_WRONLY);
        dup2(null, pipes[1]);
        close(null);
        fclose(out);
    }
    embed_stop();
}

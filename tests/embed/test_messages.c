// test_messages.c -- what is said is so.

#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/embed.h"
#include "support/scratch.h"

// Where raw is when a program installs pimalloc itself.
#define RAW_SOURCE (PY_314_OR_NEWER && !PY_IS_DEBUG ? "pimalloc" : "libc")

CASE_ENV(messages_and_reports_agree_on_where_raw_is, "PIMALLOC_VERBOSE=1")
{
    char line[64];
    scratch_make();
    embed_hear();
    embed_start();
    char *said = embed_heard();
    snprintf(line, sizeof(line), ", raw on %s\n", RAW_SOURCE);
    EXPECT_HAS(said, line);
    free(said);

    EXPECT_EQ(pimalloc_stats_save(scratch_path("json"), PIMALLOC_JSON), 0);
    snprintf(line, sizeof(line), "\"raw_source\": \"%s\"", RAW_SOURCE);
    EXPECT_HAS(scratch_read(scratch_path("json")), line);
    EXPECT_EQ(pimalloc_stats_save(scratch_path("om"), PIMALLOC_OPENMETRICS), 0);
    snprintf(line, sizeof(line), "raw_source=\"%s\"", RAW_SOURCE);
    EXPECT_HAS(scratch_read(scratch_path("om")), line);

    char *text = embed_stats_text();
    bool ours = strcmp(RAW_SOURCE, "pimalloc") == 0;
    EXPECT_EQ(embed_stats(PIMALLOC_PROCESS).raw_is_libc, !ours);
    EXPECT_EQ(strstr(text, "raw is served by libc's malloc") != NULL, !ours);
    free(text);
    scratch_remove(2);
    embed_stop();
}

// A later error of the same number has nothing to do with it.
CASE(failure_is_forgotten_after_a_success)
{
    const pimalloc_config nowhere = {.size = sizeof(nowhere),
                                     .mimalloc_path = "/nowhere/libmi.so"};
    embed_preinit();
    EXPECT_EQ(pimalloc_install(&nowhere), -ENOENT);
    EXPECT_HAS(pimalloc_strerror(-ENOENT), "/nowhere/libmi.so");
    EXPECT_EQ(pimalloc_install(NULL), 0);
    EXPECT(strstr(pimalloc_strerror(-ENOENT), "mimalloc") == NULL);
    embed_init();
    embed_stop();
}

static void
expect_remedy(const pimalloc_config *config, const char *remedy)
{
    embed_preinit();
    EXPECT_EQ(pimalloc_install(config), -ENOENT);
    EXPECT_HAS(pimalloc_strerror(-ENOENT), remedy);
}

CASE_ENV(remedy_is_where_the_library_was_named,
         "PIMALLOC_MIMALLOC=/elsewhere/libmi.so")
{
    const pimalloc_config nowhere = {.size = sizeof(nowhere),
                                     .mimalloc_path = "/nowhere/libmi.so"};
    expect_remedy(NULL, "and name it in PIMALLOC_MIMALLOC, or unset that");
    expect_remedy(&nowhere, "and name it in pimalloc_config.mimalloc_path");
}

// Root has no such limit.
CASE(remedy_for_locked_memory_is_named)
{
    const rlim_t limit = 16 << 20;
    setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){limit, limit});
    if ((geteuid() == 0 && setuid(65534) != 0) || mlockall(MCL_FUTURE) != 0) {
        embed_skip("memory cannot be locked within a limit here");
    }
    embed_preinit();
    int err = pimalloc_install(NULL);
    if (err != 0) {
        EXPECT_EQ(err, -ENOMEM);
        EXPECT_HAS(pimalloc_strerror(err), "ulimit -l");
    }
}

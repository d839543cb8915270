// scratch.c -- a folder of our own in /tmp.

#define _GNU_SOURCE

#include "support/scratch.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/embed.h"

static char folder[] = "/tmp/pimalloc-test-save-XXXXXX";

const char *
scratch_folder(void)
{
    return folder;
}

const char *
scratch_path(const char *name)
{
    static char paths[2][PATH_MAX];
    static int turn;
    turn = !turn;
    snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", folder, name);
    return paths[turn];
}

void
scratch_make(void)
{
    if (embed_is_vanilla()) {
        embed_skip("figures are ours alone");
    }
    EXPECT(mkdtemp(folder) != NULL);
}

int
scratch_count(void)
{
    int n = 0;
    DIR *dir = opendir(folder);
    EXPECT(dir != NULL);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    }
    closedir(dir);
    return n;
}

void
scratch_remove(int files)
{
    EXPECT_EQ(scratch_count(), files);
    DIR *dir = opendir(folder);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
    EXPECT_EQ(rmdir(folder), 0);
}

const char *
scratch_read(const char *path)
{
    static char text[SCRATCH_TEXT_MAX];
    FILE *in = fopen(path, "r");
    EXPECT(in != NULL);
    text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
    fclose(in);
    return text;
}

void
scratch_write(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    EXPECT(out != NULL && fputs(text, out) >= 0 && fclose(out) == 0);
}

bool
scratch_text_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    return n >= strlen(end) && strcmp(text + n - strlen(end), end) == 0;
}

bool
scratch_is_whole(const char *text)
{
    return (text[0] == '{' && scratch_text_ends_with(text, "]}\n")) ||
           (text[0] == '#' && scratch_text_ends_with(text, "\n# EOF\n"));
}

// test_file.c -- opening the files of reports: nobody waits, nobody is led astray.

#define _GNU_SOURCE

#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/child.h"
#include "support/expect.h"

#define SOMEBODY 65534

static char folder[] = "/tmp/pimalloc-file-XXXXXX";
static char text[1000];

// Of a file in the folder, valid until the next call but one.
static const char *
path_of(const char *name)
{
    static char paths[2][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 2];
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static void
put(const char *name, const char *what)
{
    FILE *f = fopen(path_of(name), "w");
    EXPECT_NOT_NULL(f);
    fputs(what, f);
    fclose(f);
}

static const char *
content(const char *name)
{
    FILE *f = fopen(path_of(name), "r");
    EXPECT_NOT_NULL(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

// Opens, writes and closes; returns the first failure.
static int
save(const char *name, pim_file_mode mode, const char *what)
{
    pim_file file;
    int err = pim_file_open(&file, path_of(name), mode);
    if (err == 0) {
        bool done = write(file.fd, what, strlen(what)) == (ssize_t)strlen(what);
        err = pim_file_close(&file, done ? 0 : -EIO);
    }
    return err;
}

static void
expect_refused(const char *name, int err)
{
    EXPECT_EQ(save(name, PIM_FILE_APPEND, "ours\n"), err);
    EXPECT_EQ(save(name, PIM_FILE_REPLACE, "ours\n"), err);
    EXPECT_EQ(save(name, PIM_FILE_ANEW, "ours\n"), err);
}

TEST(file_is_appended_to_or_replaced)
{
    EXPECT_EQ(save("log", PIM_FILE_APPEND, "1\n"), 0);
    EXPECT_EQ(save("log", PIM_FILE_APPEND, "2\n"), 0);
    EXPECT_EQ(strcmp(content("log"), "1\n2\n"), 0);
    EXPECT_EQ(save("log", PIM_FILE_REPLACE, "3\n"), 0);
    EXPECT_EQ(strcmp(content("log"), "3\n"), 0);
    EXPECT_EQ(symlink("log", path_of("link")), 0);
    EXPECT_EQ(save("link", PIM_FILE_APPEND, "4\n"), 0);
    EXPECT_EQ(save("link", PIM_FILE_REPLACE, "5\n"), 0);
    EXPECT_EQ(save("link", PIM_FILE_APPEND, "6\n"), 0);
    EXPECT_EQ(strcmp(content("log"), "5\n6\n"), 0);
    expect_refused("no-folder/x", -ENOENT);
}

TEST(file_that_could_not_be_written_stays_as_it_was)
{
    pim_file file;
    put("old", "old\n");
    EXPECT_EQ(pim_file_open(&file, path_of("old"), PIM_FILE_REPLACE), 0);
    EXPECT_EQ(write(file.fd, "half", 4), 4);
    EXPECT_EQ(access(file.temporary, F_OK), 0);
    EXPECT_EQ(pim_file_close(&file, -EPIPE), -EPIPE);
    EXPECT_EQ(strcmp(content("old"), "old\n"), 0);
    EXPECT_EQ(access(file.temporary, F_OK), -1);
}

TEST(pipe_is_not_waited_for)
{
    char first = 0;
    EXPECT_EQ(mkfifo(path_of("pipe"), 0600), 0);
    expect_refused("pipe", -ENXIO);
    int reader = open(path_of("pipe"), O_RDONLY | O_NONBLOCK);
    EXPECT_GE(reader, 0);
    EXPECT_EQ(save("pipe", PIM_FILE_APPEND, "a"), 0);
    EXPECT_EQ(save("pipe", PIM_FILE_REPLACE, "r"), 0);
    EXPECT_EQ(read(reader, &first, 1), 1);
    EXPECT_EQ(first, 'a');
    close(reader);
}

// `program 2>log` and the same file named.
TEST(log_of_stderr_is_written_through_it)
{
    int before = dup(STDERR_FILENO);
    put("errors", "1\n");
    int log = open(path_of("errors"), O_WRONLY);
    EXPECT_EQ(lseek(log, 2, SEEK_SET), 2);
    dup2(log, STDERR_FILENO);
    int append = save("errors", PIM_FILE_APPEND, "2\n");
    int replace = save("errors", PIM_FILE_REPLACE, "3\n");
    bool open_still = write(STDERR_FILENO, "4\n", 2) == 2;
    dup2(before, STDERR_FILENO);
    close(before);
    close(log);
    EXPECT_EQ(append, 0);
    EXPECT_EQ(replace, 0);
    EXPECT(open_still);
    EXPECT_EQ(strcmp(content("errors"), "1\n2\n3\n4\n"), 0);
}

// What fs.protected_symlinks, fs.protected_fifos and fs.protected_hardlinks are
// about; root stands for any user here, whom these settings would guard as well.
TEST(what_others_lay_into_a_shared_folder_is_refused)
{
    if (geteuid() != 0) {
        skip(); // only root can make files of others
    }
    put("victim", "secret\n");
    EXPECT_EQ(chmod(folder, 01777), 0);
    EXPECT_EQ(symlink("victim", path_of("to-victim")), 0);
    EXPECT_EQ(symlink("new", path_of("to-nothing")), 0);
    EXPECT_EQ(mkfifo(path_of("their-pipe"), 0666), 0);
    int reader = open(path_of("their-pipe"), O_RDONLY | O_NONBLOCK);
    put("their-file", "theirs\n");
    static const char *const theirs[] = {"to-victim", "to-nothing",
                                         "their-pipe", "their-file"};
    for (unsigned i = 0; i < PIM_ARRAY_LEN(theirs); i++) {
        EXPECT_EQ(lchown(path_of(theirs[i]), SOMEBODY, SOMEBODY), 0);
        EXPECT_EQ(save(theirs[i], PIM_FILE_APPEND, "ours\n"), -EACCES);
    }
    expect_refused("to-victim", -EACCES);
    expect_refused("to-nothing", -EACCES);
    expect_refused("their-pipe", -EACCES);
    EXPECT_EQ(access(path_of("new"), F_OK), -1);

    // A second name of a file of our own, which may be anyone's doing.
    EXPECT_EQ(link(path_of("victim"), path_of("hard")), 0);
    EXPECT_EQ(save("hard", PIM_FILE_APPEND, "ours\n"), -EACCES);
    EXPECT_EQ(save("hard", PIM_FILE_REPLACE, "ours\n"), 0); // only the name
    EXPECT_EQ(strcmp(content("victim"), "secret\n"), 0);

    EXPECT_EQ(chmod(folder, 0700), 0);
    EXPECT_EQ(save("to-victim", PIM_FILE_APPEND, "ours\n"), 0);
    close(reader);
}

static int
make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int
remove_folder(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

static void
open_anew(void *arg)
{
    pim_file file;
    EXPECT_EQ(pim_file_open(&file, path_of(arg), PIM_FILE_ANEW), -EBUSY);
}

TEST(file_that_grows_by_places_is_emptied_first_and_one_processs)
{
    static char name[] = "places";
    pim_file file;
    char said[100];
    put(name, "what was there before\n");
    EXPECT_EQ(pim_file_open(&file, path_of(name), PIM_FILE_ANEW), 0);
    EXPECT_EQ(pim_file_write_at(&file, "second", 6, 5), 0);
    EXPECT_EQ(pim_file_write_at(&file, "first", 5, 0), 0);
    EXPECT_EQ(child_run(open_anew, name, said, sizeof(said)), 0);
    EXPECT_EQ(pim_file_close(&file, 0), 0);
    EXPECT_EQ(strcmp(content(name), "firstsecond"), 0);
    EXPECT_EQ(pim_file_open(&file, "/dev/null", PIM_FILE_ANEW), -ESPIPE);
}

SUITE(.set_up = make_folder, .tear_down = remove_folder)

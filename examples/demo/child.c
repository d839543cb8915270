// child.c -- the same work on CPython's own allocator, in a child process.
//
// The allocator of a process cannot be changed once Python has used it, so the
// other one needs a process of its own.  The child is this program again; it
// prints JSON into a pipe.

#include "demo.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

// Reads all of a child's output; the caller frees it.  NULL: no memory.
static char *
read_all(int fd)
{
    size_t capacity = 1 << 16;
    size_t length = 0;
    char *text = malloc(capacity);
    ssize_t got;
    while (text != NULL &&
           (got = read(fd, text + length, capacity - length - 1)) > 0) {
        length += (size_t)got;
        if (length == capacity - 1) {
            capacity *= 2;
            char *more = realloc(text, capacity);
            if (more == NULL) {
                free(text);
            }
            text = more;
        }
    }
    if (text != NULL) {
        text[length] = '\0';
    }
    return text;
}

// Runs this program again with --python-allocator --json and returns what it
// printed, to be freed; or NULL after saying what went wrong.
static char *
run_child(int interpreters, char *directory)
{
    // posix_spawn() wants strings that could be written to.
    char name[] = "demo";
    char allocator[] = "--python-allocator";
    char format[] = "--json";
    char count[32];
    char end_of_options[] = "--";
    snprintf(count, sizeof(count), "--interpreters=%d", interpreters);
    char *argv[] = {name,           allocator, format, count,
                    end_of_options, directory, NULL};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        perror("demo: pipe");
        return NULL;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    pid_t pid;
    int err =
        posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    char *text = err == 0 ? read_all(ends[0]) : NULL;
    close(ends[0]);
    if (err != 0) {
        fprintf(stderr, "demo: cannot run myself again: %s\n", strerror(err));
        return NULL;
    }
    int status;
    if (waitpid(pid, &status, 0) == pid && status == 0 && text != NULL) {
        return text;
    }
    fprintf(stderr, "demo: the run on CPython's own allocator failed (%s %d)\n",
            WIFSIGNALED(status) ? "signal" : "exit status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    free(text);
    return NULL;
}

// Finds a member in JSON that this program has written.
static const char *
json_member(const char *json, const char *name)
{
    const char *found = strstr(json, name);
    return found != NULL ? found + strlen(name) : "";
}

// The second half of the demo: `directory` is the one the user named, or NULL.
// Returns the exit status.
int
compare_with_child(const struct run *run, char *directory, bool json)
{
    char *text = run_child(run->interpreters, directory);
    if (text == NULL) {
        return EXIT_FAILURE;
    }
    struct other_run other = {
        .wall_seconds = strtod(json_member(text, "\"wall_seconds\":"), NULL),
        .cpu_seconds = strtod(json_member(text, "\"cpu_seconds\":"), NULL),
        .peak_bytes = strtod(json_member(text, "\"resident_peak\":"), NULL),
        .after_bytes = strtod(json_member(text, "\"resident_after\":"), NULL),
        .digest = strtoull(json_member(text, "\"digest\": \""), NULL, 16),
        .json = text,
    };
    (json ? report_both_json : report_both_text)(run, &other);
    free(text);
    if (other.digest != run->digest) {
        fprintf(stderr, "demo: the two runs disagree about the results\n");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

// last.c -- a library that keeps blocks of Python's until the process ends, as a
// static object of C++ does, and is among the last to end.

#define _GNU_SOURCE

#include <stddef.h>
#include <string.h>
#include <unistd.h>

typedef void free_function(void *);

void last_keep(void *block, free_function *release);

static struct {
    void *block;
    free_function *release;
} kept[8];
static size_t count;

__attribute__((visibility("default"))) void
last_keep(void *block, free_function *release)
{
    kept[count].block = block;
    kept[count].release = release;
    count++;
}

__attribute__((destructor)) static void
end(void)
{
    static const char text[] = "freed\n";
    for (size_t i = 0; i < count; i++) {
        kept[i].release(kept[i].block);
    }
    if (count != 0 && write(STDOUT_FILENO, text, strlen(text)) < 0) {
        _exit(98);
    }
}

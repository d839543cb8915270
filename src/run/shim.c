// shim.c -- recognising a shim by its last line and asking `pyenv which`.

#define _GNU_SOURCE

#include "run/shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run/spawn.h"

// A shim ends with: exec "/where/it/is/pyenv" exec "$program" "$@"
#define BEGIN "\nexec \""
#define END "\" exec \"$program\""
#define SECONDS_MAX 20

static bool
pyenv_of(const char *script, char out[PATH_MAX])
{
    char text[2048];
    int fd = open(script, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    char *begin = strstr(text, BEGIN);
    char *end = begin != NULL ? strstr(begin, END) : NULL;
    if (end == NULL) {
        return false;
    }
    *end = '\0';
    snprintf(out, PATH_MAX, "%s", begin + strlen(BEGIN));
    const char *name = strrchr(out, '/');
    return name != NULL && strcmp(name, "/pyenv") == 0;
}

bool
pim_shim_resolve(const char *script, char out[PATH_MAX])
{
    char pyenv[PATH_MAX];
    if (!pyenv_of(script, pyenv)) {
        return false;
    }
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "%s", strrchr(script, '/') + 1);
    char which[] = "which";
    char *argv[] = {pyenv, which, name, NULL};
    pim_answer answer;
    pim_spawn_ask(argv, NULL, SECONDS_MAX, &answer);
    size_t length = strcspn(answer.text, "\n");
    bool found = answer.error == 0 && answer.status == 0 &&
                 answer.text[0] == '/' && length < PATH_MAX;
    snprintf(out, PATH_MAX, "%.*s", found ? (int)length : 0, answer.text);
    return true;
}

// shim.c -- recognising a shim by its last line, and asking `pyenv which`.

#define _GNU_SOURCE

#include "run/shim.h"

#include <stdio.h>
#include <string.h>

#include "platform/path.h"
#include "run/spawn.h"
#include "run/text.h"

// A shim ends with: exec "/where/it/is/pyenv" exec "$program" "$@"
#define BEGIN "\nexec \""
#define END "\" exec \"$program\""
#define SECONDS_MAX 20

const char *
pim_shim_program(const char *script)
{
    char text[2048] = "";
    FILE *file = fopen(script, "re");
    if (file != NULL) {
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
    }
    char *pyenv = strstr(text, BEGIN);
    char *end = pyenv != NULL ? strstr(pyenv, END) : NULL;
    if (end == NULL) {
        return NULL;
    }
    pyenv += strlen(BEGIN);
    *end = '\0';
    if (strcmp(pyenv + pim_path_folder(pyenv), "pyenv") != 0) {
        return NULL;
    }
    char which[] = "which";
    char *name = pim_text("%s", script + pim_path_folder(script));
    pim_answer answer;
    pim_spawn_ask((char *[]){pyenv, which, name, NULL}, NULL, SECONDS_MAX,
                  &answer);
    bool found = answer.status == 0 && answer.text[0] == '/';
    return pim_text("%.*s", found ? (int)strcspn(answer.text, "\n") : 0,
                    answer.text);
}

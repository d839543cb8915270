// planted.c -- what an attacker calls libmimalloc.so.3.

#include <unistd.h>

__attribute__((constructor)) static void
loaded(void)
{
    static const char text[] = "PLANTED CODE RUNS\n";
    if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0) {
        _exit(3);
    }
}

// bad_mimalloc.c -- a library named in PIMALLOC_MIMALLOC that asks for the locale
// while it is loaded, as a library may, and then is no mimalloc at all.

#include <locale.h>
#include <stddef.h>

const char *bad_locale(void);

static const char *at_load;

__attribute__((constructor)) static void
start(void)
{
    at_load = setlocale(LC_CTYPE, NULL);
}

__attribute__((visibility("default"))) const char *
bad_locale(void)
{
    return at_load;
}

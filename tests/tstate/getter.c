// getter.c -- a module that keeps a thread state, as libpython does.
//
// Built in several ways: by model of thread-local storage (the compiler's), and
//
//   GETTER_WORDS   how many words hold the state; the last is read
//   GETTER_ALIGN   alignment of the block
//   GETTER_READS   2: the getter reads two words; 0: none, but asks pthread

#include <pthread.h>
#include <stddef.h>

#ifndef GETTER_WORDS
#    define GETTER_WORDS 1
#endif
#ifndef GETTER_ALIGN
#    define GETTER_ALIGN 8
#endif
#ifndef GETTER_READS
#    define GETTER_READS 1
#endif

void *get_state(void);
void set_state(void *tstate);

#if GETTER_READS != 0
static __thread struct {
    void *before[3];
    void *volatile word[GETTER_WORDS];
} kept __attribute__((aligned(GETTER_ALIGN)));

void
set_state(void *tstate)
{
    for (int i = 0; i < GETTER_WORDS; i++) {
        kept.word[i] = tstate;
    }
}
#else
static pthread_key_t kept;

__attribute__((constructor)) static void
start(void)
{
    pthread_key_create(&kept, NULL);
}

void
set_state(void *tstate)
{
    pthread_setspecific(kept, tstate);
}
#endif

void *
get_state(void)
{
#if GETTER_READS == 0
    return pthread_getspecific(kept);
#elif GETTER_READS == 1
    return kept.word[GETTER_WORDS - 1];
#else
    return kept.word[0] != NULL ? kept.word[1] : NULL;
#endif
}

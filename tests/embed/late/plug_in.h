// plug_in.h -- what a host calls in a plug-in (plug_in.c).

#ifndef PIM_TESTS_PLUG_IN_H
#define PIM_TESTS_PLUG_IN_H

// Each returns 0 if it worked.
typedef struct plug_in {
    int (*begin)(void);
    int (*work)(void); // in any thread
    int (*end)(void);
    int (*write)(int fd, int format); // pimalloc_stats_write()
} plug_in;

extern const plug_in plug_in_functions;

#endif // PIM_TESTS_PLUG_IN_H

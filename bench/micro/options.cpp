// options.cpp -- see options.h.

#include "options.h"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>

namespace micro {

namespace {

const char help[] =
    "Usage: bench_micro_py3.X.Y [--allocator=NAME] [--label=NAME] [GOOGLE'S]\n"
    "\n"
    "Calls one allocator through the table of CPython's object domain, in\n"
    "patterns, inside an interpreter with its own GIL.\n"
    "\n"
    "  --allocator=NAME  pimalloc (the default), pymalloc, mimalloc "
    "(CPython's,\n"
    "                    since 3.13), malloc, or one without any check:\n"
    "                    floor, a LIFO list, or ordered, which hands blocks "
    "out\n"
    "                    by address\n"
    "  --label=NAME      the allocator's name in the output.  With malloc, a\n"
    "                    library of that name must be the one that malloc() "
    "is\n"
    "                    from: LD_PRELOAD=libjemalloc.so.2 ... "
    "--label=jemalloc\n"
    "  --help            this text\n"
    "\n"
    "Rows are named PATTERN/SIZE[/COUNT].  Time is that of one malloc and one\n"
    "free; of growth*/N, that of growing a block from 64 to N bytes.  Compare\n"
    "rows that end in /real_time by real time, the others by processor time.\n"
    "Rows of one process share a heap, and what ran before has its effect: to\n"
    "compare, run one pattern at a time, as with --benchmark_filter='^pair/'.\n"
    "The counter `busy` is near 1 unless something else used the processors.\n"
    "\n"
    "Google Benchmark's options:\n";

// The value of --NAME=VALUE or of --NAME VALUE; empty, if there is none.
bool
take(const char *name, int argc, char **argv, int *at, std::string *value)
{
    size_t length = strlen(name);
    if (strncmp(argv[*at], name, length) != 0) {
        return false;
    }
    if (argv[*at][length] == '=') {
        *value = argv[*at] + length + 1;
        return true;
    }
    if (argv[*at][length] == '\0') {
        *value = *at + 1 < argc ? argv[++*at] : "";
        return true;
    }
    return false;
}

} // namespace

std::string
parse_options(int *argc, char **argv, options *into)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            into->help = true;
        } else if (!take("--allocator", *argc, argv, &i, &into->allocator) &&
                   !take("--label", *argc, argv, &i, &into->label)) {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    argv[kept] = nullptr;
    for (const char *known :
         {"pimalloc", "pymalloc", "mimalloc", "malloc", "floor", "ordered"}) {
        if (into->allocator == known) {
            into->label = into->label.empty() ? known : into->label;
            return "";
        }
    }
    return "no allocator is called '" + into->allocator +
           "'; there are pimalloc, pymalloc, mimalloc, malloc, floor and "
           "ordered";
}

void
print_help()
{
    fputs(help, stdout);
    benchmark::PrintDefaultHelp();
}

} // namespace micro

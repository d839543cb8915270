// main.cpp -- one allocator, called in patterns, inside CPython.
//
// One process measures one allocator; bench/run starts one after the other and
// compares.  The work is done by the main thread under the GIL of an interpreter
// of its own, so that every allocator meets what it would in a program: a
// current thread state, an interpreter with its own state, and a heap that
// Python has already used.

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "floor.h"
#include "host.h"
#include "options.h"
#include "rows.h"

namespace {

enum { EXIT_USAGE = 2 };

int
complain(const std::string &what, int status)
{
    fprintf(stderr, "bench_micro: %s\n", what.c_str());
    return status;
}

micro::allocator
allocator_of(const std::string &name)
{
    if (name == "pimalloc") {
        return micro::allocator::pimalloc;
    } else if (name == "mimalloc") {
        return micro::allocator::mimalloc;
    } else if (name == "malloc") {
        return micro::allocator::malloc;
    }
    return micro::allocator::pymalloc; // and what is under the floors
}

// A label that names a malloc must be true.  Empty, or why it is not.
std::string
check_label(const micro::options &chosen)
{
    std::string file = micro::host::malloc_file();
    std::string wanted = chosen.label == "glibc" ? "libc.so" : chosen.label;
    if (chosen.allocator != "malloc" || chosen.label == "malloc" ||
        file.find(wanted) != std::string::npos) {
        return "";
    }
    return "the label says " + chosen.label + ", but malloc() is from " + file +
           (chosen.label == "glibc"
                ? "; unset LD_PRELOAD"
                : "; start with LD_PRELOAD set to that library");
}

} // namespace

int
main(int argc, char **argv)
{
    micro::options chosen;
    std::string wrong = micro::parse_options(&argc, argv, &chosen);
    if (!wrong.empty()) {
        return complain(wrong, EXIT_USAGE);
    }
    if (chosen.help) {
        micro::print_help();
        return EXIT_SUCCESS;
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return EXIT_USAGE;
    }
    wrong = micro::host::start(allocator_of(chosen.allocator));
    if (wrong.empty()) {
        wrong = check_label(chosen);
    }
    if (!wrong.empty()) {
        return complain(wrong, EXIT_FAILURE);
    }

    micro::subject on = {};
    bool ordered = chosen.allocator == "ordered";
    on.is_floor = ordered || chosen.allocator == "floor";
    on.frees_for_others = !on.is_floor && chosen.allocator != "pymalloc";
    on.raw = micro::host::raw_table();
    on.object = ordered       ? micro::ordered_table()
                : on.is_floor ? micro::floor_table()
                              : micro::host::object_table();
    if (on.object.malloc_fn == nullptr) {
        return complain("no address space for the floor's region; raise the "
                        "limit (ulimit -v)",
                        EXIT_FAILURE);
    }
    micro::add_single_rows(on);
    micro::add_growth_rows(on);
    micro::add_thread_rows(on);
    micro::add_raw_rows(on);

    benchmark::AddCustomContext("allocator", chosen.label);
    benchmark::AddCustomContext("python", micro::host::version());
    benchmark::AddCustomContext("malloc", micro::host::malloc_file());
    if (on.is_floor) {
        benchmark::AddCustomContext(
            "left_out", "rows of more than one thread, "
                        "realloc, and sizes that a floor does not have");
    } else if (!on.frees_for_others) {
        benchmark::AddCustomContext(
            "left_out", "remote_*: pymalloc takes "
                        "another interpreter's block for one of malloc()");
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    if (!micro::host::stop()) {
        return complain("Python could not end cleanly", EXIT_FAILURE);
    }
    return EXIT_SUCCESS;
}

// threads.cpp -- patterns of two threads: two interpreters at work at the same
// time, one that frees what the other made, and one that two threads share.

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <time.h>
#include <vector>

#include "add.h"
#include "host.h"
#include "partner.h"
#include "patterns.h"
#include "rows.h"

namespace micro {

namespace {

// Runs of a pattern between two meetings of the threads, which cost some
// hundred nanoseconds.
constexpr int RUNS_PER_MEETING = 64;

enum class place { interpreter, no_interpreter };

// How much of the processors that a row wants it got, as the counter `busy` from
// 0 to 1.  A thread that waits for the other spins, so less than 1 means either
// that the threads had to share a processor, with each other or with other
// programs, and then the row's time is the machine's and not the allocator's;
// or that they slept in the allocator, on a lock.
class busy_meter {
  public:
    busy_meter(benchmark::State *state, int threads)
        : state_(state), threads_(threads), wall_(now(CLOCK_MONOTONIC)),
          used_(now(CLOCK_PROCESS_CPUTIME_ID))
    {
    }

    // Call it when the timed part is over.
    void
    stop()
    {
        double used = now(CLOCK_PROCESS_CPUTIME_ID) - used_;
        double wall = now(CLOCK_MONOTONIC) - wall_;
        state_->counters["busy"] = used / (wall * threads_);
    }

  private:
    static double
    now(clockid_t clock)
    {
        timespec time;
        clock_gettime(clock, &time);
        return static_cast<double>(time.tv_sec) +
               static_cast<double>(time.tv_nsec) / 1e9;
    }

    benchmark::State *const state_;
    const int threads_;
    const double wall_;
    const double used_;
};

template <class Pattern>
void
run_until_meeting(Pattern *pattern)
{
    for (int i = 0; i < RUNS_PER_MEETING; i++) {
        pattern->run();
    }
}

template <class Pattern>
void
alone(benchmark::State &state, const table on, typename Pattern::shape shape)
{
    Pattern mine(on, shape);
    const int64_t blocks = RUNS_PER_MEETING * mine.blocks_per_run();
    busy_meter busy(&state, 1);
    while (state.KeepRunningBatch(blocks)) {
        run_until_meeting(&mine);
    }
    busy.stop();
}

// Two threads, each with a pattern of its own and in an interpreter of its own
// (or in none), do the same at the same time.
template <class Pattern>
void
side_by_side(benchmark::State &state, const table on,
             typename Pattern::shape shape, place where)
{
    Pattern mine(on, shape);
    std::unique_ptr<Pattern> theirs;
    host::state *own = nullptr;
    partner other(beside::in_parallel);
    other.run([&] {
        own = where == place::interpreter ? host::begin_interpreter() : nullptr;
        theirs = std::make_unique<Pattern>(on, shape);
    });
    const int64_t blocks = 2 * RUNS_PER_MEETING * mine.blocks_per_run();
    busy_meter busy(&state, 2);
    while (state.KeepRunningBatch(blocks)) {
        other.start([&] { run_until_meeting(theirs.get()); });
        run_until_meeting(&mine);
        other.wait();
    }
    busy.stop();
    other.run([&] {
        theirs.reset();
        if (own != nullptr) {
            host::end_interpreter(own);
        }
    });
}

// One pattern in one interpreter, which two threads run in turns, as with an
// event loop and a pool of threads.  Turns are as long as it takes until most
// blocks were made by the thread whose turn it is not.
template <class Pattern>
void
hop(benchmark::State &state, const table on, typename Pattern::shape shape,
    int runs_per_turn)
{
    Pattern pattern(on, shape);
    partner other(beside::in_turns);
    host::state *own = nullptr;
    host::state *here = host::detach();
    other.run([&] { own = host::begin_state(here); });
    host::attach(here);
    const auto turn = [&] {
        for (int i = 0; i < runs_per_turn; i++) {
            pattern.run();
        }
    };
    const auto their_turn = [&] {
        host::attach(own);
        turn();
        own = host::detach();
    };
    const int64_t blocks = 2 * runs_per_turn * pattern.blocks_per_run();
    busy_meter busy(&state, 1);
    while (state.KeepRunningBatch(blocks)) {
        turn();
        here = host::detach();
        other.run(their_turn);
        host::attach(here);
    }
    busy.stop();
    here = host::detach();
    other.run([&] { host::end_state(own); });
    host::attach(here);
}

// One interpreter makes blocks, another one frees them, in turns.
void
remote_free(benchmark::State &state, const table on, size_t size)
{
    constexpr size_t BATCH = 4000;
    neighbours stay(on, size);
    std::vector<void *> blocks(BATCH);
    partner other(beside::in_turns);
    host::state *own = nullptr;
    other.run([&] { own = host::begin_interpreter(); });
    const auto turn = [&] {
        for (void *&block : blocks) {
            block = on.make(size);
        }
        other.run([&] {
            for (void *block : blocks) {
                on.drop(block);
            }
        });
    };
    turn(); // page faults of the first one may take all the time there is
    busy_meter busy(&state, 1);
    while (state.KeepRunningBatch(BATCH)) {
        turn();
    }
    busy.stop();
    other.run([&] { host::end_interpreter(own); });
}

// Blocks on their way from the interpreter that makes them to the one that
// frees them.
class belt {
  public:
    static constexpr size_t BATCH = 1000;

    void
    fill(const table &on, size_t size)
    {
        size_t number = filled_.load(std::memory_order_relaxed);
        spin_until([&] {
            return number - emptied_.load(std::memory_order_acquire) < PLACES;
        });
        for (void *&block : blocks_[number % PLACES]) {
            block = on.make(size);
        }
        filled_.store(number + 1, std::memory_order_release);
    }

    void
    close()
    {
        closed_.store(true, std::memory_order_release);
    }

    // Frees what comes until the belt is closed and empty.
    void
    empty(const table &on)
    {
        for (size_t number = 0;; number++) {
            const auto is_filled = [&] {
                return filled_.load(std::memory_order_acquire) > number;
            };
            spin_until([&] {
                return is_filled() || closed_.load(std::memory_order_acquire);
            });
            if (!is_filled()) {
                return;
            }
            for (void *block : blocks_[number % PLACES]) {
                on.drop(block);
            }
            emptied_.store(number + 1, std::memory_order_release);
        }
    }

  private:
    static constexpr size_t PLACES = 4;

    void *blocks_[PLACES][BATCH];
    alignas(64) std::atomic<size_t> filled_{0}; // batches, since the beginning
    alignas(64) std::atomic<size_t> emptied_{0};
    alignas(64) std::atomic<bool> closed_{false};
};

// How long a word takes from one thread to the other and back.
double
round_trip_ns(partner *other)
{
    constexpr int TRIPS = 2000;
    alignas(64) std::atomic<int> word{0};
    const auto play = [&word](int first) {
        for (int i = first; i < 2 * TRIPS; i += 2) {
            spin_until([&word, i] {
                return word.load(std::memory_order_acquire) == i;
            });
            word.store(i + 1, std::memory_order_release);
        }
    };
    other->start([&] { play(1); });
    auto began = std::chrono::steady_clock::now();
    play(0);
    other->wait();
    std::chrono::duration<double, std::nano> took =
        std::chrono::steady_clock::now() - began;
    return took.count() / TRIPS;
}

// The same at the same time, and so with all that two processors do to each
// other.  The counter `round_trip` is how far they were from each other in
// nanoseconds; where that differs, times do.
void
remote_stream(benchmark::State &state, const table on, size_t size)
{
    neighbours stay(on, size);
    auto handed_over = std::make_unique<belt>();
    partner other(beside::in_parallel);
    host::state *own = nullptr;
    other.run([&] { own = host::begin_interpreter(); });
    double round_trip = round_trip_ns(&other);
    other.start([&] { handed_over->empty(on); });
    busy_meter busy(&state, 2);
    while (state.KeepRunningBatch(belt::BATCH)) {
        handed_over->fill(on, size);
    }
    busy.stop();
    handed_over->close();
    other.wait();
    state.counters["round_trip"] = (round_trip + round_trip_ns(&other)) / 2;
    other.run([&] { host::end_interpreter(own); });
}

// NAME/1 and NAME/2: by one thread, and by two.
template <class Pattern>
void
add_scaling_rows(const std::string &name, const table &on,
                 typename Pattern::shape shape, place where)
{
    add(name + "/1", alone<Pattern>, on, shape)->UseRealTime();
    add(name + "/2", side_by_side<Pattern>, on, shape, where)->UseRealTime();
}

} // namespace

void
add_thread_rows(const subject &on)
{
    if (on.is_floor) {
        return;
    }
    const replacement::shape mixed = {{16, 512}, 10000};
    const generations::shape same = {64, 10000};
    add("hop_replace/16_512/10000", hop<replacement>, on.object, mixed, 16)
        ->UseRealTime();
    add("hop_generations/64/10000", hop<generations>, on.object, same, 1)
        ->UseRealTime();
    add_scaling_rows<replacement>("parallel_replace/16_512/10000", on.object,
                                  mixed, place::interpreter);
    add_scaling_rows<generations>("parallel_generations/64/10000", on.object,
                                  same, place::interpreter);
    if (!on.frees_for_others) {
        return;
    }
    for (size_t size : {64, 512, 4096}) {
        add(row_name("remote_free") / size, remote_free, on.object, size)
            ->UseRealTime();
    }
    for (size_t size : {64, 4096}) {
        add(row_name("remote_stream") / size, remote_stream, on.object, size)
            ->UseRealTime();
    }
}

void
add_raw_rows(const subject &on)
{
    if (on.is_floor) {
        return;
    }
    for (size_t size : {32, 512, 4096}) {
        add_scaling_rows<pairs>("raw_pair/" + std::to_string(size), on.raw,
                                {size}, place::no_interpreter);
    }
    add_scaling_rows<replacement>("raw_replace/16_512/1000", on.raw,
                                  {{16, 512}, 1000}, place::no_interpreter);
    add_scaling_rows<replacement>("raw_replace/16_512/100000", on.raw,
                                  {{16, 512}, 100000}, place::no_interpreter);
}

} // namespace micro

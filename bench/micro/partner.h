// partner.h -- a second thread that does what the main one tells it.

#ifndef PIM_BENCH_MICRO_PARTNER_H
#define PIM_BENCH_MICRO_PARTNER_H

#include <atomic>
#include <functional>
#include <sched.h>
#include <thread>

namespace micro {

// Tells the processor that this thread waits.
inline void
relax()
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Waits without sleeping, for a wake-up takes longer than much of what is
// measured; but lets others run where the threads share one processor.
template <class Condition>
void
spin_until(Condition is_met)
{
    constexpr int SPINS_BEFORE_YIELD = 1000;
    for (int i = 0; !is_met(); i++) {
        if (i < SPINS_BEFORE_YIELD) {
            relax();
        } else {
            sched_yield();
        }
    }
}

// Lives as long as its row: while it has nothing to do it keeps a processor busy.
class partner {
  public:
    partner() : thread_([this] { work(); })
    {
    }

    ~partner()
    {
        start(nullptr);
        thread_.join();
    }

    partner(const partner &) = delete;
    partner &operator=(const partner &) = delete;

    // Has the other thread do `job`, and goes on.
    void
    start(std::function<void()> job)
    {
        job_ = std::move(job);
        busy_.store(true, std::memory_order_release);
    }

    // Returns when the job is done.
    void
    wait()
    {
        spin_until([this] { return !busy_.load(std::memory_order_acquire); });
    }

    void
    run(std::function<void()> job)
    {
        start(std::move(job));
        wait();
    }

  private:
    void
    work()
    {
        for (;;) {
            spin_until(
                [this] { return busy_.load(std::memory_order_acquire); });
            if (!job_) {
                return;
            }
            job_();
            busy_.store(false, std::memory_order_release);
        }
    }

    std::function<void()> job_;
    alignas(64) std::atomic<bool> busy_{false};
    std::thread thread_; // last, for it uses the others
};

} // namespace micro

#endif

// partner.h -- a second thread that does what the main one tells it.

#ifndef PIM_BENCH_MICRO_PARTNER_H
#define PIM_BENCH_MICRO_PARTNER_H

#include <atomic>
#include <functional>
#include <sched.h>
#include <semaphore.h>
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

// Where it runs, and so how the two wait for each other.
enum class beside {
    // On another processor, at the same time.  Waits spin.
    in_parallel,
    // On the processor of the main thread, which stays there meanwhile, in
    // turns.  Waits sleep.  What one processor has in its caches the other
    // fetches at a price that depends on where in the machine the two are,
    // which a virtual one changes as it runs; here it is not paid.
    in_turns,
};

// Lives as long as its row: while it has nothing to do it may spin.
class partner {
  public:
    explicit partner(beside how) : how_(how)
    {
        sem_init(&told_, 0, 0);
        sem_init(&done_, 0, 0);
        if (how_ == beside::in_turns) {
            cpu_set_t here;
            CPU_ZERO(&here);
            CPU_SET(static_cast<size_t>(sched_getcpu()), &here);
            sched_getaffinity(0, sizeof(before_), &before_);
            sched_setaffinity(0, sizeof(here), &here); // and the new thread
        }
        thread_ = std::thread([this] { work(); });
    }

    ~partner()
    {
        start(nullptr);
        thread_.join();
        if (how_ == beside::in_turns) {
            sched_setaffinity(0, sizeof(before_), &before_);
        }
        sem_destroy(&told_);
        sem_destroy(&done_);
    }

    partner(const partner &) = delete;
    partner &operator=(const partner &) = delete;

    // Has the other thread do `job`, and goes on.
    void
    start(std::function<void()> job)
    {
        job_ = std::move(job);
        busy_.store(true, std::memory_order_release);
        if (how_ == beside::in_turns) {
            sem_post(&told_);
        }
    }

    // Returns when the job is done.
    void
    wait()
    {
        wait_until(false, &done_);
    }

    void
    run(std::function<void()> job)
    {
        start(std::move(job));
        wait();
    }

  private:
    void
    wait_until(bool busy, sem_t *woken)
    {
        if (how_ == beside::in_turns) {
            while (sem_wait(woken) != 0) {
            }
        }
        spin_until([this, busy] {
            return busy_.load(std::memory_order_acquire) == busy;
        });
    }

    void
    work()
    {
        for (;;) {
            wait_until(true, &told_);
            if (!job_) {
                return;
            }
            job_();
            busy_.store(false, std::memory_order_release);
            if (how_ == beside::in_turns) {
                sem_post(&done_);
            }
        }
    }

    const beside how_;
    cpu_set_t before_; // where the main thread might run
    std::function<void()> job_;
    sem_t told_;
    sem_t done_;
    alignas(64) std::atomic<bool> busy_{false};
    std::thread thread_;
};

} // namespace micro

#endif

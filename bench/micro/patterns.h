// patterns.h -- what rows of one thread and rows of two have in common.
//
// A pattern takes its blocks when it is made, gives them back at its end, and
// does a piece of the same work with each run().  It belongs to one thread at a
// time.

#ifndef PIM_BENCH_MICRO_PATTERNS_H
#define PIM_BENCH_MICRO_PATTERNS_H

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sequence.h"
#include "table.h"

namespace micro {

// A few blocks of the same size that stay, as there are in any interpreter that
// works.  Without them a pair would take the first block of a page and give
// back the last one each time, which is a rare case and not the common one.
class neighbours {
  public:
    neighbours(const table &on, size_t size) : table_(on)
    {
        for (void *&block : blocks_) {
            block = table_.make(size);
        }
    }

    ~neighbours()
    {
        for (void *block : blocks_) {
            table_.drop(block);
        }
    }

    neighbours(const neighbours &) = delete;
    neighbours &operator=(const neighbours &) = delete;

  private:
    const table table_;
    void *blocks_[8];
};

// The same block again and again.
class pairs {
  public:
    struct shape {
        size_t size;
    };

    pairs(const table &on, shape of)
        : table_(on), size_(of.size), stay_(on, of.size)
    {
    }

    int64_t
    blocks_per_run() const
    {
        return STEPS_PER_RUN;
    }

    void
    run()
    {
        const table on = table_;
        for (size_t i = 0; i < STEPS_PER_RUN; i++) {
            on.drop(on.make(size_));
        }
    }

  private:
    const table table_;
    const size_t size_;
    neighbours stay_;
};

// What `new = [f(x) for x in old]; old = new` does.
class generations {
  public:
    struct shape {
        size_t size;
        size_t count;
    };

    generations(const table &on, shape of)
        : table_(on), size_(of.size), stay_(on, of.size), old_(of.count),
          new_(of.count)
    {
        for (void *&block : old_) {
            block = on.make(size_);
        }
    }

    ~generations()
    {
        for (void *block : old_) {
            table_.drop(block);
        }
    }

    int64_t
    blocks_per_run() const
    {
        return static_cast<int64_t>(old_.size());
    }

    void
    run()
    {
        const table on = table_;
        for (void *&block : new_) {
            block = on.make(size_);
        }
        for (void *block : old_) {
            on.drop(block);
        }
        old_.swap(new_);
    }

  private:
    const table table_;
    const size_t size_;
    neighbours stay_;
    std::vector<void *> old_;
    std::vector<void *> new_;
};

// One block after the other, chosen at random, gives way to a new one.  All of
// the sequence is run once before anything is timed, for the heap of a program
// is not one that was filled in order.
class replacement {
  public:
    struct shape {
        size_range sizes;
        uint32_t live;
    };

    replacement(const table &on, shape of)
        : table_(on), steps_(random_steps(of.live, of.sizes, of.live)),
          blocks_(of.live)
    {
        for (size_t i = 0; i < blocks_.size(); i++) {
            blocks_[i] = on.make(steps_[i].size);
        }
        do {
            run();
        } while (at_ < steps_.size());
    }

    ~replacement()
    {
        for (void *block : blocks_) {
            table_.drop(block);
        }
    }

    int64_t
    blocks_per_run() const
    {
        return STEPS_PER_RUN;
    }

    void
    run()
    {
        const table on = table_;
        at_ = at_ < steps_.size() ? at_ : 0;
        const step *steps = &steps_[at_];
        void **blocks = blocks_.data();
        for (size_t i = 0; i < STEPS_PER_RUN; i++) {
            void **slot = &blocks[steps[i].slot];
            on.drop(*slot);
            *slot = on.make(steps[i].size);
        }
        at_ += STEPS_PER_RUN;
    }

  private:
    const table table_;
    const std::vector<step> steps_;
    std::vector<void *> blocks_;
    size_t at_ = 0;
};

} // namespace micro

#endif

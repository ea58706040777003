// The cores that kernels use: their number, and the threads that help.
#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <system_error>
#include <thread>
#ifdef __linux__
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>
#endif
#include <pthread.h>

namespace pi {
namespace {

std::atomic<int> chosen{0};

int available() {
#ifdef __linux__
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
#endif
    return static_cast<int>(std::thread::hardware_concurrency());  // 0: not known
}

// Cores of the machine on which nothing runs, as seen in the last milliseconds. Where both parties share a machine,
// helpers on a core that the other one computes on would hold up both.
class Idle {
  public:
    int cores() {
        const int64_t now = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::microseconds(1);
        int64_t seen = seen_us_.load(std::memory_order_relaxed);
        if (now - seen >= EVERY_US && seen_us_.compare_exchange_strong(seen, now)) idle_ = look();
        return idle_;
    }

  private:
    static constexpr int64_t EVERY_US = 2000;

    // The fourth word of /proc/loadavg is RUNNING/ALL, of all threads; this one runs.
    static int look() {
#ifdef __linux__
        static const int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
        char text[64];
        const ssize_t size = file < 0 ? -1 : pread(file, text, sizeof text - 1, 0);
        if (size <= 0) return MAX_THREADS;
        text[size] = 0;
        int running = 1;
        if (std::sscanf(text, "%*s %*s %*s %d", &running) != 1) return MAX_THREADS;
        return std::max(0, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)) - running);
#else
        return MAX_THREADS;
#endif
    }

    std::atomic<int64_t> seen_us_{-EVERY_US};
    std::atomic<int> idle_{0};
};

int others() {
    static Idle idle;
    const int count = chosen.load(std::memory_order_relaxed);
    return count > 0 ? count - 1 : std::min(available() - 1, idle.cores());
}

struct Job {
    size_t n, grain;
    Work work;
    std::atomic<size_t> next{0};

    void take_part() {
        for (size_t at = next.fetch_add(grain); at < n; at = next.fetch_add(grain))
            work.call(work.body, at, std::min(n, at + grain));
    }
};

// Helpers of one job at a time: kernels that run beside it do without.
class Helpers {
  public:
    // All of the job, by this thread and at most `most` others. False: they are at another job.
    bool run(Job &job, int most) {
        const std::unique_lock<std::mutex> only(turn_, std::try_to_lock);
        if (!only) return false;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            while (there_ < most && start()) there_++;
            job_ = &job;
            wanted_ = std::min(most, there_);
        }
        for (int i = 0; i < most; i++) wake_.notify_one();
        job.take_part();
        std::unique_lock<std::mutex> lock(mutex_);
        wanted_ = 0;
        done_.wait(lock, [&] { return working_ == 0; });
        return true;
    }

  private:
    bool start() {
        try {
            std::thread(&Helpers::help, this).detach();
        } catch (const std::system_error &) {  // no more threads: fewer help
            return false;
        }
        return true;
    }

    void help() {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return wanted_ > 0; });
            wanted_--;
            working_++;
            Job &job = *job_;
            lock.unlock();
            job.take_part();
            lock.lock();
            if (--working_ == 0) done_.notify_one();
        }
    }

    std::mutex turn_, mutex_;
    std::condition_variable wake_, done_;
    Job *job_ = nullptr;
    int there_ = 0, wanted_ = 0, working_ = 0;
};

// Never destroyed: helpers wait in it until the process ends. A child of fork has none of them, and takes a new one.
std::atomic<Helpers *> helpers{nullptr};

Helpers &the_helpers() {
    static std::once_flag watched;
    std::call_once(watched, [] { pthread_atfork(nullptr, nullptr, [] { helpers.store(nullptr); }); });
    Helpers *found = helpers.load();
    if (found != nullptr) return *found;
    Helpers *fresh = new Helpers;
    if (helpers.compare_exchange_strong(found, fresh)) return *fresh;
    delete fresh;
    return *found;
}

}  // namespace

int threads() {
    const int count = chosen.load(std::memory_order_relaxed);
    return std::clamp(count > 0 ? count : available(), 1, MAX_THREADS);
}

void set_threads(int count) { chosen.store(count, std::memory_order_relaxed); }

void parallel_run(size_t n, size_t grain, Work work) {
    Job job{n, grain, work};
    const size_t parts = (n + grain - 1) / grain;
    const int most = static_cast<int>(std::min(parts - 1, static_cast<size_t>(std::max(0, others()))));
    if (most < 1 || !the_helpers().run(job, most)) work.call(work.body, 0, n);
}

}  // namespace pi

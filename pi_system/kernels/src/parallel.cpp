// The cores that kernels use: their number, and the threads that help.
#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>
#ifdef __linux__
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>
#endif
#include <pthread.h>
#include <signal.h>

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
        const int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
        if (file < 0) return MAX_THREADS;
        char text[64];
        const ssize_t size = read(file, text, sizeof text - 1);
        close(file);
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

// Like all here made as the module is loaded: a child of fork would wait for one that was half made.
Idle idle;

int others() {
    const int count = chosen.load(std::memory_order_relaxed);
    return count > 0 ? count - 1 : std::min(available() - 1, idle.cores());
}

struct Job {
    size_t n, grain;
    Work work;
    std::atomic<size_t> next{0};
    std::mutex throwing;
    std::exception_ptr thrown;

    void take_part() noexcept {
        try {
            for (size_t at = next.fetch_add(grain); at < n; at = next.fetch_add(grain))
                work.call(work.body, at, std::min(n, at + grain));
        } catch (...) {
            const std::lock_guard<std::mutex> lock(throwing);
            thrown = std::current_exception();
        }
    }
};

// A thread that takes no signal: the program's own say who does.
bool start_quietly(void *(*run)(void *), void *argument) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_t thread;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool started = pthread_create(&thread, nullptr, run, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (started) pthread_detach(thread);
    return started;
}

// Helpers of one job at a time: kernels that run beside it do without.
class Helpers {
  public:
    // All of the job, by this thread and at most `most` others. False: they are at another job.
    bool run(Job &job, int most) {
        const std::unique_lock<std::mutex> only(turn_, std::try_to_lock);
        if (!only) return false;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            while (there_ < most && start_quietly(help_one, this)) there_++;  // without more threads fewer help
            job_ = &job;
            wanted_ = std::min(most, there_);
        }
        for (int i = 0; i < most; i++) wake_.notify_one();
        job.take_part();
        std::unique_lock<std::mutex> lock(mutex_);
        wanted_ = 0;
        done_.wait(lock, [&] { return working_ == 0; });
        if (job.thrown) std::rethrow_exception(job.thrown);
        return true;
    }

  private:
    static void *help_one(void *helpers) {
        static_cast<Helpers *>(helpers)->help();
        return nullptr;
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
[[maybe_unused]] const int watched = pthread_atfork(nullptr, nullptr, [] { helpers.store(nullptr); });

Helpers &the_helpers() {
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

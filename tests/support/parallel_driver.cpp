// What the pool of helpers does where something fails; tests/unit/kernels/test_cores.py builds and runs it.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <vector>

#include "parallel.h"

namespace {

// Of 64 parts the one `failing` throws; all others are done or never begun, and none runs once the error is here.
bool throws(size_t failing) {
    std::atomic<int> running{0};
    try {
        pi::parallel_for(64, 1, [&](size_t begin, size_t) {
            running++;
            std::this_thread::sleep_for(std::chrono::microseconds(200));
            running--;
            if (begin == failing) throw std::runtime_error("part");
        });
    } catch (const std::runtime_error &) {
        return running == 0;
    }
    return false;
}

bool right() {
    std::vector<int> done(64);
    pi::parallel_for(64, 1, [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end; i++) done[i]++;
    });
    for (int count : done)
        if (count != 1) return false;
    return true;
}

// A signal that this thread blocks stays pending: no helper takes it.
bool quiet() {
    sigset_t all, pending;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    kill(getpid(), SIGTERM);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1;
}

// A process whose second thread begins its first kernel just as this one forks; the child's kernels end.
bool forked(int round) {
    const pid_t parent = fork();
    if (parent == 0) {
        std::thread other([] { for (int i = 0; i < 20; i++) right(); });
        for (volatile int i = 0; i < round * 37 % 6000; i = i + 1) {}
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            _exit(right() ? 0 : 1);
        }
        int status = 1;
        waitpid(child, &status, 0);
        other.join();
        _exit(status == 0 ? 0 : 1);
    }
    int status = 1;
    waitpid(parent, &status, 0);
    return status == 0;
}

}  // namespace

int main() {
    for (int round = 0; round < 300; round++)
        if (!forked(round)) return std::puts("a child of fork hangs, or is wrong"), 1;
    pi::set_threads(4);
    for (int round = 0; round < 50; round++)
        for (size_t failing : {0, 1, 40, 63})
            if (!throws(failing)) return std::puts("an error is lost, or parts run on"), 1;
    if (!right()) return std::puts("wrong after errors"), 1;
    if (!quiet()) return std::puts("a helper takes signals"), 1;
    return std::puts("ok"), 0;
}

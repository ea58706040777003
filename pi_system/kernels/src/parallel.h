// How many cores the kernels of this process use, and a range split over them.
#pragma once

#include <cstddef>

namespace pi {

constexpr int MAX_THREADS = 1024;

// What set_threads chose; nothing chosen: the cores that this process may run on now, of which kernels take those that
// are idle.
int threads();
// 0: chooses nothing. Kernels that run already keep to what was.
void set_threads(int count);

// A function of a range, without its type.
struct Work {
    void (*call)(const void *body, size_t begin, size_t end);
    const void *body;
};
void parallel_run(size_t n, size_t grain, Work work);

// Calls f(begin, end) on parts that cover 0 .. n, part bounds being multiples of `grain`. Parts are taken one after the
// other, by this thread and by as many helpers as are free: one whose core is busy is not waited for. A grain should
// take longer than to wake a helper, some 20 microseconds. What f throws is thrown here, once all have stopped.
template <class F>
void parallel_for(size_t n, size_t grain, const F &f) {
    if (n > grain)
        parallel_run(n, grain, {[](const void *body, size_t begin, size_t end) {
                                    (*static_cast<const F *>(body))(begin, end);
                                },
                                &f});
    else if (n > 0)
        f(size_t{0}, n);
}

}  // namespace pi

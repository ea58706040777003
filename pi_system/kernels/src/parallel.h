// Splits a range over threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <thread>
#include <vector>

namespace pi {

// Calls f(begin, end) on parts that cover 0 .. n, part bounds being multiples of `grain`; f must not throw.
template <class F>
void parallel_for(size_t n, size_t grain, int threads, F f) {
    const size_t grains = (n + grain - 1) / grain;
    const size_t parts = std::min(grains, static_cast<size_t>(std::max(threads, 1)));
    if (parts <= 1) {
        if (n > 0) f(size_t{0}, n);
        return;
    }
    std::vector<std::thread> others;
    const auto bound = [&](size_t part) { return std::min(n, grains * part / parts * grain); };
    for (size_t part = 1; part < parts; part++) others.emplace_back(f, bound(part), bound(part + 1));
    f(size_t{0}, bound(1));
    for (std::thread &t : others) t.join();
}

}  // namespace pi

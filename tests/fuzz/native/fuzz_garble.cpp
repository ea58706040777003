// A garbled ReLU: labels, tables and rows that the garbler sent.
#include "garble.h"

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input input(data, size);
    pi::GarbleShape shape;
    shape.bits = 2 + static_cast<int>(input.below(63));
    shape.shift = static_cast<int>(input.below(static_cast<size_t>(shape.bits)));
    shape.stride = 32 * (1 + input.below(3));
    shape.tweak = input.below(size_t{1} << 40);
    const size_t first = 32 * input.below(shape.stride / 32), n = 1 + input.below(shape.stride - first);
    const size_t width = input.below(2) ? 4 : 8, k = static_cast<size_t>(shape.bits);
    const auto server = input.buffer<uint8_t>(16 * n * k);
    const auto client = input.buffer<pi::Pair>(k * shape.stride);
    const auto tables = input.buffer<pi::Pair>(2 * (k - 1) * shape.stride);
    const auto rows = input.buffer<uint8_t>(shape.rows() * shape.stride * width);
    const auto out = room<uint64_t>(n);
    garble_evaluate(shape, first, n, server.get(), client.get(), tables.get(), rows.get(), width, out.get());
    return 0;
}

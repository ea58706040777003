// Tables of a comparison: the client selects in words that the server sent, the server fills them from pads.
#include "gmw.h"

#include <cstdlib>

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input input(data, size);
    pi::Leaf leaf;
    leaf.m = 2 + static_cast<int>(input.below(3));
    leaf.bits = 1 + static_cast<int>(input.below(static_cast<size_t>(leaf.m)));
    leaf.equal = input.below(2) == 1;
    leaf.top = input.below(2) == 1;
    const size_t width = input.below(2) ? 4 : 8, n = input.below(130), plane = (n + 7) / 8;
    leaf.low = static_cast<int>(input.below(8 * width - static_cast<size_t>(leaf.bits)));
    const int sign = leaf.low + leaf.bits;
    const auto choice = input.buffer<uint8_t>(n);
    for (size_t i = 0; i < n; i++) choice[i] &= static_cast<uint8_t>((1 << leaf.m) - 1);
    const auto words = input.buffer<uint8_t>(n * leaf_word_bytes(leaf));
    const auto less = room<uint8_t>(plane), equal = room<uint8_t>(plane);
    gmw_select(leaf, words.get(), choice.get(), n, less.get(), leaf.equal ? equal.get() : nullptr);
    for (size_t i = 8 * plane; i-- > n;)
        if (less[i / 8] >> (i % 8) & 1) abort();  // bits after the last element stay zero
    const auto share = input.buffer<uint8_t>(n * width);
    const auto out = room<uint8_t>(n * leaf_word_bytes(leaf));
    gmw_table(leaf, sign, share.get(), width, n, words.get(), out.get());
    return 0;
}

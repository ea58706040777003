// Oblivious transfer: trees from a sender's sums, the code over what came, shifts of pads, bits of what is hashed.
#include "ot.h"

#include <cstdlib>
#include <cstring>

#include "input.h"

using namespace pi;

namespace {

void trees(Input &input) {
    const int depth = 1 + static_cast<int>(input.below(9));
    const size_t count = 1 + input.below(4);
    const auto alphas = input.buffer<uint32_t>(count);
    for (size_t i = 0; i < count; i++) alphas[i] &= (uint32_t{1} << depth) - 1;
    const auto keys = input.buffer<Pair>(count * static_cast<size_t>(depth));
    const auto leaves = room<Pair>(count << depth);
    tree_receiver(alphas.get(), count, depth, keys.get(), leaves.get());
    for (size_t i = 0; i < count << depth; i++)
        if ((leaves[i].lo & 1) != (alphas[i >> depth] == (i & ((size_t{1} << depth) - 1)))) abort();
}

void code(Input &input) {
    const uint32_t k = 2 + static_cast<uint32_t>(input.below(300));
    const size_t n = LPN_ROWS * (1 + input.below(3)), first = LPN_ROWS * input.below(1 << 20);
    const auto base = input.buffer<Pair>(k);
    const auto seed = input.buffer<uint8_t>(16);
    const auto out = input.buffer<Pair>(n);
    lpn_encode(base.get(), k, seed.get(), first, n, out.get());
}

void pads(Input &input) {
    const int width = 1 + static_cast<int>(input.below(2)), m = 1 + static_cast<int>(input.below(static_cast<size_t>(6 - width)));
    const size_t n = 32 * (1 + input.below(3)), planes = static_cast<size_t>(m);
    const auto words = input.buffer<uint32_t>(n);
    const auto shift = input.buffer<uint8_t>(planes * n / 8);
    pads_shift(words.get(), shift.get(), n, m);
    const auto t = input.buffer<Pair>(planes * n);
    const auto choice = input.buffer<uint8_t>(n);
    for (size_t i = 0; i < n; i++) choice[i] &= static_cast<uint8_t>((1 << m) - 1);
    const auto moved = room<uint8_t>(planes * n / 8), bits = room<uint8_t>(static_cast<size_t>(width) * n / 8);
    pads_receiver(t.get(), 7, n, m, width, choice.get(), moved.get(), bits.get());
}

// The same planes, whichever instruction set makes them.
void extension(Input &input) {
    const size_t blocks = 1 + input.below(5), n = 128 * blocks, width = 1 + input.below(128), size = width * n / 8;
    const auto rows = input.buffer<uint8_t>(16 * n);
    const auto out = room<Pair>(n);
    transpose_128(rows.get(), n / 8, n, out.get());
    const auto u = room<uint8_t>(n / 8), w = room<uint8_t>(size), again = room<uint8_t>(size);
    for (const Backend *const *b = available_backends(); *b != nullptr; b++) {
        const auto to = b == available_backends() ? w.get() : again.get();
        select_backend((*b)->name);
        bits_receiver(out.get(), 3, n, static_cast<int>(width), u.get(), to);
        if (std::memcmp(w.get(), to, size) != 0) abort();
    }
    select_backend("auto");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input input(data, size);
    void (*const kinds[])(Input &) = {trees, code, pads, extension};
    kinds[input.below(4)](input);
    return 0;
}

// Ferret (eprint 2020/924): single-point COTs by correlated GGM trees, and the LPN code.
#include <algorithm>

#include "ot.h"
#include "wide.h"

namespace pi {
namespace {

constexpr uint64_t KEEP = ~uint64_t{1};

// Nodes 0 .. count-1 become their 2 * count children, from the last to the first so that it works in place.
void expand_level(Pair *nodes, size_t count) {
    Pair parents[HASH_BATCH], hashed[HASH_BATCH];
    for (size_t end = count; end > 0;) {
        const size_t now = std::min(end, HASH_BATCH), begin = end - now;
        std::copy(nodes + begin, nodes + end, parents);
        tree_hash(parents, hashed, now);
        for (size_t i = 0; i < now; i++) {
            nodes[2 * (begin + i)] = hashed[i];
            nodes[2 * (begin + i) + 1] = hashed[i] ^ parents[i];
        }
        end = begin;
    }
}

Pair sum_of_side(const Pair *nodes, size_t count, size_t side) {
    Pair sum = {0, 0};
    for (size_t i = side; i < count; i += 2) sum ^= nodes[i];
    return sum;
}

void receive_tree(uint32_t alpha, int depth, const Pair *keys, Pair *nodes) {
    nodes[0] = {0, 0};
    size_t path = 0;
    for (int level = 1; level <= depth; level++) {
        const size_t count = size_t{1} << level, taken = (alpha >> (depth - level)) & 1, other = 1 - taken;
        // The children of the unknown node are garbage: replaced below.
        if (level > 1) expand_level(nodes, count / 2);
        nodes[2 * path] = nodes[2 * path + 1] = {0, 0};
        nodes[2 * path + other] = sum_of_side(nodes, count, other) ^ keys[level - 1];
        path = 2 * path + taken;
    }
    // All leaves of the sender sum to Delta, so those of the receiver sum to the missing leaf ^ Delta.
    const size_t count = size_t{1} << depth;
    nodes[path] = sum_of_side(nodes, count, 0) ^ sum_of_side(nodes, count, 1);
    for (size_t i = 0; i < count; i++) nodes[i].lo &= KEEP;
    nodes[path].lo |= 1;
}

constexpr size_t WORDS = LPN_ROWS * LPN_WEIGHT;

PI_INLINE void scale_body(const Backend &, uint32_t *words, uint32_t k) {
    for (size_t i = 0; i < WORDS; i++) words[i] = static_cast<uint32_t>((uint64_t{words[i]} * k) >> 32);
}

// Uniform words become uniform places 0 .. k - 1, each up to a share of k / 2^32.
PI_BOTH(scale, scale_body, (const Backend &be, uint32_t *words, uint32_t k), (be, words, k))

}  // namespace

void tree_sender(const Pair *roots, size_t trees, int depth, Pair delta, Pair *leaves, Pair *sums) {
    for (size_t tree = 0; tree < trees; tree++) {
        Pair *nodes = leaves + (tree << depth), *levels = sums + tree * static_cast<size_t>(depth);
        nodes[0] = roots[tree];
        nodes[1] = roots[tree] ^ delta;
        levels[0] = nodes[0];
        for (int level = 2; level <= depth; level++) {
            expand_level(nodes, size_t{1} << (level - 1));
            levels[level - 1] = sum_of_side(nodes, size_t{1} << level, 0);
        }
        for (size_t i = 0; i < size_t{1} << depth; i++) nodes[i].lo &= KEEP;
    }
}

void tree_receiver(const uint32_t *alphas, size_t trees, int depth, const Pair *keys, Pair *leaves) {
    for (size_t tree = 0; tree < trees; tree++)
        receive_tree(alphas[tree], depth, keys + tree * static_cast<size_t>(depth), leaves + (tree << depth));
}

void lpn_encode(const Pair *base, uint32_t k, const uint8_t *seed16, uint64_t first, size_t n, Pair *out) {
    constexpr size_t BLOCKS = WORDS / 4;
    const Backend &be = backend();
    AesKey key;
    be.expand(seed16, key);
    // The rows of the next pass are drawn ahead and prefetched: base exceeds the second-level cache.
    uint32_t index[2][WORDS];
    const auto draw = [&](uint64_t row, uint32_t *to) {
        be.ctr(key, 0, row / LPN_ROWS * BLOCKS, reinterpret_cast<uint8_t *>(to), BLOCKS);
        scale(be, to, k);
        for (size_t i = 0; i < WORDS; i++) __builtin_prefetch(base + to[i]);
    };
    if (n > 0) draw(first, index[0]);
    for (size_t at = 0; at < n; at += LPN_ROWS) {
        const uint32_t *now = index[at / LPN_ROWS % 2];
        if (at + LPN_ROWS < n) draw(first + at + LPN_ROWS, index[(at / LPN_ROWS + 1) % 2]);
        for (size_t row = 0; row < LPN_ROWS; row++) {
            Pair sum = out[at + row];
            for (size_t i = 0; i < LPN_WEIGHT; i++) sum ^= base[now[row * LPN_WEIGHT + i]];
            out[at + row] = sum;
        }
    }
}

}  // namespace pi

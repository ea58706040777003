// Ferret (eprint 2020/924): single-point COTs by correlated GGM trees, and the LPN code.
#include "ot.h"
#include "ot_vaes.h"
#include "parallel.h"
#include "wide.h"

#include <algorithm>

namespace pi {
namespace {

// What is kept of a low word: all of an inner node's, all but the lowest bit of a leaf's.
constexpr uint64_t INNER = ~uint64_t{0}, LEAF = INNER - 1;

inline uint64_t kept(int level, int depth) { return level == depth ? LEAF : INNER; }

// `garbage`: both children of a node that is zero, which the unknown one is until its place is filled.
void receive_tree(uint32_t alpha, int depth, const Pair *keys, Pair garbage, Pair *nodes) {
    size_t path = 0;
    Sides sums = {};
    nodes[0] = {0, 0};
    for (int level = 1; level <= depth; level++) {
        const size_t taken = (alpha >> (depth - level)) & 1, other = 1 - taken;
        if (level > 1) {
            sums = expand_level(nodes, size_t{1} << (level - 1), kept(level, depth));
            sums.left ^= garbage;
            sums.right ^= garbage;
        }
        const Pair known = (other == 0 ? sums.left : sums.right) ^ keys[level - 1];
        (other == 0 ? sums.left : sums.right) ^= known;
        nodes[2 * path + taken] = {0, 0};
        nodes[2 * path + other] = known;
        path = 2 * path + taken;
    }
    // All leaves of the sender sum to Delta, so those of the receiver sum to the missing leaf ^ Delta.
    nodes[path ^ 1].lo &= LEAF;
    nodes[path] = sums.left ^ sums.right;
    nodes[path].lo |= 1;
}

constexpr size_t WORDS = LPN_ROWS * LPN_WEIGHT;

// What a thread takes at a time: some 60 microseconds of work.
constexpr size_t LEAST_ROWS = 4096, LEAST_LEAVES = 16384;

size_t least_trees(int depth) { return std::max(LEAST_LEAVES >> depth, size_t{1}); }

PI_INLINE void scale_body(const Backend &, uint32_t *words, uint32_t k) {
    for (size_t i = 0; i < WORDS; i++) words[i] = static_cast<uint32_t>((uint64_t{words[i]} * k) >> 32) * LPN_STEP;
}

// Uniform words become uniform places 0 .. k - 1, up to a share of k / 2^32 each, in 64-bit words from the base's start.
PI_BOTH(scale, scale_body, (const Backend &be, uint32_t *words, uint32_t k), (be, words, k))

void send_tree(Pair root, int depth, Pair delta, Pair *nodes, Pair *levels) {
    levels[0] = nodes[0] = root;
    nodes[1] = root ^ delta;
    for (int level = 2; level <= depth; level++)
        levels[level - 1] = expand_level(nodes, size_t{1} << (level - 1), kept(level, depth)).left;
    if (depth == 1) nodes[0].lo &= LEAF, nodes[1].lo &= LEAF;
}

// lpn_encode by one thread.
void encode_rows(const AesKey &key, const uint64_t *from, uint32_t k, uint64_t first, size_t n, Pair *out) {
    constexpr size_t BLOCKS = WORDS / 4;
    const Backend &be = backend();
    uint32_t index[2][WORDS];
    const auto draw = [&](uint64_t row, uint32_t *to) {
        be.ctr(key, 0, row / LPN_ROWS * BLOCKS, reinterpret_cast<uint8_t *>(to), BLOCKS);
        scale(be, to, k);
    };
    draw(first, index[0]);
    for (size_t at = 0; at < n; at += LPN_ROWS) {
        const uint32_t *now = index[at / LPN_ROWS % 2];
        uint32_t *next = index[(at / LPN_ROWS + 1) % 2];
        const uint64_t row = first + at + LPN_ROWS;
#ifdef PI_X86
        if (be.wide) {
            lpn_pass_vaes(key, row / LPN_ROWS * BLOCKS, k, from, now, next, out + at);
            continue;
        }
#endif
        for (size_t i = 0; i < LPN_ROWS; i++) lpn_add(from, now + i * LPN_WEIGHT, out + at + i);
        if (at + LPN_ROWS < n) draw(row, next);
    }
}

}  // namespace

void tree_sender(const Pair *roots, size_t trees, int depth, Pair delta, Pair *leaves, Pair *sums) {
    parallel_for(trees, least_trees(depth), [&](size_t begin, size_t end) {
        for (size_t tree = begin; tree < end; tree++)
            send_tree(roots[tree], depth, delta, leaves + (tree << depth), sums + tree * static_cast<size_t>(depth));
    });
}

void tree_receiver(const uint32_t *alphas, size_t trees, int depth, const Pair *keys, Pair *leaves) {
    Pair children[2] = {};
    expand_level(children, 1, INNER);
    parallel_for(trees, least_trees(depth), [&](size_t begin, size_t end) {
        for (size_t tree = begin; tree < end; tree++)
            receive_tree(alphas[tree], depth, keys + tree * static_cast<size_t>(depth), children[0],
                         leaves + (tree << depth));
    });
}

void lpn_encode(const Pair *base, uint32_t k, const uint8_t *seed16, uint64_t first, size_t n, Pair *out) {
    AesKey key;
    backend().expand(seed16, key);
    const uint64_t *from = reinterpret_cast<const uint64_t *>(base);
    parallel_for(n, LEAST_ROWS, [&](size_t begin, size_t end) {
        encode_rows(key, from, k, first + begin, end - begin, out + begin);
    });
}

}  // namespace pi

// The leaves of a comparison: tables of (less, equal) bits of one chunk of both inputs under 1-of-2^m pads.
//
// Leaves go from the most significant chunk down. A table is 2^m bits "choice < chunk" below 2^m bits "choice ==
// chunk", one word an element; the least significant leaf has no second half. All of one leaf's words lie together.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pi {

constexpr int MAX_LEAVES = 16;

struct Leaf {
    int low;     // lowest bit of the chunk
    int bits;    // bits of the chunk that belong to the input
    int m;       // the table has 2^m entries
    bool equal;  // has the second half
    bool top;    // the sign of the input is added to the first half
};

inline size_t leaf_word_bytes(const Leaf &leaf) {
    const size_t bits = (size_t{1} << leaf.m) << (leaf.equal ? 1 : 0);
    return bits <= 8 ? 1 : bits / 8;
}

// out = table of share's chunk ^ pads for n elements of `width` bytes (4 or 8). `sign` is the bit that is added,
// inverted, to the top leaf.
void gmw_table(const Leaf &leaf, int sign, const uint8_t *share, size_t width, size_t n, const uint8_t *pads,
               uint8_t *out);
// Bit `choice` of both halves of every word, as planes of (n + 7) / 8 bytes; equal may be null.
void gmw_select(const Leaf &leaf, const uint8_t *words, const uint8_t *choice, size_t n, uint8_t *less,
                uint8_t *equal);

}  // namespace pi

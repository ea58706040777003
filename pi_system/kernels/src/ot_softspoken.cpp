// SoftSpokenOT, semi-honest: streams of 256 leaves folded into 8 columns, and the transpose to rows.
#include <cstring>
#include <vector>

#include "ot.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace pi {
namespace {

constexpr size_t LEAVES = 256, FIELD_BITS = 8;
constexpr size_t TILE = 8;  // stream blocks a pass: 256 * 8 * 16 bytes = 32 KB, the first-level cache

inline void add(Pair *to, const Pair *from, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] ^= from[i];
}

// Streams indexed by y = x ^ shift are folded from the top bit: half the streams remain after each bit.
void fold_tile(Pair *streams, size_t now, uint8_t *rows, size_t row_stride, uint8_t *sum) {
    for (size_t b = FIELD_BITS; b-- > 0;) {
        const size_t half = size_t{1} << b;
        Pair column[TILE] = {};
        for (size_t y = 0; y < half; y++) {
            add(column, streams + (half + y) * TILE, now);
            add(streams + y * TILE, streams + (half + y) * TILE, now);
        }
        std::memcpy(rows + b * row_stride, column, now * sizeof(Pair));
    }
    std::memcpy(sum, streams, now * sizeof(Pair));
}

#if !defined(__SSE2__)
// Hacker's Delight, 7-3: the transpose of an 8x8 bit matrix held row by row in a word.
inline uint64_t transpose_8x8(uint64_t x) {
    uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAull;
    x ^= t ^ (t << 7);
    t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCull;
    x ^= t ^ (t << 14);
    t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0ull;
    return x ^ t ^ (t << 28);
}
#endif

}  // namespace

void fold_leaves(const Pair *leaves, uint32_t shift, bool skip, uint64_t counter, size_t blocks, uint8_t *rows,
                 size_t row_stride, uint8_t *sum) {
    const Backend &be = backend();
    std::vector<AesKey> keys(LEAVES);
    for (size_t y = 0; y < LEAVES; y++) be.expand(reinterpret_cast<const uint8_t *>(leaves + (y ^ shift)), keys[y]);
    std::vector<Pair> streams(LEAVES * TILE);
    for (size_t at = 0; at < blocks; at += TILE) {
        const size_t now = blocks - at < TILE ? blocks - at : TILE;
        for (size_t y = 0; y < LEAVES; y++)
            be.ctr(keys[y], 0, counter + at, reinterpret_cast<uint8_t *>(streams.data() + y * TILE), now);
        if (skip) std::memset(streams.data(), 0, TILE * sizeof(Pair));
        fold_tile(streams.data(), now, rows + at * sizeof(Pair), row_stride, sum + at * sizeof(Pair));
    }
}

void transpose_128(const uint8_t *rows, size_t row_stride, size_t n, Pair *out) {
    uint8_t *to = reinterpret_cast<uint8_t *>(out);
    for (size_t column = 0; column < n / 8; column++) {
        for (size_t r = 0; r < 128; r += 8) {
#if defined(__SSE2__)
            if (r % 16 != 0) continue;
            alignas(16) uint8_t bytes[16];
            for (size_t i = 0; i < 16; i++) bytes[i] = rows[(r + i) * row_stride + column];
            __m128i x = _mm_load_si128(reinterpret_cast<const __m128i *>(bytes));
            for (size_t bit = 8; bit-- > 0;) {
                const uint16_t mask = static_cast<uint16_t>(_mm_movemask_epi8(x));
                std::memcpy(to + (8 * column + bit) * 16 + r / 8, &mask, 2);
                x = _mm_add_epi8(x, x);
            }
#else
            uint64_t x = 0;
            for (size_t i = 0; i < 8; i++) x |= static_cast<uint64_t>(rows[(r + i) * row_stride + column]) << (8 * i);
            x = transpose_8x8(x);
            for (size_t bit = 0; bit < 8; bit++)
                to[(8 * column + bit) * 16 + r / 8] = static_cast<uint8_t>(x >> (8 * bit));
#endif
        }
    }
}

}  // namespace pi

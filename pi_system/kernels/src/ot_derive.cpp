// What the ReLU protocols hash out of correlated OTs: bit products and 1-of-2^m pads.
#include <algorithm>
#include <cstring>

#include "ot.h"
#include "ot_vaes.h"
#include "parallel.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace pi {
namespace {

constexpr size_t GROUP = 32;         // elements a pass; the bits of a pass fill one 32-bit word of a plane
constexpr size_t TILE = 16 * GROUP;  // the bits of a tile fill a cache line of it
constexpr size_t LEAST = 8 * TILE;   // elements that a thread takes at a time

// zero: of q, one: of q ^ Delta, hashed under equal tweaks.
void hash_both(const Pair *q, Pair delta, uint64_t tweak, Pair *zero, Pair *one) {
    cr_hash(q, zero, GROUP, tweak);
    cr_hash(q, one, GROUP, tweak, delta);
}

inline uint32_t gather(const Pair *x, int bit) {
    uint32_t word = 0;
    for (size_t i = 0; i < GROUP; i++) word |= static_cast<uint32_t>((x[i].lo >> bit) & 1) << i;
    return word;
}

// Bits 8 * byte .. 8 * byte + 7 of every block, a word each.
inline void gather_byte(const Pair *x, int byte, uint32_t *words) {
    alignas(16) uint8_t column[GROUP];
    const uint8_t *from = reinterpret_cast<const uint8_t *>(x) + byte;
    for (size_t i = 0; i < GROUP; i++) column[i] = from[i * sizeof(Pair)];
#if defined(__SSE2__)
    __m128i low = _mm_load_si128(reinterpret_cast<const __m128i *>(column));
    __m128i high = _mm_load_si128(reinterpret_cast<const __m128i *>(column + 16));
    for (int bit = 8; bit-- > 0;) {
        words[bit] = static_cast<uint32_t>(_mm_movemask_epi8(low)) |
                     static_cast<uint32_t>(_mm_movemask_epi8(high)) << 16;
        low = _mm_add_epi8(low, low);
        high = _mm_add_epi8(high, high);
    }
#else
    for (int bit = 0; bit < 8; bit++) {
        words[bit] = 0;
        for (size_t i = 0; i < GROUP; i++) words[bit] |= static_cast<uint32_t>((column[i] >> bit) & 1) << i;
    }
#endif
}

// The first `width` bits of every block, a word each; words has room for 128.
inline void gather_bits(const Pair *x, int width, uint32_t *words) {
#ifdef PI_X86
    if (backend().wide) return gather_bits_vaes(x, width, words);
#endif
    if (width <= 2) {
        for (int bit = 0; bit < width; bit++) words[bit] = gather(x, bit);
        return;
    }
    for (int byte = 0; 8 * byte < width; byte++) gather_byte(x, byte, words + 8 * byte);
}

inline void put(uint8_t *plane, size_t at, uint32_t word) { std::memcpy(plane + at / 8, &word, sizeof word); }

inline uint32_t get(const uint8_t *plane, size_t at) {
    uint32_t word;
    std::memcpy(&word, plane + at / 8, sizeof word);
    return word;
}

// Bits i of a 32-bit word whose index has bit j clear, for j = 0 .. 4.
constexpr uint32_t CLEAR[5] = {0x55555555u, 0x33333333u, 0x0f0f0f0fu, 0x00ff00ffu, 0x0000ffffu};

// The bits of 2^m strings of `width` bits.
inline uint32_t pad_mask(int m, int width) {
    const int used = width << m;
    return used == 32 ? ~uint32_t{0} : (uint32_t{1} << used) - 1;
}

// bits_sender of elements begin .. end.
void bits_sender_part(const Pair *q, Pair delta, uint64_t tweak, size_t n, int width, uint8_t *beta, uint8_t *v, size_t
                      begin, size_t end) {
    const size_t planes = static_cast<size_t>(width);
    uint32_t zeros[128][TILE / GROUP], both[128][TILE / GROUP];
    for (size_t at = begin; at < end; at += TILE) {
        const size_t now = std::min(end - at, TILE);
        for (size_t i = 0; i < now / GROUP; i++) {
            Pair zero[GROUP], one[GROUP];
            hash_both(q + at + i * GROUP, delta, tweak + at + i * GROUP, zero, one);
            uint32_t low[128], high[128];
            gather_bits(zero, width, low);
            gather_bits(one, width, high);
            for (size_t w = 0; w < planes; w++) zeros[w][i] = low[w], both[w][i] = low[w] ^ high[w];
        }
        for (size_t w = 0; w < planes; w++) {
            std::memcpy(v + (w * n + at) / 8, zeros[w], now / 8);
            std::memcpy(beta + (w * n + at) / 8, both[w], now / 8);
        }
    }
}

// bits_receiver of elements begin .. end.
void bits_receiver_part(const Pair *t, uint64_t tweak, size_t n, int width, uint8_t *u, uint8_t *w, size_t begin,
                        size_t end) {
    const size_t planes = static_cast<size_t>(width);
    uint32_t found[128][TILE / GROUP];
    for (size_t at = begin; at < end; at += TILE) {
        const size_t now = std::min(end - at, TILE);
        for (size_t i = 0; i < now / GROUP; i++) {
            Pair hashed[GROUP];
            uint32_t words[128];
            const Pair *from = t + at + i * GROUP;
            gather_bits(from, 1, words);
            put(u, at + i * GROUP, words[0]);
            cr_hash(from, hashed, GROUP, tweak + at + i * GROUP);
            gather_bits(hashed, width, words);
            for (size_t plane = 0; plane < planes; plane++) found[plane][i] = words[plane];
        }
        for (size_t plane = 0; plane < planes; plane++) std::memcpy(w + (plane * n + at) / 8, found[plane], now / 8);
    }
}

// pads_sender of elements begin .. end.
void pads_sender_part(const Pair *q, Pair delta, uint64_t tweak, size_t n, int m, int width, uint32_t *pads, size_t
                      begin, size_t end) {
    const uint32_t used = pad_mask(m, width);
    for (size_t at = begin; at < end; at += GROUP) {
        uint32_t sum[GROUP] = {};
        for (int j = 0; j < m; j++) {
            Pair zero[GROUP], one[GROUP];
            const size_t from = static_cast<size_t>(j) * n + at;
            hash_both(q + from, delta, tweak + from, zero, one);
            for (size_t i = 0; i < GROUP; i++)
                sum[i] ^= (static_cast<uint32_t>(zero[i].lo) & CLEAR[j]) |
                          (static_cast<uint32_t>(one[i].lo) & ~CLEAR[j]);
        }
        for (size_t i = 0; i < GROUP; i++) pads[at + i] = sum[i] & used;
    }
}

// pads_receiver of elements begin .. end.
void pads_receiver_part(const Pair *t, uint64_t tweak, size_t n, int m, int width, const uint8_t *choice, uint8_t
                        *shift, uint8_t *bits, size_t begin, size_t end) {
    for (size_t at = begin; at < end; at += GROUP) {
        uint32_t sum[GROUP] = {}, random[GROUP] = {};
        for (int j = 0; j < m; j++) {
            Pair hashed[GROUP];
            const size_t from = static_cast<size_t>(j) * n + at;
            cr_hash(t + from, hashed, GROUP, tweak + from);
            uint32_t word = 0;
            for (size_t i = 0; i < GROUP; i++) {
                const uint32_t bit = static_cast<uint32_t>(t[from + i].lo & 1);
                sum[i] ^= static_cast<uint32_t>(hashed[i].lo);
                random[i] |= bit << j;
                word |= (bit ^ ((static_cast<uint32_t>(choice[at + i]) >> j) & 1)) << i;
            }
            put(shift + static_cast<size_t>(j) * n / 8, at, word);
        }
        for (size_t plane = 0; plane < static_cast<size_t>(width); plane++) {
            uint32_t word = 0;
            for (size_t i = 0; i < GROUP; i++) word |= ((sum[i] >> (random[i] + (plane << m))) & 1) << i;
            put(bits + plane * n / 8, at, word);
        }
    }
}

}  // namespace

void bits_sender(const Pair *q, Pair delta, uint64_t tweak, size_t n, int width, uint8_t *beta, uint8_t *v) {
    parallel_for(n, LEAST, [=](size_t begin, size_t end) {
        bits_sender_part(q, delta, tweak, n, width, beta, v, begin, end);
    });
}

void bits_receiver(const Pair *t, uint64_t tweak, size_t n, int width, uint8_t *u, uint8_t *w) {
    parallel_for(n, LEAST, [=](size_t begin, size_t end) {
        bits_receiver_part(t, tweak, n, width, u, w, begin, end);
    });
}

void pads_sender(const Pair *q, Pair delta, uint64_t tweak, size_t n, int m, int width, uint32_t *pads) {
    parallel_for(n, LEAST, [=](size_t begin, size_t end) {
        pads_sender_part(q, delta, tweak, n, m, width, pads, begin, end);
    });
}

void pads_receiver(const Pair *t, uint64_t tweak, size_t n, int m, int width, const uint8_t *choice,
                   uint8_t *shift, uint8_t *bits) {
    parallel_for(n, LEAST, [=](size_t begin, size_t end) {
        pads_receiver_part(t, tweak, n, m, width, choice, shift, bits, begin, end);
    });
}

void pads_shift(uint32_t *pads, const uint8_t *shift, size_t n, int m) {
    for (size_t at = 0; at < n; at += GROUP) {
        for (int j = 0; j < m; j++) {
            const uint32_t word = get(shift + static_cast<size_t>(j) * n / 8, at), step = 1u << j;
            for (size_t i = 0; i < GROUP; i++) {
                const uint32_t x = pads[at + i], swap = 0 - ((word >> i) & 1);
                const uint32_t swapped = ((x & CLEAR[j]) << step) | ((x >> step) & CLEAR[j]);
                pads[at + i] = x ^ ((x ^ swapped) & swap);
            }
        }
    }
}

}  // namespace pi

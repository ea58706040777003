// A register holds four blocks; a pass takes 32 of them, eight registers.
#include "ot_vaes.h"

#ifdef PI_X86
#include <immintrin.h>

#include <algorithm>

#include "vaes.h"

namespace pi {
namespace {

constexpr size_t PASS = 32, R = PASS / 4;

// sigma of 2019/074, see ot_hash.cpp: (lo, hi) to (hi, hi ^ lo).
PI_TARGET_VAES inline __m512i sigma_wide(__m512i x) {
    const __m512i swapped = _mm512_shuffle_epi32(x, _MM_PERM_BADC);
    return _mm512_mask_xor_epi64(swapped, 0xaa, swapped, x);
}

PI_TARGET_VAES inline __m512i load(const Pair *from, size_t left, size_t i) {
    if (left >= PASS) return _mm512_loadu_si512(from + 4 * i);
    return _mm512_maskz_loadu_epi64(lanes_left(left, i), from + 4 * i);
}

PI_TARGET_VAES inline void store(Pair *to, size_t left, size_t i, __m512i x) {
    if (left >= PASS)
        _mm512_storeu_si512(to + 4 * i, x);
    else
        _mm512_mask_storeu_epi64(to + 4 * i, lanes_left(left, i), x);
}

// The sum of the four blocks.
PI_TARGET_VAES inline Pair sum_of(__m512i x) {
    const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    const __m128i one = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    Pair sum;
    _mm_storeu_si128(reinterpret_cast<__m128i *>(&sum), one);
    return sum;
}

// Where byte h of block 4 i + j is after the interleaving: lane j, byte 8 h + i.
struct Order {
    alignas(64) uint8_t of[64] = {};
    constexpr Order() {
        for (int at = 0; at < 64; at++) of[at] = static_cast<uint8_t>(16 * (at % 4) + 8 * (at / 32) + at % 32 / 4);
    }
};
constexpr Order ORDER;

// The lowest bits of every block.
PI_TARGET_VAES void gather_low(const Pair *x, int width, uint32_t *words) {
    const __m512i lows = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
    for (int bit = 0; bit < width; bit++) words[bit] = 0;
#pragma GCC unroll 4
    for (size_t i = 0; i < PASS; i += 8) {
        const __m512i low = _mm512_permutex2var_epi64(_mm512_loadu_si512(x + i), lows, _mm512_loadu_si512(x + i + 4));
        for (int bit = 0; bit < width; bit++)
            words[bit] |= static_cast<uint32_t>(_mm512_test_epi64_mask(low, _mm512_set1_epi64(1 << bit))) << i;
    }
}

}  // namespace

PI_TARGET_VAES void cr_hash_vaes(const AesKey &key, const Pair *in, Pair offset, Pair *out, size_t n,
                                 uint64_t tweak) {
    const __m512i step = _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0);
    const __m512i added = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i *>(&offset)));
    for (size_t at = 0; at < n; at += PASS) {
        __m512i s[R];
#pragma GCC unroll 8
        for (size_t i = 0; i < R; i++) {
            const __m512i first = _mm512_set1_epi64(static_cast<int64_t>(tweak + at + 4 * i));
            const __m512i x = _mm512_xor_si512(load(in + at, n - at, i), added);
            s[i] = _mm512_xor_si512(sigma_wide(x), _mm512_maskz_add_epi64(0x55, first, step));
        }
        vaes_rounds<R, true>(key, s);
#pragma GCC unroll 8
        for (size_t i = 0; i < R; i++) store(out + at, n - at, i, s[i]);
    }
}

PI_TARGET_VAES Sides expand_level_vaes(const AesKey &key, Pair *nodes, size_t count, uint64_t keep) {
    const int64_t low = static_cast<int64_t>(keep);
    const __m512i kept = _mm512_set_epi64(-1, low, -1, low, -1, low, -1, low);
    // Children of the first two and of the last two parents of a register, side by side.
    const __m512i front = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i back = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    __m512i left = _mm512_setzero_si512(), right = left;
    for (size_t end = count; end > 0;) {
        const size_t now = std::min(end, PASS), begin = end - now;
        __m512i parent[R], child[R];
#pragma GCC unroll 8
        for (size_t i = 0; i < R; i++) {
            parent[i] = load(nodes + begin, now, i);
            child[i] = sigma_wide(parent[i]);
        }
        vaes_rounds<R, true>(key, child);
#pragma GCC unroll 8
        for (size_t i = 0; i < R; i++) {
            if (now < PASS) child[i] = _mm512_maskz_mov_epi64(lanes_left(now, i), child[i]);
            __m512i other = _mm512_xor_si512(child[i], parent[i]);
            left = _mm512_xor_si512(left, child[i]);
            right = _mm512_xor_si512(right, other);
            child[i] = _mm512_and_si512(child[i], kept);
            other = _mm512_and_si512(other, kept);
            Pair *to = nodes + 2 * begin + 8 * i;
            const size_t blocks = now == PASS ? PASS : 2 * (now > 4 * i ? now - 4 * i : 0);
            store(to, blocks, 0, _mm512_permutex2var_epi64(child[i], front, other));
            store(to, blocks, 1, _mm512_permutex2var_epi64(child[i], back, other));
        }
        end = begin;
    }
    return {sum_of(left), sum_of(right)};
}

PI_TARGET_VAES void lpn_pass_vaes(const AesKey &key, uint64_t counter, uint32_t k, const uint64_t *base,
                                  const uint32_t *now, uint32_t *next, Pair *out) {
    constexpr size_t N = LPN_ROWS * LPN_WEIGHT / 16, ROUND_ROWS = 3;  // of LPN_ROWS nine rounds take 27
    const __m128i *rk = reinterpret_cast<const __m128i *>(key.rk);
    const __m512i swap =
        _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i step = _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0);
    size_t row = 0;
    __m512i s[N], round = _mm512_broadcast_i32x4(rk[0]);
#pragma GCC unroll 20
    for (size_t i = 0; i < N; i++) {
        const __m512i first = _mm512_set1_epi64(static_cast<int64_t>(counter + 4 * i));
        s[i] = _mm512_xor_si512(_mm512_shuffle_epi8(_mm512_maskz_add_epi64(0x55, first, step), swap), round);
    }
#pragma GCC unroll 9
    for (int r = 1; r < 10; r++) {
        round = _mm512_broadcast_i32x4(rk[r]);
#pragma GCC unroll 20
        for (size_t i = 0; i < N; i++) s[i] = _mm512_aesenc_epi128(s[i], round);
#pragma GCC unroll 3
        for (size_t j = 0; j < ROUND_ROWS; j++, row++) lpn_add(base, now + row * LPN_WEIGHT, out + row);
    }
    round = _mm512_broadcast_i32x4(rk[10]);
    // Words become places, as scale in ot_ferret.cpp has it: (word * k >> 32) * LPN_STEP.
    const __m512i most = _mm512_set1_epi64(k), low = _mm512_set1_epi64(0xfffffffe), high = _mm512_slli_epi64(low, 32);
#pragma GCC unroll 20
    for (size_t i = 0; i < N; i++) {
        const __m512i words = _mm512_aesenclast_epi128(s[i], round);
        const __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(words, most), 31);
        const __m512i odd = _mm512_slli_epi64(_mm512_mul_epu32(_mm512_srli_epi64(words, 32), most), 1);
        _mm512_storeu_si512(next + 16 * i, _mm512_or_si512(_mm512_and_si512(even, low), _mm512_and_si512(odd, high)));
    }
    for (; row < LPN_ROWS; row++) lpn_add(base, now + row * LPN_WEIGHT, out + row);
}

PI_TARGET_VAES void gather_bits_vaes(const Pair *x, int width, uint32_t *words) {
    if (width <= 2) return gather_low(x, width, words);
    // A transpose of bytes: interleaved three times, a register has in each lane two bytes of every eighth block.
    __m512i z[R], half[R], columns[R];
#pragma GCC unroll 8
    for (size_t i = 0; i < R; i++) z[i] = _mm512_loadu_si512(x + 4 * i);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        half[i] = _mm512_unpacklo_epi8(z[i], z[i + 4]);
        half[4 + i] = _mm512_unpackhi_epi8(z[i], z[i + 4]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {  // z: bytes 0 to 3 of even and odd registers, 4 to 7, 8 to 11, 12 to 15
        const size_t from = i / 2 * 4 + i % 2;
        z[i / 2 * 4 + i % 2] = _mm512_unpacklo_epi8(half[from], half[from + 2]);
        z[i / 2 * 4 + 2 + i % 2] = _mm512_unpackhi_epi8(half[from], half[from + 2]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        columns[2 * i] = _mm512_unpacklo_epi8(z[2 * i], z[2 * i + 1]);
        columns[2 * i + 1] = _mm512_unpackhi_epi8(z[2 * i], z[2 * i + 1]);
    }
    const __m512i blocks = _mm512_load_si512(ORDER.of);
    for (int pair = 0; 16 * pair < width; pair++, words += 16) {
        __m512i bytes = _mm512_permutexvar_epi8(blocks, columns[pair]);
#pragma GCC unroll 8
        for (int bit = 8; bit-- > 0;) {
            const uint64_t both = _mm512_movepi8_mask(bytes);
            words[bit] = static_cast<uint32_t>(both);
            words[8 + bit] = static_cast<uint32_t>(both >> 32);
            bytes = _mm512_add_epi8(bytes, bytes);
        }
    }
}

}  // namespace pi
#endif

// The comparison key with 512-bit VAES: 8 registers of 4 instances; a path bit of an instance is in both of
// its 64-bit lanes, so that shifting a node by the direction brings the control bit of the chosen child to
// bit 0.
#include "dcf_bit_vaes.h"

#ifdef PI_X86
#include <immintrin.h>

#include "dcf_bit.h"
#include "vaes.h"

// The constant of VPTERNLOG for f(a, b, c), written as a function of these three.
#define PI_A 0xf0
#define PI_B 0xcc
#define PI_C 0xaa

namespace pi {
namespace {

constexpr int R = 8;  // registers

// How many bytes ahead of the evaluation the key is fetched: it is read once, so it comes from main memory,
// and the hardware's own prefetch stops at each page. Nearer is too late, farther leaves the first-level
// cache.
constexpr size_t AHEAD = 4096;

PI_TARGET_VAES inline __m512i constant(uint64_t lo, uint64_t hi) {
    return _mm512_set_epi64(hi, lo, hi, lo, hi, lo, hi, lo);
}

// x of 4 instances, each in both lanes of its block.
PI_TARGET_VAES inline __m512i spread(const uint64_t *x) {
    const __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(x)));
    return _mm512_permutexvar_epi64(_mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0), v);
}

// Bit 0 of the low lane of each block, moved down from bit `dir`, as a mask over both lanes.
PI_TARGET_VAES inline __m512i control_mask(__m512i node, __m512i dir) {
    const __m512i low = _mm512_unpacklo_epi64(node, node);
    const __m512i up = _mm512_xor_si512(dir, _mm512_set1_epi64(63));  // 63 - dir
    return _mm512_srai_epi64(_mm512_sllv_epi64(low, up), 63);
}

PI_TARGET_VAES inline __m512i seed_mask() { return constant(~FLAGS, ~uint64_t{0}); }

}  // namespace

PI_TARGET_VAES uint32_t bit_eval_vaes(const AesKey &key, const Block *root, int party, const uint8_t *words,
                                      int bits, const uint64_t *x) {
    const __m512i two = _mm512_set1_epi64(2), seed = seed_mask();
    __m512i node[R], out[R], control[R], path[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
        node[i] = out[i] = _mm512_load_si512(root + 4 * i);
        control[i] = _mm512_set1_epi64(-party);
        path[i] = spread(x + 4 * i);
    }
    const int levels = bit_levels(bits);
    for (int level = 0; level < levels; level++, words += 16 * LANES) {
        const __m128i down = _mm_cvtsi32_si128(bits - 2 - level);
        __m512i dir[R];
#pragma GCC unroll 8
        for (int i = 0; i < R; i++) {
            dir[i] = _mm512_and_si512(_mm512_srl_epi64(path[i], down), two);
            node[i] = _mm512_ternarylogic_epi64(node[i], seed, dir[i], (PI_A & PI_B) ^ PI_C);
        }
        vaes_rounds<R, true>(key, node);
#pragma GCC unroll 8
        for (int i = 0; i < R; i++) {
            const __m512i word = _mm512_loadu_si512(words + 64 * i);
            _mm_prefetch(reinterpret_cast<const char *>(words + AHEAD + 64 * i), _MM_HINT_T0);
            node[i] = _mm512_ternarylogic_epi64(node[i], control[i], word, PI_A ^ (PI_B & PI_C));
            out[i] = _mm512_xor_si512(out[i], node[i]);
            control[i] = control_mask(node[i], _mm512_and_si512(_mm512_srl_epi64(path[i], down), two));
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
        const __m512i dir = _mm512_and_si512(_mm512_srli_epi64(path[i], LEAF_BITS - 2), two);
        node[i] = _mm512_ternarylogic_epi64(node[i], seed, dir, (PI_A & PI_B) ^ PI_C);
    }
    vaes_rounds<R, true>(key, node);
    uint32_t result = 0;
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
        const __mmask8 high = _mm512_test_epi64_mask(path[i], _mm512_set1_epi64(1 << (LEAF_BITS - 1)));
        __m512i word = _mm512_loadu_si512(words + 64 * i);
        _mm_prefetch(reinterpret_cast<const char *>(words + AHEAD + 64 * i), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char *>(words + AHEAD + 16 * LANES + 64 * i), _MM_HINT_T0);
        word = _mm512_mask_loadu_epi64(word, high, words + 16 * LANES + 64 * i);
        const __m512i leaf = _mm512_ternarylogic_epi64(node[i], control[i], word, PI_A ^ (PI_B & PI_C));
        // Bring byte (x / 8) % 16 of the leaf to the front, then its bit x % 8 to bit 0.
        const __m512i byte = _mm512_and_si512(_mm512_srli_epi64(path[i], 3), _mm512_set1_epi64(15));
        __m512i bit = _mm512_shuffle_epi8(leaf, byte);
        bit = _mm512_srlv_epi64(bit, _mm512_and_si512(path[i], _mm512_set1_epi64(7)));
        bit = _mm512_xor_si512(bit, _mm512_srli_epi64(out[i], 1));
        const uint32_t both = _mm512_test_epi64_mask(bit, constant(1, 0));
        result |= _pext_u32(both, 0x55) << (4 * i);
    }
    return result;
}

namespace {

// The leaf table of N registers' worth of instances: it must turn the difference of the parties' tables into
// [j < alpha] plus the running output.
template <int N>
PI_TARGET_VAES inline void deal_leaf(const __m512i *child, const __m512i *path, const __m512i *value,
                                     uint8_t *words) {
    const __m512i one = _mm512_set1_epi64(1), zero = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
        const __m512i both = _mm512_unpacklo_epi64(value[i], value[i]);
        const __m512i flip = _mm512_srai_epi64(_mm512_slli_epi64(both, 62), 63);  // OUTPUT_BIT as a mask
        const __m512i low = _mm512_and_si512(path[i], _mm512_set1_epi64((1 << LEAF_BITS) - 1));
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            __m512i count = _mm512_sub_epi64(low, constant(128 * h, 128 * h + 64));
            count = _mm512_min_epi64(_mm512_max_epi64(count, zero), _mm512_set1_epi64(64));
            const __m512i table = _mm512_sub_epi64(_mm512_sllv_epi64(one, count), one);
            __m512i word = _mm512_xor_si512(child[2 * h * N + i], child[(2 * h + 1) * N + i]);
            word = _mm512_xor_si512(word, _mm512_xor_si512(flip, table));
            _mm512_storeu_si512(words + 16 * LANES * h + 64 * i, word);
        }
    }
}

// Deals N registers' worth of instances (4 N); `words` is already moved to the first of them.
template <int N>
PI_TARGET_VAES inline void deal_part(const AesKey &key, const Block *root0, const Block *root1,
                                     const uint64_t *alpha, int bits, uint8_t *words) {
    const __m512i two = _mm512_set1_epi64(2), seed = seed_mask();
    const int levels = bit_levels(bits);
    __m512i node[2][N], control[N], value[N], path[N];
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
        node[0][i] = _mm512_load_si512(root0 + 4 * i);
        node[1][i] = _mm512_load_si512(root1 + 4 * i);
        control[i] = value[i] = _mm512_setzero_si512();
        path[i] = spread(alpha + 4 * i);
    }
    for (int level = 0;; level++, words += 16 * LANES) {
        __m512i child[4 * N];  // [direction][party][register]
#pragma GCC unroll 4
        for (int i = 0; i < N; i++)
#pragma GCC unroll 2
            for (int b = 0; b < 2; b++) {
                child[b * N + i] = _mm512_and_si512(node[b][i], seed);
                child[(2 + b) * N + i] = _mm512_xor_si512(child[b * N + i], two);
            }
        vaes_rounds<4 * N, true>(key, child);
        if (level == levels) return deal_leaf<N>(child, path, value, words);
        const __m128i down = _mm_cvtsi32_si128(bits - 2 - level);
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) {
            const __m512i dir = _mm512_and_si512(_mm512_srl_epi64(path[i], down), two);
            const __mmask8 keep = _mm512_test_epi64_mask(dir, two);
            const __m512i left = _mm512_xor_si512(child[i], child[N + i]);
            const __m512i right = _mm512_xor_si512(child[2 * N + i], child[3 * N + i]);
            __m512i word = _mm512_mask_blend_epi64(keep, right, left);  // the lost side
            // Flags: control bits of left (0) and right (2) from their own sides, 1 the output.
            word = _mm512_ternarylogic_epi64(word, left, constant(1, 0), (PI_A & ~PI_C) | (PI_B & PI_C));
            word = _mm512_ternarylogic_epi64(word, right, constant(4, 0), (PI_A & ~PI_C) | (PI_B & PI_C));
            const __m512i fix = _mm512_mask_blend_epi64(keep, constant(1, 0), constant(4 | OUTPUT_BIT, 0));
            word = _mm512_xor_si512(word, fix);
            word = _mm512_ternarylogic_epi64(word, value[i], constant(OUTPUT_BIT, 0), PI_A ^ (PI_B & PI_C));
            _mm512_storeu_si512(words + 64 * i, word);
            const __m512i kept0 = _mm512_mask_blend_epi64(keep, child[i], child[2 * N + i]);
            const __m512i kept1 = _mm512_mask_blend_epi64(keep, child[N + i], child[3 * N + i]);
            node[0][i] = _mm512_ternarylogic_epi64(kept0, control[i], word, PI_A ^ (PI_B & PI_C));
            node[1][i] = _mm512_ternarylogic_epi64(kept1, control[i], word, PI_A ^ (~PI_B & PI_C));
            value[i] = _mm512_ternarylogic_epi64(value[i], node[0][i], node[1][i], PI_A ^ PI_B ^ PI_C);
            control[i] = control_mask(node[0][i], dir);
        }
    }
}

}  // namespace

PI_TARGET_VAES void bit_deal_vaes(const AesKey &key, const Block *root0, const Block *root1,
                                  const uint64_t *alpha, int bits, uint8_t *words) {
    for (size_t i = 0; i < LANES; i += 8)
        deal_part<2>(key, root0 + i, root1 + i, alpha + i, bits, words + 16 * i);
}

}  // namespace pi
#endif

// AES-128 with AES-NI (8 blocks in flight) and with VAES on 512-bit registers (32 blocks in flight).
#include "aes.h"

#ifdef PI_X86
#include <immintrin.h>

#include "dcf_bit.h"
#include "dcf_bit_vaes.h"
#include "pack.h"
#include "vaes.h"

namespace pi {
namespace {

// One round of the key schedule. AESENCLAST on four equal columns is SubBytes alone (ShiftRows moves
// nothing), which is faster than AESKEYGENASSIST.
PI_TARGET_AESNI inline __m128i next_round_key(__m128i k, int rcon) {
    const __m128i rotated = _mm_shuffle_epi8(k, _mm_set1_epi32(0x0c0f0e0d));
    const __m128i sub = _mm_aesenclast_si128(rotated, _mm_set1_epi32(rcon));
    k = _mm_xor_si128(k, _mm_slli_si128(k, 4));
    k = _mm_xor_si128(k, _mm_slli_si128(k, 8));
    return _mm_xor_si128(k, sub);
}

PI_TARGET_AESNI void expand(const uint8_t *key16, AesKey &out) {
    static const int rcon[10] = {1, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36};
    __m128i k = _mm_loadu_si128(reinterpret_cast<const __m128i *>(key16));
    __m128i *rk = reinterpret_cast<__m128i *>(out.rk);
    _mm_store_si128(rk, k);
    for (int r = 0; r < 10; r++) {
        k = next_round_key(k, rcon[r]);
        _mm_store_si128(rk + r + 1, k);
    }
}

PI_TARGET_AESNI void aesni_eight(const AesKey &key, const uint8_t *in, uint8_t *out, size_t blocks) {
    const __m128i *rk = reinterpret_cast<const __m128i *>(key.rk);
    __m128i s[8];
    for (size_t i = 0; i < 8; i++)
        s[i] = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i *>(in) + (i < blocks ? i : 0)),
                             rk[0]);
    for (int r = 1; r < 10; r++) {
        const __m128i k = rk[r];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) s[i] = _mm_aesenc_si128(s[i], k);
    }
    for (size_t i = 0; i < 8; i++) {
        s[i] = _mm_aesenclast_si128(s[i], rk[10]);
        if (i < blocks) _mm_storeu_si128(reinterpret_cast<__m128i *>(out) + i, s[i]);
    }
}

void aesni_ecb(const AesKey &key, const uint8_t *in, uint8_t *out, size_t blocks) {
    for (size_t done = 0; done < blocks; done += 8)
        aesni_eight(key, in + 16 * done, out + 16 * done, blocks - done < 8 ? blocks - done : 8);
}

PI_TARGET_AESNI void aesni_ctr(const AesKey &key, uint64_t hi, uint64_t lo, uint8_t *out, size_t blocks) {
    const __m128i swap = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    alignas(16) uint8_t buf[128];
    for (size_t done = 0; done < blocks; done += 8) {
        for (size_t i = 0; i < 8; i++) {
            const uint64_t low = lo + done + i, high = hi + (low < lo);
            const __m128i block = _mm_set_epi64x(static_cast<int64_t>(high), static_cast<int64_t>(low));
            _mm_store_si128(reinterpret_cast<__m128i *>(buf) + i, _mm_shuffle_epi8(block, swap));
        }
        aesni_eight(key, buf, out + 16 * done, blocks - done < 8 ? blocks - done : 8);
    }
}

uint32_t aesni_bit_eval(const AesKey &key, const Block *root, int party, const uint8_t *words, int bits,
                        const uint64_t *x) {
    return bit_eval_generic(aesni_backend, key, root, party, words, bits, x);
}

void aesni_bit_deal(const AesKey &key, const Block *root0, const Block *root1, const uint64_t *alpha,
                    int bits, uint8_t *words) {
    bit_deal_generic(aesni_backend, key, root0, root1, alpha, bits, words);
}

PI_TARGET_VAES void vaes_ecb(const AesKey &key, const uint8_t *in, uint8_t *out, size_t blocks) {
    for (size_t done = 0; done < blocks; done += 32) {
        __m512i s[8];
        const uint8_t *from = in + 16 * done;
        uint8_t *to = out + 16 * done;
        const size_t left = blocks - done;
#pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++)
            s[i] = left >= 32 ? _mm512_loadu_si512(from + 64 * i)
                              : _mm512_maskz_loadu_epi64(lanes_left(left, i), from + 64 * i);
        vaes_rounds<8>(key, s);
#pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++) {
            if (left >= 32)
                _mm512_storeu_si512(to + 64 * i, s[i]);
            else
                _mm512_mask_storeu_epi64(to + 64 * i, lanes_left(left, i), s[i]);
        }
    }
}

template <int N>
PI_TARGET_VAES inline void vaes_ctr_pass(const AesKey &key, uint64_t hi, uint64_t lo, uint8_t *out,
                                         size_t blocks) {
    const __m512i swap =
        _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i base = _mm512_set_epi64(hi, lo, hi, lo, hi, lo, hi, lo);
    __m512i s[N];
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) {
        const __m512i step = _mm512_set_epi64(0, 4 * i + 3, 0, 4 * i + 2, 0, 4 * i + 1, 0, 4 * i);
        s[i] = _mm512_shuffle_epi8(_mm512_add_epi64(base, step), swap);
    }
    vaes_rounds<N>(key, s);
#pragma GCC unroll 8
    for (size_t i = 0; i < static_cast<size_t>(N); i++) {
        if (blocks >= 4 * N)
            _mm512_storeu_si512(out + 64 * i, s[i]);
        else
            _mm512_mask_storeu_epi64(out + 64 * i, lanes_left(blocks, i), s[i]);
    }
}

PI_TARGET_VAES void vaes_ctr(const AesKey &key, uint64_t hi, uint64_t lo, uint8_t *out, size_t blocks) {
    if (lo + blocks + 32 < lo) return aesni_ctr(key, hi, lo, out, blocks);  // a carry into the high half
    size_t done = 0;
    for (; done + 32 <= blocks; done += 32) vaes_ctr_pass<8>(key, hi, lo + done, out + 16 * done, 32);
    for (; done < blocks; done += 8) {
        const size_t left = blocks - done < 8 ? blocks - done : 8;
        vaes_ctr_pass<2>(key, hi, lo + done, out + 16 * done, left);
    }
}

}  // namespace

const Backend aesni_backend = {"aesni",        expand,         aesni_ecb,        aesni_ctr, aesni_bit_eval,
                               aesni_bit_deal, pack32_generic, unpack32_generic, false};
const Backend vaes_backend = {"vaes",        expand,      vaes_ecb,      vaes_ctr, bit_eval_vaes,
                              bit_deal_vaes, pack32_vbmi, unpack32_vbmi, true};

}  // namespace pi
#endif

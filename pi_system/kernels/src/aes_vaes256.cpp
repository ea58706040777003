// AES-128 with VAES on 256-bit registers, 16 blocks in flight: machines with VAES and without AVX-512.
#include "aes.h"

#ifdef PI_X86
#include <immintrin.h>

#include "dcf_bit.h"
#include "pack.h"

#define PI_TARGET_VAES256 __attribute__((target("aes,avx2,vaes")))

namespace pi {
namespace {

constexpr size_t R = 8, PASS = 2 * R;  // registers and blocks of a pass

PI_TARGET_VAES256 inline void rounds(const AesKey &key, __m256i *s) {
    const __m128i *rk = reinterpret_cast<const __m128i *>(key.rk);
    __m256i k = _mm256_broadcastsi128_si256(rk[0]);
#pragma GCC unroll 8
    for (size_t i = 0; i < R; i++) s[i] = _mm256_xor_si256(s[i], k);
#pragma GCC unroll 9
    for (int r = 1; r < 10; r++) {
        k = _mm256_broadcastsi128_si256(rk[r]);
#pragma GCC unroll 8
        for (size_t i = 0; i < R; i++) s[i] = _mm256_aesenc_epi128(s[i], k);
    }
    k = _mm256_broadcastsi128_si256(rk[10]);
#pragma GCC unroll 8
    for (size_t i = 0; i < R; i++) s[i] = _mm256_aesenclast_epi128(s[i], k);
}

void expand(const uint8_t *key16, AesKey &out) { aesni_backend.expand(key16, out); }

PI_TARGET_VAES256 void ecb(const AesKey &key, const uint8_t *in, uint8_t *out, size_t blocks) {
    size_t done = 0;
    for (; done + PASS <= blocks; done += PASS) {
        __m256i s[R];
#pragma GCC unroll 8
        for (size_t i = 0; i < R; i++)
            s[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(in + 16 * done) + i);
        rounds(key, s);
#pragma GCC unroll 8
        for (size_t i = 0; i < R; i++) _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + 16 * done) + i, s[i]);
    }
    aesni_backend.ecb(key, in + 16 * done, out + 16 * done, blocks - done);
}

PI_TARGET_VAES256 void ctr(const AesKey &key, uint64_t hi, uint64_t lo, uint8_t *out, size_t blocks) {
    if (lo + blocks < lo) return aesni_backend.ctr(key, hi, lo, out, blocks);  // a carry into the high half
    const __m256i swap =
        _mm256_broadcastsi128_si256(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const int64_t high = static_cast<int64_t>(hi);
    size_t done = 0;
    for (; done + PASS <= blocks; done += PASS) {
        const int64_t low = static_cast<int64_t>(lo + done);
        const __m256i first = _mm256_set_epi64x(high, low, high, low);
        __m256i s[R];
#pragma GCC unroll 8
        for (int i = 0; i < static_cast<int>(R); i++)
            s[i] = _mm256_shuffle_epi8(_mm256_add_epi64(first, _mm256_set_epi64x(0, 2 * i + 1, 0, 2 * i)), swap);
        rounds(key, s);
#pragma GCC unroll 8
        for (size_t i = 0; i < R; i++) _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + 16 * done) + i, s[i]);
    }
    aesni_backend.ctr(key, hi, lo + done, out + 16 * done, blocks - done);
}

uint32_t bit_eval(const AesKey &key, const Block *root, int party, const uint8_t *words, int bits, const uint64_t *x) {
    return bit_eval_generic(vaes256_backend, key, root, party, words, bits, x);
}

void bit_deal(const AesKey &key, const Block *root0, const Block *root1, const uint64_t *alpha, int bits,
              uint8_t *words) {
    bit_deal_generic(vaes256_backend, key, root0, root1, alpha, bits, words);
}

}  // namespace

const Backend vaes256_backend = {"vaes256", expand,         ecb,              ctr,  bit_eval,
                                 bit_deal,  pack32_generic, unpack32_generic, false};

}  // namespace pi
#endif

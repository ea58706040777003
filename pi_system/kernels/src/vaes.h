// What the kernels on 512-bit registers share.
#pragma once

#include "aes.h"

#ifdef PI_X86
#include <immintrin.h>

namespace pi {

// s[i] = AES(s[i]), with FEED AES(s[i]) ^ s[i], for 4 N blocks; N = 8 hides the latency of VAESENC.
template <int N, bool FEED = false>
PI_TARGET_VAES inline void vaes_rounds(const AesKey &key, __m512i *s) {
    const __m128i *rk = reinterpret_cast<const __m128i *>(key.rk);
    __m512i w[N];
    __m512i k = _mm512_broadcast_i32x4(rk[0]);
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) w[i] = _mm512_xor_si512(s[i], k);
#pragma GCC unroll 9
    for (int r = 1; r < 10; r++) {
        k = _mm512_broadcast_i32x4(rk[r]);
#pragma GCC unroll 8
        for (int i = 0; i < N; i++) w[i] = _mm512_aesenc_epi128(w[i], k);
    }
    k = _mm512_broadcast_i32x4(rk[10]);
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) s[i] = _mm512_aesenclast_epi128(w[i], FEED ? _mm512_xor_si512(k, s[i]) : k);
}

// A mask of the 64-bit lanes that lie in the first `blocks` blocks of register i.
inline uint8_t lanes_left(size_t blocks, size_t i) {
    const size_t left = blocks > 4 * i ? blocks - 4 * i : 0;
    return left >= 4 ? 0xff : static_cast<uint8_t>((1u << (2 * left)) - 1);
}

}  // namespace pi
#endif

// Bit packing, plain and with the byte permutes of AVX-512 VBMI.
#include "pack.h"

#include <cstring>

#ifdef PI_X86
#include <immintrin.h>
#endif

namespace pi {

void pack32_generic(const uint64_t *values, int bits, uint8_t *out) {
    const uint64_t mask = low_mask(bits);
    unsigned __int128 acc = 0;
    int fill = 0;
    for (size_t i = 0; i < LANES; i++) {
        acc |= static_cast<unsigned __int128>(values[i] & mask) << fill;
        for (fill += bits; fill >= 32; fill -= 32, acc >>= 32, out += 4) {
            const uint32_t word = static_cast<uint32_t>(acc);
            std::memcpy(out, &word, 4);
        }
    }
}

void unpack32_generic(const uint8_t *in, int bits, uint64_t *values) {
    const uint64_t mask = low_mask(bits);
    unsigned __int128 acc = 0;
    int fill = 0;
    for (size_t i = 0; i < LANES; i++) {
        for (; fill < bits; fill += 32, in += 4) {
            uint32_t word;
            std::memcpy(&word, in, 4);
            acc |= static_cast<unsigned __int128>(word) << fill;
        }
        values[i] = static_cast<uint64_t>(acc) & mask;
        acc >>= bits;
        fill -= bits;
    }
}

#ifdef PI_X86
namespace {

// How 8 values of `bits` bits lie in 8 * bits bits = `bits` bytes, for 8 <= bits <= 63.
//
// A value lies `shift` bits above the first of its bytes. Shifted, one of more than 57 bits may reach a ninth byte,
// which overflows the lane and moves by a permute of its own.
struct Permutes {
    alignas(64) uint8_t gather[64];      // byte of the packed string for each byte of each value
    alignas(64) uint8_t ninth[64];       // in each value's lowest byte, its ninth byte of the packed string
    alignas(64) uint8_t scatter[2][64];  // byte of the even (odd) values for each byte of the packed string
    alignas(64) uint8_t overflow[64];    // byte of the values' overflows for each byte of the packed string
    alignas(64) uint64_t shift[8];
    uint64_t scatter_mask[2], overflow_mask;
};

Permutes make_permutes(int bits) {
    Permutes p = {};
    for (int i = 0; i < 8; i++) {
        const int first = i * bits / 8, last = (i * bits + bits - 1) / 8;
        p.shift[i] = static_cast<uint64_t>(i * bits % 8);
        for (int j = 0; j < 8; j++) p.gather[8 * i + j] = static_cast<uint8_t>((first + j) & 63);
        for (int j = first; j <= last && j < first + 8; j++) {
            p.scatter[i % 2][j] = static_cast<uint8_t>(8 * i + j - first);
            p.scatter_mask[i % 2] |= uint64_t{1} << j;
        }
        p.ninth[8 * i] = static_cast<uint8_t>((first + 8) & 63);
        if (last == first + 8) {
            p.overflow[last] = static_cast<uint8_t>(8 * i);
            p.overflow_mask |= uint64_t{1} << last;
        }
    }
    return p;
}

struct AllPermutes {
    Permutes of[64];
    AllPermutes() {
        for (int bits = 8; bits < 64; bits++) of[bits] = make_permutes(bits);
    }
};

const Permutes &permutes(int bits) {
    static const AllPermutes all;
    return all.of[bits];
}

}  // namespace

PI_TARGET_VAES void pack32_vbmi(const uint64_t *values, int bits, uint8_t *out) {
    if (bits == 64) {
        std::memcpy(out, values, 8 * LANES);
        return;
    }
    if (bits < 8) return pack32_generic(values, bits, out);
    const Permutes &p = permutes(bits);
    const __m512i shift = _mm512_load_si512(p.shift),
                  mask = _mm512_set1_epi64(static_cast<int64_t>(low_mask(bits)));
    const __m512i even = _mm512_load_si512(p.scatter[0]), odd = _mm512_load_si512(p.scatter[1]);
    const __m512i overflow = _mm512_load_si512(p.overflow), back = _mm512_sub_epi64(_mm512_set1_epi64(64), shift);
    const __mmask64 bytes = low_mask(bits);
    for (size_t g = 0; g < 4; g++) {
        const __m512i value = _mm512_and_si512(_mm512_loadu_si512(values + 8 * g), mask);
        const __m512i low = _mm512_sllv_epi64(value, shift);
        __m512i v = _mm512_or_si512(_mm512_maskz_permutexvar_epi8(p.scatter_mask[0], even, low),
                                    _mm512_maskz_permutexvar_epi8(p.scatter_mask[1], odd, low));
        if (p.overflow_mask != 0) {
            const __m512i high = _mm512_srlv_epi64(value, back);  // 0 where the shift is 0
            v = _mm512_or_si512(v, _mm512_maskz_permutexvar_epi8(p.overflow_mask, overflow, high));
        }
        _mm512_mask_storeu_epi8(out + static_cast<size_t>(bits) * g, bytes, v);
    }
}

PI_TARGET_VAES void unpack32_vbmi(const uint8_t *in, int bits, uint64_t *values) {
    if (bits == 64) {
        std::memcpy(values, in, 8 * LANES);
        return;
    }
    if (bits < 8) return unpack32_generic(in, bits, values);
    const Permutes &p = permutes(bits);
    const __m512i shift = _mm512_load_si512(p.shift),
                  mask = _mm512_set1_epi64(static_cast<int64_t>(low_mask(bits)));
    const __m512i gather = _mm512_load_si512(p.gather), ninth = _mm512_load_si512(p.ninth);
    const __m512i back = _mm512_sub_epi64(_mm512_set1_epi64(64), shift);
    const __mmask64 bytes = low_mask(bits), lowest = 0x0101010101010101;
    for (size_t g = 0; g < 4; g++) {
        const __m512i packed = _mm512_maskz_loadu_epi8(bytes, in + static_cast<size_t>(bits) * g);
        __m512i v = _mm512_srlv_epi64(_mm512_permutexvar_epi8(gather, packed), shift);
        if (p.overflow_mask != 0) {
            const __m512i high = _mm512_maskz_permutexvar_epi8(lowest, ninth, packed);
            v = _mm512_or_si512(v, _mm512_sllv_epi64(high, back));
        }
        _mm512_storeu_si512(values + 8 * g, _mm512_and_si512(v, mask));
    }
}
#endif

}  // namespace pi

// Multiplication by weights of at most 16 bits, without AMX.
//
// Z_2^32 (path vnni): x = lo + 2^16 hi with lo a signed 16-bit number, so W x = W lo + 2^16 (W hi); both are
// sums of 16 x 16 bit products, two rows at a time (vpdpwssd), exact mod 2^32.
// Z_2^64 (path ifma): x = x0 + 2^36 x1; with v = w + 2^15 >= 0 the products v x0 and v x1 are below 2^52, so that
// vpmadd52luq adds them exactly; W x = sum v x - 2^15 sum x, and sum x is taken once a panel.
#include "conv.h"

#if defined(__x86_64__)
// GCC 12 reports its own _mm512_undefined_epi32 as uninitialized.
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#define TARGET_VNNI __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512vnni,prefer-vector-width=512")))
#define TARGET_IFMA __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,prefer-vector-width=512")))

namespace ringconv {
namespace {

constexpr int kPixels = 16, kVnniChannels = 8;
constexpr int kPanelAhead = 8;  // rows of the panel to ask for ahead: it fits the second-level cache, not the first

// w: [row][8] pairs of int16; lo, hi: [row][16] pairs.
TARGET_VNNI void tile_vnni(const int32_t *w, const uint8_t *lo, const uint8_t *hi, int rows, uint32_t *dst) {
    constexpr int MR = kVnniChannels;
    __m512i low[MR], high[MR];
    for (int m = 0; m < MR; m++) low[m] = high[m] = _mm512_setzero_si512();
    for (int r = 0; r < rows; r++, w += MR, lo += 64, hi += 64) {
        const __m512i x0 = _mm512_load_si512(lo), x1 = _mm512_load_si512(hi);
        __builtin_prefetch(w + kPrefetchBytes / 4);
        __builtin_prefetch(lo + kPanelAhead * 64);
        __builtin_prefetch(hi + kPanelAhead * 64);
#pragma GCC unroll 16
        for (int m = 0; m < MR; m++) {
            const __m512i v = _mm512_set1_epi32(w[m]);
            low[m] = _mm512_dpwssd_epi32(low[m], x0, v);
            high[m] = _mm512_dpwssd_epi32(high[m], x1, v);
        }
    }
    for (int m = 0; m < MR; m++)
        _mm512_store_si512(dst + m * kPixels, _mm512_add_epi32(low[m], _mm512_slli_epi32(high[m], 16)));
}

TARGET_VNNI void split_halves(const uint32_t *a, const uint32_t *b, size_t count, uint32_t *lo, uint32_t *hi) {
    for (size_t i = 0; i < count; i++) {
        lo[i] = (a[i] & 0xffff) | b[i] << 16;
        // Rounding up what the signed low half takes away.
        hi[i] = (a[i] + 0x8000) >> 16 | ((b[i] + 0x8000) & 0xffff0000);
    }
}

class VnniEngine final : public Engine<uint32_t> {
  public:
    VnniEngine(const Geometry &g, const uint32_t *w) : Engine(g, Layout{4, 2, 2, 1, kVnniChannels, kPixels}) {
        weights_ = Buffer(size_t(g.groups) * tiles_ * rows_ * kVnniChannels * 4);
        int16_t *packed = reinterpret_cast<int16_t *>(weights_.data());
        each_weight(g, w, [&](int group, int mt, int m, int row, int place, uint32_t value) {
            packed[(((size_t(group) * tiles_ + mt) * rows_ + row) * kVnniChannels + m) * 2 + place] = int16_t(value);
        });
    }
    void split(const uint32_t *const *channels, size_t count, uint8_t *const *limbs) const override {
        split_halves(channels[0], channels[1], count, reinterpret_cast<uint32_t *>(limbs[0]),
                     reinterpret_cast<uint32_t *>(limbs[1]));
    }
    void tile(int group, int mt, const uint8_t *panel, uint32_t *dst) const override {
        const int32_t *w = reinterpret_cast<const int32_t *>(weights_.data());
        w += (size_t(group) * tiles_ + mt) * rows_ * kVnniChannels;
        const uint8_t *hi = panel + size_t(rows_) * 64;
        tile_vnni(w, panel, hi, rows_, dst);
    }
};

constexpr int kIfmaChannels = 6, kIfmaShift = 36;

// w: [row][6] of w + 2^15, as whole words: widening 16-bit ones takes a multiplier's issue slot each (18 % slower);
// x0, x1: [row][16] words; sum: 16 words, the rows' sum of x.
TARGET_IFMA void tile_ifma(const uint64_t *w, const uint64_t *x0, const uint64_t *x1, const uint64_t *sum, int rows,
                           uint64_t *dst) {
    constexpr int MR = kIfmaChannels;
    __m512i acc[MR][4];
    for (int m = 0; m < MR; m++)
        for (int j = 0; j < 4; j++) acc[m][j] = _mm512_setzero_si512();
    for (int r = 0; r < rows; r++, w += MR, x0 += kPixels, x1 += kPixels) {
        const __m512i a = _mm512_load_si512(x0), b = _mm512_load_si512(x0 + 8);
        const __m512i c = _mm512_load_si512(x1), d = _mm512_load_si512(x1 + 8);
        __builtin_prefetch(w + kPrefetchBytes / 8);
        for (int i = 0; i < kPixels; i += 8) {
            __builtin_prefetch(x0 + kPanelAhead * kPixels + i);
            __builtin_prefetch(x1 + kPanelAhead * kPixels + i);
        }
#pragma GCC unroll 6
        for (int m = 0; m < MR; m++) {
            const __m512i v = _mm512_set1_epi64((long long)w[m]);
            acc[m][0] = _mm512_madd52lo_epu64(acc[m][0], a, v);
            acc[m][1] = _mm512_madd52lo_epu64(acc[m][1], b, v);
            acc[m][2] = _mm512_madd52lo_epu64(acc[m][2], c, v);
            acc[m][3] = _mm512_madd52lo_epu64(acc[m][3], d, v);
        }
    }
    for (int m = 0; m < MR; m++)
        for (int j = 0; j < 2; j++) {
            const __m512i y = _mm512_add_epi64(acc[m][j], _mm512_slli_epi64(acc[m][2 + j], kIfmaShift));
            const __m512i offset = _mm512_slli_epi64(_mm512_load_si512(sum + 8 * j), 15);
            _mm512_store_si512(dst + m * kPixels + 8 * j, _mm512_sub_epi64(y, offset));
        }
}

TARGET_IFMA void sum_rows(const uint64_t *x0, const uint64_t *x1, int rows, uint64_t *sum) {
    for (int i = 0; i < kPixels; i += 8) {
        __m512i low = _mm512_setzero_si512(), high = low;
        for (int r = 0; r < rows; r++) {
            low = _mm512_add_epi64(low, _mm512_load_si512(x0 + r * kPixels + i));
            high = _mm512_add_epi64(high, _mm512_load_si512(x1 + r * kPixels + i));
        }
        _mm512_store_si512(sum + i, _mm512_add_epi64(low, _mm512_slli_epi64(high, kIfmaShift)));
    }
}

class IfmaEngine final : public Engine<uint64_t> {
  public:
    IfmaEngine(const Geometry &g, const uint64_t *w) : Engine(g, Layout{8, 1, 2, 1, kIfmaChannels, kPixels}) {
        weights_ = Buffer(size_t(g.groups) * tiles_ * rows_ * kIfmaChannels * 8);
        uint64_t *packed = reinterpret_cast<uint64_t *>(weights_.data());
        each_weight(g, w, [&](int group, int mt, int m, int row, int, uint64_t value) {
            packed[((size_t(group) * tiles_ + mt) * rows_ + row) * kIfmaChannels + m] = uint16_t(value + 0x8000);
        });
    }
    size_t panel_extra_bytes() const override { return kPixels * 8; }
    void finish_panel(uint8_t *panel) const override {
        uint64_t *x = reinterpret_cast<uint64_t *>(panel);
        const size_t limb = size_t(rows_) * kPixels;
        sum_rows(x, x + limb, rows_, x + 2 * limb);
    }
    void split(const uint64_t *const *channels, size_t count, uint8_t *const *limbs) const override {
        uint64_t *x0 = reinterpret_cast<uint64_t *>(limbs[0]), *x1 = reinterpret_cast<uint64_t *>(limbs[1]);
        for (size_t i = 0; i < count; i++) {
            x0[i] = channels[0][i] & ((uint64_t(1) << kIfmaShift) - 1);
            x1[i] = channels[0][i] >> kIfmaShift;
        }
    }
    void tile(int group, int mt, const uint8_t *panel, uint64_t *dst) const override {
        const uint64_t *w = reinterpret_cast<const uint64_t *>(weights_.data());
        w += (size_t(group) * tiles_ + mt) * rows_ * kIfmaChannels;
        const uint64_t *x = reinterpret_cast<const uint64_t *>(panel);
        const size_t limb = size_t(rows_) * kPixels;
        tile_ifma(w, x, x + limb, x + 2 * limb, rows_, dst);
    }
};

}  // namespace

EnginePtr<uint32_t> make_vnni(const Geometry &g, const uint32_t *w) { return std::make_unique<VnniEngine>(g, w); }
EnginePtr<uint64_t> make_ifma(const Geometry &g, const uint64_t *w) { return std::make_unique<IfmaEngine>(g, w); }

}  // namespace ringconv
#endif

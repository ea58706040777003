// Multiplication with AMX 8-bit tiles: a ring element is cut into bytes, and of the byte products only those that do
// not vanish mod 2^l are computed.
//
// Product byte s = i + j collects weight byte i times input byte j, so a 16 x 16 tile of outputs has one 32-bit
// accumulator tile per s: four of them for Z_2^32, eight (in two passes of four) for Z_2^64. Tile products needed per
// 16 x 64 x 16 step: weights of 8 / 16 / l bits take 4 / 7 / 10 in Z_2^32 and 8 / 15 / 36 in Z_2^64.
// The accumulators wrap mod 2^32, which is harmless for s >= 4 and in Z_2^32. For s < 4 in Z_2^64 they must hold the
// exact sum: at most 4 products of 255^2, so 16384 rows keep it below 2^32 (unsigned weights); with a signed top byte
// of a 16-bit weight it stays below 2^31. Longer sums are cut into such stretches.
// Instructions: Intel SDM vol. 2, TDPBUUD, TDPBSUD, TILELOADD.
#include "conv.h"

#if defined(__x86_64__)
#include <algorithm>
#include <cstring>
#include <immintrin.h>

#define TARGET_AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")))
// Accumulators are tiles 0 to 3; the others hold operands. Tile numbers are part of the opcode, hence macros.
#define LOAD(t, p) asm volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(p), "r"(64L) : "memory")
#define STORE(t, p) asm volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(p), "r"(64L) : "memory")
#define ZERO_ACCUMULATORS() \
    asm volatile("tilezero %tmm0\n\ttilezero %tmm1\n\ttilezero %tmm2\n\ttilezero %tmm3")
#define UU(acc, w, x) asm volatile("tdpbuud %tmm" #x ", %tmm" #w ", %tmm" #acc)
#define SU(acc, w, x) asm volatile("tdpbsud %tmm" #x ", %tmm" #w ", %tmm" #acc)

namespace ringconv {
namespace {

constexpr int kTileBytes = 1024, kTileRows = 16;
constexpr int kStretch = 16384 / 64;  // tiles whose sum stays exact

// One step along the rows: pointers to the tiles of weight byte i and input byte j.
struct Step {
    const uint8_t *w, *x;
    size_t limb;  // distance between input bytes
    const uint8_t *wt(int i) const { return w + i * kTileBytes; }
    const uint8_t *xt(int j) const { return x + j * limb; }
};

// acc[s] += w0 x[s] with s = 0..3 relative to `j0`: signed 8-bit weights.
inline __attribute__((always_inline)) void step_int8(const Step &t, int j0) {
    LOAD(6, t.wt(0));
    LOAD(4, t.xt(j0));
    SU(0, 6, 4);
    LOAD(5, t.xt(j0 + 1));
    SU(1, 6, 5);
    LOAD(4, t.xt(j0 + 2));
    SU(2, 6, 4);
    LOAD(5, t.xt(j0 + 3));
    SU(3, 6, 5);
}

// Same with a second, signed byte of the weight: acc[s] += w0 x[s] + w1 x[s - 1].
inline __attribute__((always_inline)) void step_int16(const Step &t, int j0) {
    LOAD(6, t.wt(0));
    LOAD(7, t.wt(1));
    if (j0 > 0) {
        LOAD(5, t.xt(j0 - 1));
        SU(0, 7, 5);
    }
    LOAD(4, t.xt(j0));
    UU(0, 6, 4);
    SU(1, 7, 4);
    LOAD(5, t.xt(j0 + 1));
    UU(1, 6, 5);
    SU(2, 7, 5);
    LOAD(4, t.xt(j0 + 2));
    UU(2, 6, 4);
    SU(3, 7, 4);
    LOAD(5, t.xt(j0 + 3));
    UU(3, 6, 5);
}

// Products with i + j = 0..3 of unsigned bytes.
inline __attribute__((always_inline)) void step_low(const Step &t) {
    LOAD(4, t.xt(0));
    LOAD(5, t.wt(3));
    UU(3, 5, 4);
    LOAD(5, t.wt(0));
    UU(0, 5, 4);
    LOAD(6, t.wt(1));
    UU(1, 6, 4);
    LOAD(7, t.wt(2));
    UU(2, 7, 4);
    LOAD(4, t.xt(1));
    UU(1, 5, 4);
    UU(2, 6, 4);
    UU(3, 7, 4);
    LOAD(4, t.xt(2));
    UU(2, 5, 4);
    UU(3, 6, 4);
    LOAD(4, t.xt(3));
    UU(3, 5, 4);
}

// Products with i + j = 4..7 of unsigned bytes: a window of three weight bytes slides down as j grows.
inline __attribute__((always_inline)) void step_high(const Step &t) {
#define SLIDE(j, top, mid, low)  \
    LOAD(4, t.xt(j));            \
    UU(3, top, 4);               \
    LOAD(top, t.wt(4 - j));      \
    UU(2, mid, 4);               \
    UU(1, low, 4);               \
    UU(0, top, 4);
    LOAD(5, t.wt(7));
    LOAD(6, t.wt(6));
    LOAD(7, t.wt(5));
    SLIDE(0, 5, 6, 7)
    SLIDE(1, 6, 7, 5)
    SLIDE(2, 7, 5, 6)
    SLIDE(3, 5, 6, 7)
    SLIDE(4, 6, 7, 5)  // leaves weight bytes 2, 1, 0 in tiles 7, 5, 6
#undef SLIDE
    LOAD(4, t.xt(5));
    UU(3, 7, 4);
    UU(2, 5, 4);
    UU(1, 6, 4);
    LOAD(4, t.xt(6));
    UU(3, 5, 4);
    UU(2, 6, 4);
    LOAD(4, t.xt(7));
    UU(3, 6, 4);
}

struct TileConfig {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// sums[s][256]: 32-bit accumulators of one pass. The low pass knows the exact sums, signed or not.
TARGET_AVX512 void add_low(const uint32_t *sums, bool, uint32_t *dst) {
    for (int i = 0; i < 256; i++)
        dst[i] += sums[i] + (sums[256 + i] << 8) + (sums[512 + i] << 16) + (sums[768 + i] << 24);
}

TARGET_AVX512 void add_low(const uint32_t *sums, bool is_signed, uint64_t *dst) {
    const int32_t *s = reinterpret_cast<const int32_t *>(sums);
    if (is_signed)
        for (int i = 0; i < 256; i++)
            dst[i] += uint64_t(int64_t(s[i])) + (uint64_t(int64_t(s[256 + i])) << 8) +
                      (uint64_t(int64_t(s[512 + i])) << 16) + (uint64_t(int64_t(s[768 + i])) << 24);
    else
        for (int i = 0; i < 256; i++)
            dst[i] += uint64_t(sums[i]) + (uint64_t(sums[256 + i]) << 8) + (uint64_t(sums[512 + i]) << 16) +
                      (uint64_t(sums[768 + i]) << 24);
}

TARGET_AVX512 void add_high(const uint32_t *sums, uint64_t *dst) {
    for (int i = 0; i < 256; i++)
        dst[i] += uint64_t(sums[i] + (sums[256 + i] << 8) + (sums[512 + i] << 16) + (sums[768 + i] << 24)) << 32;
}

template <class T> TARGET_AVX512 void split_bytes(const T *const *c, size_t count, uint8_t *const *limbs) {
    for (int j = 0; j < int(sizeof(T)); j++) {
        uint32_t *dst = reinterpret_cast<uint32_t *>(limbs[j]);
        const T *c0 = c[0], *c1 = c[1], *c2 = c[2], *c3 = c[3];
        for (size_t i = 0; i < count; i++)
            dst[i] = uint32_t((c0[i] >> (8 * j)) & 255) | uint32_t((c1[i] >> (8 * j)) & 255) << 8 |
                     uint32_t((c2[i] >> (8 * j)) & 255) << 16 | uint32_t((c3[i] >> (8 * j)) & 255) << 24;
    }
}

template <class T> class AmxEngine final : public Engine<T> {
  public:
    static constexpr int limbs = sizeof(T);

    AmxEngine(const Geometry &g, const T *w, WeightRange range)
        : Engine<T>(g, Layout{4, 4, limbs, kTileRows, 16, 16}),
          bytes_(range == WeightRange::Int8 ? 1 : range == WeightRange::Int16 ? 2 : limbs),
          steps_(this->rows_ / kTileRows), small_(range != WeightRange::Full) {
        this->weights_ = Buffer(size_t(g.groups) * this->tiles_ * steps_ * bytes_ * kTileBytes);
        uint8_t *packed = this->weights_.data();
        this->each_weight(g, w, [&](int group, int mt, int m, int row, int place, T value) {
            const size_t step = (size_t(group) * this->tiles_ + mt) * steps_ + row / kTileRows;
            uint8_t *at = packed + step * bytes_ * kTileBytes + m * 64 + row % kTileRows * 4 + place;
            for (int i = 0; i < bytes_; i++) at[i * kTileBytes] = uint8_t(value >> (8 * i));
        });
    }
    void enter() const override {
        static const TileConfig config;
        asm volatile("ldtilecfg %0" ::"m"(config));
    }
    void leave() const override { asm volatile("tilerelease"); }
    void split(const T *const *channels, size_t count, uint8_t *const *limb) const override {
        split_bytes<T>(channels, count, limb);
    }
    void tile(int group, int mt, const uint8_t *panel, T *dst) const override {
        const size_t first = (size_t(group) * this->tiles_ + mt) * steps_;
        const uint8_t *w = this->weights_.data() + first * bytes_ * kTileBytes;
        std::memset(dst, 0, 256 * sizeof(T));
        for (int k = 0; k < steps_; k += kStretch) {
            const int end = std::min(steps_, k + kStretch);
            alignas(64) uint32_t sums[4 * 256];
            pass(w, panel, k, end, 0, sums);
            add_low(sums, small_, dst);
            if constexpr (limbs == 8) {
                pass(w, panel, k, end, 4, sums);
                add_high(sums, dst);
            }
        }
    }

  private:
    void pass(const uint8_t *w, const uint8_t *panel, int k, int end, int j0, uint32_t *sums) const {
        ZERO_ACCUMULATORS();
        const size_t limb = size_t(steps_) * kTileBytes;
        auto at = [&](int i) {
            const uint8_t *step = w + size_t(i) * bytes_ * kTileBytes;
            for (int b = 0; b < bytes_ * kTileBytes; b += 64) __builtin_prefetch(step + kPrefetchBytes + b);
            return Step{step, panel + size_t(i) * kTileBytes, limb};
        };
        if (small_ && bytes_ == 1)
            for (int i = k; i < end; i++) step_int8(at(i), j0);
        else if (small_)
            for (int i = k; i < end; i++) step_int16(at(i), j0);
        else if (j0 == 0)
            for (int i = k; i < end; i++) step_low(at(i));
        else
            for (int i = k; i < end; i++) step_high(at(i));
        STORE(0, sums);
        STORE(1, sums + 256);
        STORE(2, sums + 512);
        STORE(3, sums + 768);
    }
    int bytes_, steps_;
    bool small_;
};

}  // namespace

template <class T> EnginePtr<T> make_amx(const Geometry &g, const T *w, WeightRange range) {
    return std::make_unique<AmxEngine<T>>(g, w, range);
}
template EnginePtr<uint32_t> make_amx(const Geometry &, const uint32_t *, WeightRange);
template EnginePtr<uint64_t> make_amx(const Geometry &, const uint64_t *, WeightRange);

}  // namespace ringconv
#endif

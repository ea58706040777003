// Multiplication in the carrier itself: any CPU, any weights.
//
// One loop in GCC/Clang vector extensions, compiled for several targets: plain multiply-and-add of 32-bit (vpmulld) or
// 64-bit (vpmullq) lanes, lanes along pixels, weights broadcast. A tile keeps all its sums in registers.
#include "conv.h"

#include <cstring>

namespace ringconv {
namespace {

template <class T, int VB, int MR, int NR>
inline __attribute__((always_inline)) void tile_body(const T *w, const T *panel, int rows, T *dst) {
    typedef T V __attribute__((vector_size(VB), may_alias));
    constexpr int lanes = VB / sizeof(T);
    V acc[MR][NR] = {};
    for (int r = 0; r < rows; r++, w += MR, panel += lanes * NR) {
        const V *x = reinterpret_cast<const V *>(panel);
        __builtin_prefetch(w + kPrefetchBytes / sizeof(T));
#pragma GCC unroll 16
        for (int m = 0; m < MR; m++)
#pragma GCC unroll 4
            for (int j = 0; j < NR; j++) acc[m][j] += x[j] * w[m];
    }
#pragma GCC unroll 16
    for (int m = 0; m < MR; m++)
#pragma GCC unroll 4
        for (int j = 0; j < NR; j++) reinterpret_cast<V *>(dst)[m * NR + j] = acc[m][j];
}

// `registers`: vectors of sums one tile may keep. A tile is at most 16 pixels wide, for images of 4 x 4.
struct Portable {
    static constexpr int vector_bytes = 16, registers = 8;
    template <class T, int MR, int NR> static void tile(const T *w, const T *panel, int rows, T *dst) {
        tile_body<T, vector_bytes, MR, NR>(w, panel, rows, dst);
    }
};

#if defined(__x86_64__)
struct Avx2 {
    static constexpr int vector_bytes = 32, registers = 8;
    template <class T, int MR, int NR>
    __attribute__((target("avx2"))) static void tile(const T *w, const T *panel, int rows, T *dst) {
        tile_body<T, vector_bytes, MR, NR>(w, panel, rows, dst);
    }
};

struct Avx512 {
    static constexpr int vector_bytes = 64, registers = 16;
    template <class T, int MR, int NR>
    __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl"))) static void tile(const T *w, const T *panel,
                                                                                  int rows, T *dst) {
        tile_body<T, vector_bytes, MR, NR>(w, panel, rows, dst);
    }
};
#endif

template <class Isa, class T>
constexpr int kVectors = 2 * Isa::vector_bytes > int(16 * sizeof(T)) ? 1 : 2;

template <class T, class Isa, int MR> class GenericEngine final : public Engine<T> {
  public:
    static constexpr int vectors = kVectors<Isa, T>, pixels = vectors * Isa::vector_bytes / sizeof(T);

    GenericEngine(const Geometry &g, const T *w) : Engine<T>(g, Layout{sizeof(T), 1, 1, 1, MR, pixels}) {
        this->weights_ = Buffer(size_t(g.groups) * this->tiles_ * this->rows_ * MR * sizeof(T));
        T *packed = reinterpret_cast<T *>(this->weights_.data());
        this->each_weight(g, w, [&](int group, int mt, int m, int row, int, T value) {
            packed[((size_t(group) * this->tiles_ + mt) * this->rows_ + row) * MR + m] = value;
        });
    }
    void split(const T *const *channels, size_t count, uint8_t *const *limbs) const override {
        std::memcpy(limbs[0], channels[0], count * sizeof(T));
    }
    void tile(int group, int mt, const uint8_t *panel, T *dst) const override {
        const T *packed = reinterpret_cast<const T *>(this->weights_.data());
        packed += (size_t(group) * this->tiles_ + mt) * this->rows_ * MR;
        Isa::template tile<T, MR, vectors>(packed, reinterpret_cast<const T *>(panel), this->rows_, dst);
    }
};

// Depthwise and thinly grouped convolutions get tiles of one channel: nothing to share there.
template <class T, class Isa> EnginePtr<T> make_for(const Geometry &g, const T *w) {
    if (g.cout == 1) return std::make_unique<GenericEngine<T, Isa, 1>>(g, w);
    if (g.cout <= 4) return std::make_unique<GenericEngine<T, Isa, 4>>(g, w);
    return std::make_unique<GenericEngine<T, Isa, Isa::registers / kVectors<Isa, T>>>(g, w);
}

}  // namespace

template <class T> EnginePtr<T> make_generic(const std::string &path, const Geometry &g, const T *w) {
#if defined(__x86_64__)
    if (path == "avx512") return make_for<T, Avx512>(g, w);
    if (path == "avx2") return make_for<T, Avx2>(g, w);
#endif
    (void)path;
    return make_for<T, Portable>(g, w);
}

template EnginePtr<uint32_t> make_generic(const std::string &, const Geometry &, const uint32_t *);
template EnginePtr<uint64_t> make_generic(const std::string &, const Geometry &, const uint64_t *);

}  // namespace ringconv

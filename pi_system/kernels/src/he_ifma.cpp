// The engine for CPUs with AVX-512 IFMA: eight 52-bit multiplications an instruction.
//
// A polynomial is cut into 8 rows of n / 8. The first three layers of butterflies combine rows; then the rows are
// transposed into the 8 lanes of a vector, and the remaining layers treat the lanes as 8 independent transforms with
// their own roots. No layer shuffles within a vector. The inverse runs the same steps backwards.
#include "he.h"

#include <stdexcept>

#if defined(__x86_64__)
// GCC's own headers leave lanes undefined on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

// Only the functions marked so may use these instructions; the rest is compiled for the baseline.
#define IFMA __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512ifma"))) inline
#define IFMA_MEMBER __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512ifma")))

namespace rlwe {

bool ifma_available() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512ifma");
}

namespace {

constexpr u64 LOW = (u64{1} << 52) - 1;

IFMA __m512i load(const u64 *a) { return _mm512_loadu_si512(a); }
IFMA void store(u64 *a, __m512i v) { _mm512_storeu_si512(a, v); }
IFMA __m512i all(u64 v) { return _mm512_set1_epi64(static_cast<long long>(v)); }
// v or v - m, whichever is smaller as an unsigned number: one step of reduction.
IFMA __m512i reduce(__m512i v, __m512i m) { return _mm512_min_epu64(v, _mm512_sub_epi64(v, m)); }

struct Moduli {
    __m512i p, twice, low;
};

IFMA Moduli moduli(u64 p) { return {all(p), all(2 * p), all(LOW)}; }

// a * f mod p in [0, 2 p), for a below 2^52; q = floor(f * 2^52 / p).
IFMA __m512i mul_lazy(__m512i a, __m512i f, __m512i q, const Moduli &m) {
    const __m512i zero = _mm512_setzero_si512();
    const __m512i quotient = _mm512_madd52hi_epu64(zero, a, q);
    const __m512i product = _mm512_madd52lo_epu64(zero, a, f);
    return _mm512_and_si512(_mm512_sub_epi64(product, _mm512_madd52lo_epu64(zero, quotient, m.p)), m.low);
}

// x, y in [0, 4 p) -> x + f y, x - f y in [0, 4 p).
IFMA void down(__m512i &x, __m512i &y, __m512i f, __m512i q, const Moduli &m) {
    const __m512i u = reduce(x, m.twice), v = mul_lazy(reduce(y, m.twice), f, q, m);
    x = _mm512_add_epi64(u, v);
    y = _mm512_add_epi64(_mm512_sub_epi64(u, v), m.twice);
}

// x, y in [0, 2 p) -> x + y, f (x - y) in [0, 2 p).
IFMA void up(__m512i &x, __m512i &y, __m512i f, __m512i q, const Moduli &m) {
    const __m512i difference = reduce(_mm512_add_epi64(_mm512_sub_epi64(x, y), m.twice), m.twice);
    x = reduce(_mm512_add_epi64(x, y), m.twice);
    y = mul_lazy(difference, f, q, m);
}

IFMA void transpose(__m512i r[8]) {
    __m512i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int h = 0; h < 2; ++h) {
            b[i + h] = _mm512_shuffle_i64x2(a[i + h], a[i + 2 + h], 0x88);
            b[i + 2 + h] = _mm512_shuffle_i64x2(a[i + h], a[i + 2 + h], 0xdd);
        }
    // b[g + h], b[g + 2 + h]: 128-bit lanes 0, 2 and 1, 3 of rows g .. g + 3, parity h.
    for (int h = 0; h < 2; ++h) {
        r[h] = _mm512_shuffle_i64x2(b[h], b[4 + h], 0x88);
        r[4 + h] = _mm512_shuffle_i64x2(b[h], b[4 + h], 0xdd);
        r[2 + h] = _mm512_shuffle_i64x2(b[2 + h], b[6 + h], 0x88);
        r[6 + h] = _mm512_shuffle_i64x2(b[2 + h], b[6 + h], 0xdd);
    }
}

u64 quotient(u64 value, u64 p) { return static_cast<u64>((static_cast<u128>(value) << 52) / p); }

struct Factor52 {
    u64 value, quotient;
};

Factor52 factor(u64 value, u64 p) { return {value, quotient(value, p)}; }

// Roots and their quotients: the first eight by index, the others (index m + i of lane r) eight lanes together.
struct Roots {
    u64 first[8], first_quotient[8];
    std::vector<u64> lanes, lane_quotients;

    Roots(size_t n, u64 root, u64 p) : lanes(n), lane_quotients(n) {
        const std::vector<u64> powers = root_powers(n, root, p);
        for (int i = 0; i < 8; ++i) {
            first[i] = powers[i];
            first_quotient[i] = quotient(powers[i], p);
        }
        for (size_t m = 1; m < n / 8; m *= 2)
            for (size_t i = 0; i < m; ++i)
                for (size_t lane = 0; lane < 8; ++lane) {
                    const u64 value = powers[8 * m + lane * m + i];
                    lanes[(m + i) * 8 + lane] = value;
                    lane_quotients[(m + i) * 8 + lane] = quotient(value, p);
                }
    }
};

class Ifma final : public Engine {
  public:
    Ifma(size_t n, u64 p)
        : Engine(n, p, true), forward_(n, primitive_root(n, p), p),
          inverse_(n, pow_mod(primitive_root(n, p), p - 2, p), p), scale_(factor(pow_mod(n, p - 2, p), p)),
          one_(factor(1, p)), carry_(factor((u64{1} << 52) % p, p)),
          carry2_(factor(mul_mod(carry_.value, carry_.value, p), p)) {}

    IFMA_MEMBER void forward(u64 *a) const override {
        const Moduli m = moduli(p_);
        const size_t row = n_ / 8;
        std::vector<u64> scratch(n_);
        u64 *s = scratch.data();
        for (size_t j = 0; j < row; j += 8) {
            __m512i r[8];
            for (int i = 0; i < 8; ++i) r[i] = load(a + i * row + j);
            for (int half = 4; half >= 1; half /= 2)
                for (int i = 0; i < 8; ++i)
                    if ((i & half) == 0) {
                        const int root = 4 / half + i / (2 * half);
                        down(r[i], r[i + half], all(forward_.first[root]), all(forward_.first_quotient[root]), m);
                    }
            transpose(r);
            for (int i = 0; i < 8; ++i) store(s + (j + i) * 8, r[i]);
        }
        for (size_t groups = 1, t = row / 2; groups < row; groups *= 2, t /= 2)
            for (size_t i = 0; i < groups; ++i) {
                const __m512i f = load(&forward_.lanes[(groups + i) * 8]);
                const __m512i q = load(&forward_.lane_quotients[(groups + i) * 8]);
                u64 *x = s + 2 * i * t * 8, *y = x + t * 8;
                for (size_t j = 0; j < t * 8; j += 8) {
                    __m512i u = load(x + j), v = load(y + j);
                    down(u, v, f, q, m);
                    store(x + j, u);
                    store(y + j, v);
                }
            }
        for (size_t j = 0; j < n_; j += 8) store(a + j, reduce(reduce(load(s + j), m.twice), m.p));
    }

    IFMA_MEMBER void inverse(u64 *a) const override {
        const Moduli m = moduli(p_);
        const size_t row = n_ / 8;
        std::vector<u64> scratch(a, a + n_);
        u64 *s = scratch.data();
        for (size_t groups = row / 2, t = 1; groups >= 1; groups /= 2, t *= 2)
            for (size_t i = 0; i < groups; ++i) {
                const __m512i f = load(&inverse_.lanes[(groups + i) * 8]);
                const __m512i q = load(&inverse_.lane_quotients[(groups + i) * 8]);
                u64 *x = s + 2 * i * t * 8, *y = x + t * 8;
                for (size_t j = 0; j < t * 8; j += 8) {
                    __m512i u = load(x + j), v = load(y + j);
                    up(u, v, f, q, m);
                    store(x + j, u);
                    store(y + j, v);
                }
            }
        for (size_t j = 0; j < row; j += 8) {
            __m512i r[8];
            for (int i = 0; i < 8; ++i) r[i] = load(s + (j + i) * 8);
            transpose(r);
            for (int half = 1; half <= 4; half *= 2)
                for (int i = 0; i < 8; ++i)
                    if ((i & half) == 0) {
                        const int root = 4 / half + i / (2 * half);
                        up(r[i], r[i + half], all(inverse_.first[root]), all(inverse_.first_quotient[root]), m);
                    }
            for (int i = 0; i < 8; ++i) store(a + i * row + j, reduce(times(r[i], scale_), m.p));
        }
    }

    IFMA_MEMBER void scale(u64 *a, const u64 *factors) const override {
        const __m512i zero = _mm512_setzero_si512();
        for (size_t j = 0; j < n_; j += 8) {
            const __m512i x = load(a + j), f = load(factors + j);
            store(a + j, settle(_mm512_madd52lo_epu64(zero, x, f), _mm512_madd52hi_epu64(zero, x, f)));
        }
    }

    IFMA_MEMBER void multiply(const Product &p) const override {
        constexpr size_t V = BLOCK / 8;
        for (size_t b = 0; b < p.blocks; ++b)
            for (size_t o = 0; o < p.outputs; ++o) {
                u64 *to = p.out_of(b, o);
                const u64 *w[V];
                __m512i low[2][V], high[2][V];
                for (size_t v = 0; v < V; ++v) {
                    w[v] = p.weights_of(b * V + v, 8, o);
                    for (size_t c = 0; c < 2; ++c) {
                        low[c][v] = p.add ? load(to + c * p.out_half + 8 * v) : _mm512_setzero_si512();
                        high[c][v] = _mm512_setzero_si512();
                    }
                }
                for (size_t j = 0; j < p.terms; ++j) {
                    const u64 *x = p.inputs_of(b, j);
                    for (size_t v = 0; v < V; ++v) {
                        const __m512i f = load(w[v] + j * BLOCK);
                        for (size_t c = 0; c < 2; ++c) {
                            const __m512i y = load(x + c * BLOCK + 8 * v);
                            low[c][v] = _mm512_madd52lo_epu64(low[c][v], f, y);
                            high[c][v] = _mm512_madd52hi_epu64(high[c][v], f, y);
                        }
                    }
                }
                for (size_t c = 0; c < 2; ++c)
                    for (size_t v = 0; v < V; ++v) store(to + c * p.out_half + 8 * v, settle(low[c][v], high[c][v]));
            }
    }

  private:
    IFMA_MEMBER __m512i times(__m512i a, const Factor52 &f) const {
        return mul_lazy(a, all(f.value), all(f.quotient), moduli(p_));
    }

    // low + 2^52 high mod p, canonical; low, high below 2^63 (up to 2^11 terms).
    IFMA_MEMBER __m512i settle(__m512i low, __m512i high) const {
        const Moduli m = moduli(p_);
        const __m512i carried = _mm512_add_epi64(high, _mm512_srli_epi64(low, 52));
        __m512i sum = times(_mm512_and_si512(low, m.low), one_);
        sum = reduce(_mm512_add_epi64(sum, times(_mm512_and_si512(carried, m.low), carry_)), m.twice);
        sum = reduce(_mm512_add_epi64(sum, times(_mm512_srli_epi64(carried, 52), carry2_)), m.twice);
        return reduce(sum, m.p);
    }

    Roots forward_, inverse_;
    Factor52 scale_, one_, carry_, carry2_;
};

}  // namespace

std::unique_ptr<Engine> make_ifma(size_t n, u64 p) { return std::make_unique<Ifma>(n, p); }

}  // namespace rlwe

#else

namespace rlwe {
bool ifma_available() { return false; }
std::unique_ptr<Engine> make_ifma(size_t, u64) { throw std::invalid_argument("path: ifma needs AVX-512 IFMA"); }
}  // namespace rlwe

#endif

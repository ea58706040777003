// The engine on AVX2 and FMA: residues are whole numbers in doubles, four a register, in products exact to the last bit.
//
// For |a| below 2^51 and a constant f of [0, p): q = round(a f / p) is off by at most one, so that a f - q p is a residue
// within (-p, p), and both halves of a f, fl(a f) and the rest that an FMA yields, take part without rounding. The way of
// FLINT's fft_small (Schultz, 2023). Values grow by less than p a layer and are reduced where they must be.
//
// A polynomial is cut into 4 rows of n / 4, otherwise as in he_ifma.cpp. What `forward` yields and products take are
// doubles in 64-bit words; what products yield and `inverse` takes are words below p.
#include "he.h"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>

// Only the functions marked so may use these instructions; the rest is compiled for the baseline.
#define FMA __attribute__((target("avx2,fma"))) inline
#define FMA_MEMBER __attribute__((target("avx2,fma")))

namespace rlwe {

bool fma_available() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

namespace {

using Quad = __m256d;

FMA Quad load(const double *a) { return _mm256_loadu_pd(a); }
FMA void store(double *a, Quad v) { _mm256_storeu_pd(a, v); }
FMA Quad all(double v) { return _mm256_set1_pd(v); }
FMA Quad add(Quad a, Quad b) { return _mm256_add_pd(a, b); }
FMA Quad sub(Quad a, Quad b) { return _mm256_sub_pd(a, b); }
FMA Quad nearest(Quad v) { return _mm256_round_pd(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// Words below 2^52 are the low bits of doubles from 2^52 on.
FMA Quad from_words(const u64 *a) {
    const __m256i exponent = _mm256_castpd_si256(all(0x1p52));
    const __m256i word = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(a));
    return sub(_mm256_castsi256_pd(_mm256_or_si256(word, exponent)), all(0x1p52));
}

struct Modulus {
    Quad p, inverse;
};

FMA Modulus modulus(double p) { return {all(p), all(1 / p)}; }

// v modulo p, within [-p / 2, p / 2] but for the last bit of the quotient.
FMA Quad reduce(Quad v, const Modulus &m) { return _mm256_fnmadd_pd(nearest(_mm256_mul_pd(v, m.inverse)), m.p, v); }

// The same as words below p.
FMA void to_words(u64 *a, Quad v, const Modulus &m) {
    const Quad r = reduce(v, m);
    const Quad least = add(r, _mm256_and_pd(m.p, _mm256_cmp_pd(r, _mm256_setzero_pd(), _CMP_LT_OQ)));
    const __m256i word = _mm256_castpd_si256(add(least, all(0x1p52)));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(a), _mm256_xor_si256(word, _mm256_castpd_si256(all(0x1p52))));
}

// a f modulo p; g = f / p.
FMA Quad times(Quad a, Quad f, Quad g, const Modulus &m) {
    const Quad high = _mm256_mul_pd(a, f), quotient = nearest(_mm256_mul_pd(a, g));
    const Quad low = _mm256_fmsub_pd(a, f, high);
    return add(_mm256_fnmadd_pd(quotient, m.p, high), low);
}

// a b modulo p for factors that are not constant.
FMA Quad times(Quad a, Quad b, const Modulus &m) {
    const Quad high = _mm256_mul_pd(a, b), quotient = nearest(_mm256_mul_pd(high, m.inverse));
    const Quad low = _mm256_fmsub_pd(a, b, high);
    return add(_mm256_fnmadd_pd(quotient, m.p, high), low);
}

FMA void down(Quad &x, Quad &y, Quad f, Quad g, const Modulus &m) {
    const Quad u = x, v = times(y, f, g, m);
    x = add(u, v);
    y = sub(u, v);
}

// Sums of two layers stay below 4 p: only the second need reduce them.
template <bool REDUCED> FMA void up(Quad &x, Quad &y, Quad f, Quad g, const Modulus &m) {
    const Quad sum = add(x, y);
    y = times(sub(x, y), f, g, m);
    x = REDUCED ? reduce(sum, m) : sum;
}

FMA void transpose(Quad r[4]) {
    const Quad a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
    const Quad c = _mm256_unpacklo_pd(r[2], r[3]), d = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(a, c, 0x20);
    r[1] = _mm256_permute2f128_pd(b, d, 0x20);
    r[2] = _mm256_permute2f128_pd(a, c, 0x31);
    r[3] = _mm256_permute2f128_pd(b, d, 0x31);
}

// Whole numbers within (-2^51, 2^51).
FMA Quad from_signed(const int64_t *a) {
    const __m256i shifted = _mm256_castpd_si256(all(0x1.8p52));
    const __m256i word = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(a));
    return sub(_mm256_castsi256_pd(_mm256_add_epi64(word, shifted)), all(0x1.8p52));
}

struct Root {
    Quad f, g;
};

FMA void apart(double *x, double *y, const Root &root, const Modulus &m) {
    Quad u = load(x), v = load(y);
    down(u, v, root.f, root.g, m);
    store(x, u);
    store(y, v);
}

FMA void together(double *x, double *y, const Root &root, const Modulus &m) {
    Quad u = load(x), v = load(y);
    up<true>(u, v, root.f, root.g, m);
    store(x, u);
    store(y, v);
}

// Roots and what they are of p: the first four by index, the others (index m + i of lane r) four lanes together.
struct Roots {
    double first[4], first_of_p[4];
    std::vector<double> lanes, lanes_of_p;

    Roots(size_t n, u64 root, u64 p) : lanes(n), lanes_of_p(n) {
        const std::vector<u64> powers = root_powers(n, root, p);
        for (int i = 0; i < 4; ++i) set(first[i], first_of_p[i], powers[i], p);
        for (size_t m = 1; m < n / 4; m *= 2)
            for (size_t i = 0; i < m; ++i)
                for (size_t lane = 0; lane < 4; ++lane) {
                    const size_t at = (m + i) * 4 + lane;
                    set(lanes[at], lanes_of_p[at], powers[4 * m + lane * m + i], p);
                }
    }

    FMA_MEMBER Root at(size_t i) const { return {load(&lanes[4 * i]), load(&lanes_of_p[4 * i])}; }

    static void set(double &value, double &of_p, u64 power, u64 p) {
        value = static_cast<double>(power);
        of_p = value / static_cast<double>(p);
    }
};

class Fma final : public Engine {
  public:
    Fma(size_t n, u64 p)
        : Engine(n, p, true), whole_(static_cast<double>(p)), forward_(n, primitive_root(n, p), p),
          inverse_(n, pow_mod(primitive_root(n, p), p - 2, p), p) {
        Roots::set(scale_, scale_of_p_, pow_mod(n, p - 2, p), p);
    }

    FMA_MEMBER void forward(u64 *a) const override {
        const Modulus m = modulus(whole_);
        const size_t row = n_ / 4;
        const std::unique_ptr<double[]> scratch(new double[n_]);
        double *s = scratch.get();
        for (size_t j = 0; j < row; j += 4) {
            Quad r[4];
            for (size_t i = 0; i < 4; ++i) r[i] = from_words(a + i * row + j);
            for (size_t half = 2; half >= 1; half /= 2)
                for (size_t i = 0; i < 4; ++i)
                    if ((i & half) == 0) {
                        const size_t root = 2 / half + i / (2 * half);
                        down(r[i], r[i + half], all(forward_.first[root]), all(forward_.first_of_p[root]), m);
                    }
            transpose(r);
            for (size_t i = 0; i < 4; ++i) store(s + (j + i) * 4, r[i]);
        }
        size_t groups = 1, t = row / 2;
        if (__builtin_ctzll(row) % 2 == 1) {  // two layers at a time from here on
            for (size_t j = 0; j < t; ++j) apart(s + 4 * j, s + 4 * (t + j), forward_.at(1), m);
            groups = 2;
            t /= 2;
        }
        for (; groups < row && 64 * t > IN_CACHE; groups *= 4, t /= 4) two_layers(s, groups, t, 0, groups, m);
        const size_t parts = groups;  // one after the other through all layers that are left
        for (size_t part = 0; part < parts; ++part)
            for (size_t of_part = 1, u = t; of_part * parts < row; of_part *= 4, u /= 4)
                two_layers(s, of_part * parts, u, part * of_part, (part + 1) * of_part, m);
        for (size_t j = 0; j < n_; j += 4) store(reinterpret_cast<double *>(a) + j, reduce(load(s + j), m));
    }

    FMA_MEMBER void inverse(u64 *a) const override {
        const Modulus m = modulus(whole_);
        const size_t row = n_ / 4;
        const std::unique_ptr<double[]> scratch(new double[n_]);
        double *s = scratch.get();
        for (size_t j = 0; j < n_; j += 4) store(s + j, from_words(a + j));
        const size_t parts = std::max<size_t>(1, 8 * n_ / IN_CACHE);
        size_t groups = row / 2, t = 1;
        for (size_t part = 0; part < parts; ++part)  // one after the other through all layers within it
            for (groups = row / 2, t = 1; groups > 1 && groups / 2 >= parts; groups /= 4, t *= 4)
                two_back(s, groups, t, part * (groups / 2 / parts), (part + 1) * (groups / 2 / parts), m);
        for (; groups > 1; groups /= 4, t *= 4) two_back(s, groups, t, 0, groups / 2, m);
        if (groups == 1)
            for (size_t j = 0; j < t; ++j) together(s + 4 * j, s + 4 * (t + j), inverse_.at(1), m);
        for (size_t j = 0; j < row; j += 4) {
            Quad r[4];
            for (size_t i = 0; i < 4; ++i) r[i] = load(s + (j + i) * 4);
            transpose(r);
            for (size_t half = 1; half <= 2; half *= 2)
                for (size_t i = 0; i < 4; ++i)
                    if ((i & half) == 0) {
                        const size_t root = 2 / half + i / (2 * half);
                        up<false>(r[i], r[i + half], all(inverse_.first[root]), all(inverse_.first_of_p[root]), m);
                    }
            for (size_t i = 0; i < 4; ++i) to_words(a + i * row + j, times(r[i], all(scale_), all(scale_of_p_), m), m);
        }
    }

    FMA_MEMBER void scale(u64 *a, const u64 *factors) const override {
        const Modulus m = modulus(whole_);
        for (size_t j = 0; j < n_; j += 4) to_words(a + j, times(value(a + j), value(factors + j), m), m);
    }

    FMA_MEMBER void multiply(const Product &p) const override {
        constexpr size_t V = 4;  // registers of a column, of two halves each
        const Modulus m = modulus(whole_);
        for (size_t b = 0; b < p.blocks; ++b)
            for (size_t o = 0; o < p.outputs; ++o)
                for (size_t column = 0; column < BLOCK; column += 4 * V) {
                    const u64 *w[V];
                    u64 *to = p.out_of(b, o) + column;
                    Quad sum[2][V];
                    for (size_t v = 0; v < V; ++v) {
                        w[v] = p.weights_of((b * BLOCK + column) / 4 + v, 4, o);
                        for (size_t c = 0; c < 2; ++c)
                            sum[c][v] = p.add ? from_words(to + c * p.out_half + 4 * v) : _mm256_setzero_pd();
                    }
                    for (size_t j = 0; j < p.terms; ++j) {
                        const u64 *y = p.inputs_of(b, j) + column;
                        for (size_t v = 0; v < V; ++v) {
                            const Quad f = value(w[v] + j * BLOCK);
                            for (size_t c = 0; c < 2; ++c)
                                sum[c][v] = add(sum[c][v], times(f, value(y + c * BLOCK + 4 * v), m));
                        }
                        if (j % SUMS == SUMS - 1)
                            for (size_t c = 0; c < 2; ++c)
                                for (size_t v = 0; v < V; ++v) sum[c][v] = reduce(sum[c][v], m);
                    }
                    for (size_t c = 0; c < 2; ++c)
                        for (size_t v = 0; v < V; ++v) to_words(to + c * p.out_half + 4 * v, sum[c][v], m);
                }
    }

  private:
    // Two layers of `forward`: of 2 t registers each, those from `first` on.
    FMA_MEMBER void two_layers(double *s, size_t groups, size_t t, size_t first, size_t end, const Modulus &m) const {
        const size_t quarter = t / 2 * 4;
        for (size_t i = first; i < end; ++i) {
            const size_t below = 2 * (groups + i);
            const Root one = forward_.at(groups + i), two[2] = {forward_.at(below), forward_.at(below + 1)};
            double *x = s + i * 4 * quarter;
            for (double *stop = x + quarter; x < stop; x += 4) {
                Quad v[4];
                for (size_t k = 0; k < 4; ++k) v[k] = load(x + k * quarter);
                for (size_t k = 0; k < 2; ++k) down(v[k], v[k + 2], one.f, one.g, m);
                for (size_t k = 0; k < 2; ++k) down(v[2 * k], v[2 * k + 1], two[k].f, two[k].g, m);
                for (size_t k = 0; k < 4; ++k) store(x + k * quarter, v[k]);
            }
        }
    }

    // Two layers of `inverse`: of 4 t registers each, those from `first` on.
    FMA_MEMBER void two_back(double *s, size_t groups, size_t t, size_t first, size_t end, const Modulus &m) const {
        for (size_t i = first; i < end; ++i) {
            const size_t below = groups + 2 * i;
            const Root one[2] = {inverse_.at(below), inverse_.at(below + 1)}, two = inverse_.at(below / 2);
            double *x = s + i * 16 * t;
            for (double *stop = x + 4 * t; x < stop; x += 4) {
                Quad v[4];
                for (size_t k = 0; k < 4; ++k) v[k] = load(x + k * 4 * t);
                for (size_t k = 0; k < 2; ++k) up<false>(v[2 * k], v[2 * k + 1], one[k].f, one[k].g, m);
                for (size_t k = 0; k < 2; ++k) up<true>(v[k], v[k + 2], two.f, two.g, m);
                for (size_t k = 0; k < 4; ++k) store(x + k * 4 * t, v[k]);
            }
        }
    }

    static constexpr size_t IN_CACHE = 1 << 14;  // bytes of a part of a polynomial that layers take one after the other
    static constexpr size_t SUMS = 8;  // products below p that may be added before they are reduced: 2^50

    FMA_MEMBER static Quad value(const u64 *a) { return load(reinterpret_cast<const double *>(a)); }

    double whole_, scale_, scale_of_p_;
    Roots forward_, inverse_;
};

}  // namespace

FMA_MEMBER size_t add_products_fma(u64 p, u64 *a, const int64_t *limbs, const std::vector<u64> &factors,
                                   size_t count) {
    const Modulus m = modulus(static_cast<double>(p));
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        Quad sum = from_words(a + i);
        for (size_t j = 0; j < factors.size(); ++j) {
            const double f = static_cast<double>(factors[j]);
            sum = add(sum, times(from_signed(limbs + j * count + i), all(f), all(f / static_cast<double>(p)), m));
        }
        to_words(a + i, sum, m);
    }
    return i;
}

FMA_MEMBER size_t divide_fma(u64 p, u64 *a, const u64 *rest, u64 divisor, u64 inverse, size_t count) {
    const Modulus m = modulus(static_cast<double>(p));
    const Quad whole = all(static_cast<double>(divisor)), half = all(static_cast<double>(divisor >> 1));
    const double f = static_cast<double>(inverse);
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const Quad r = from_words(rest + i), over = _mm256_cmp_pd(r, half, _CMP_GT_OQ);
        const Quad nearest_zero = sub(r, _mm256_and_pd(whole, over));
        to_words(a + i, times(sub(from_words(a + i), nearest_zero), all(f), all(f / static_cast<double>(p)), m), m);
    }
    return i;
}

std::unique_ptr<Engine> make_fma(size_t n, u64 p) {
    if (p >> FMA_PRIME_BITS != 0) return make_portable(n, p);
    return std::make_unique<Fma>(n, p);
}

}  // namespace rlwe

#else

namespace rlwe {
bool fma_available() { return false; }
size_t add_products_fma(u64, u64 *, const int64_t *, const std::vector<u64> &, size_t) { return 0; }
size_t divide_fma(u64, u64 *, const u64 *, u64, u64, size_t) { return 0; }
std::unique_ptr<Engine> make_fma(size_t n, u64 p) { return make_portable(n, p); }
}  // namespace rlwe

#endif

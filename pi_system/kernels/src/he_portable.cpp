// The portable engine: Harvey's lazy butterflies with 64-bit Shoup quotients (arXiv 1205.2926, section 4).
#include "he.h"

#include <stdexcept>

namespace rlwe {

u64 pow_mod(u64 base, u64 exponent, u64 p) {
    u64 result = 1;
    for (; exponent != 0; exponent >>= 1, base = mul_mod(base, base, p))
        if (exponent & 1) result = mul_mod(result, base, p);
    return result;
}

u64 primitive_root(size_t n, u64 p) {
    if ((p - 1) % (2 * n) == 0)
        for (u64 g = 2; g < 2000; ++g) {
            const u64 root = pow_mod(g, (p - 1) / (2 * n), p);
            if (pow_mod(root, n, p) == p - 1) return root;
        }
    throw std::invalid_argument("modulus: expected a prime that is 1 modulo 2 n");
}

std::vector<u64> root_powers(size_t n, u64 root, u64 p) {
    std::vector<u64> powers(n);
    int bits = 0;
    while ((size_t{1} << bits) < n) ++bits;
    u64 power = 1;
    for (size_t i = 0; i < n; ++i, power = mul_mod(power, root, p)) {
        size_t reversed = 0;
        for (int b = 0; b < bits; ++b) reversed |= ((i >> b) & 1) << (bits - 1 - b);
        powers[reversed] = power;
    }
    return powers;
}

namespace {

class Portable final : public Engine {
  public:
    Portable(size_t n, u64 p) : Engine(n, p, false) {
        const u64 root = primitive_root(n, p), back = pow_mod(root, p - 2, p);
        for (u64 v : root_powers(n, root, p)) forward_.emplace_back(v, p);
        for (u64 v : root_powers(n, back, p)) inverse_.emplace_back(v, p);
        scale_ = Factor(pow_mod(n, p - 2, p), p);
    }

    void forward(u64 *a) const override {
        for (size_t m = 1, t = n_ / 2; m < n_; m *= 2, t /= 2)
            for (size_t i = 0; i < m; ++i) {
                u64 *x = a + 2 * i * t, *y = x + t;
                const Factor f = forward_[m + i];
                for (size_t j = 0; j < t; ++j) {
                    const u64 u = reduce_once(x[j], 2 * p_), v = f.times_lazy(y[j], p_);
                    x[j] = u + v;
                    y[j] = u - v + 2 * p_;
                }
            }
        for (size_t j = 0; j < n_; ++j) a[j] = reduce_once(reduce_once(a[j], 2 * p_), p_);
    }

    void inverse(u64 *a) const override {
        for (size_t m = n_ / 2, t = 1; m >= 1; m /= 2, t *= 2)
            for (size_t i = 0; i < m; ++i) {
                u64 *x = a + 2 * i * t, *y = x + t;
                const Factor f = inverse_[m + i];
                for (size_t j = 0; j < t; ++j) {
                    const u64 u = x[j], v = y[j];
                    x[j] = reduce_once(u + v, 2 * p_);
                    y[j] = f.times_lazy(u - v + 2 * p_, p_);
                }
            }
        for (size_t j = 0; j < n_; ++j) a[j] = scale_.times(a[j], p_);
    }

    void scale(u64 *a, const u64 *factors) const override {
        for (size_t j = 0; j < n_; ++j) a[j] = wide_residue(static_cast<u128>(a[j]) * factors[j]);
    }

    void multiply(const Product &p) const override {
        for (size_t b = 0; b < p.blocks; ++b)
            for (size_t o = 0; o < p.outputs; ++o) {
                const u64 *w[BLOCK];
                u64 *to[2] = {p.out_of(b, o), p.out_of(b, o) + p.out_half};
                u128 sum[2][BLOCK];  // terms * 2^102 fits for any number of terms in memory
                for (size_t i = 0; i < BLOCK; ++i) {
                    w[i] = p.weights_of(b * BLOCK + i, 1, o);
                    for (size_t c = 0; c < 2; ++c) sum[c][i] = p.add ? to[c][i] : 0;
                }
                for (size_t j = 0; j < p.terms; ++j) {
                    const u64 *x = p.inputs_of(b, j);
                    for (size_t i = 0; i < BLOCK; ++i) {
                        const u128 f = w[i][j * BLOCK];
                        for (size_t c = 0; c < 2; ++c) sum[c][i] += f * x[c * BLOCK + i];
                    }
                }
                for (size_t c = 0; c < 2; ++c)
                    for (size_t i = 0; i < BLOCK; ++i) to[c][i] = wide_residue(sum[c][i]);
            }
    }

  private:
    std::vector<Factor> forward_, inverse_;
    Factor scale_;
};

}  // namespace

std::unique_ptr<Engine> make_portable(size_t n, u64 p) { return std::make_unique<Portable>(n, p); }

}  // namespace rlwe

// A set of primes with their engines, and what a server computes up to the products.
#include "he.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace rlwe {
namespace {

constexpr size_t AT_ONCE = 1 << 17;  // words of weights between their transform and their use: they stay in the cache

// A polynomial in blocks, `stride` words from one to the next.
void put_blocks(const std::vector<u64> &poly, u64 *out, size_t stride) {
    for (size_t b = 0; b < poly.size() / BLOCK; ++b) std::memcpy(out + b * stride, &poly[b * BLOCK], BLOCK * sizeof(u64));
}

}  // namespace

void Engine::add_products(u64 *a, const int64_t *limbs, const std::vector<u64> &factors, size_t count) const {
    const u64 lift = p_ * ((u64{1} << 33) / p_ + 1);  // makes a limb positive
    std::vector<Factor> by;
    for (u64 factor : factors) by.emplace_back(factor, p_);
    for (size_t i = fma_ ? add_products_fma(p_, a, limbs, factors, count) : 0; i < count; ++i)
        for (size_t j = 0; j < by.size(); ++j)
            a[i] = add_mod(a[i], by[j].times(static_cast<u64>(limbs[j * count + i]) + lift, p_), p_);
}

void Engine::divide(u64 *a, const u64 *rest, u64 divisor, const Factor &inverse, size_t count) const {
    const u64 half = divisor >> 1, lift = p_ * (divisor / p_ + 1);  // makes a difference positive
    for (size_t i = fma_ ? divide_fma(p_, a, rest, divisor, inverse.value, count) : 0; i < count; ++i) {
        const u64 nearest_zero = rest[i] - (divisor & (0 - ((half - rest[i]) >> 63)));
        a[i] = inverse.times(a[i] + lift - nearest_zero, p_);
    }
}

Context::Context(size_t n, const std::vector<u64> &primes, const std::string &path) : n_(n) {
    if (n < 64 || (n & (n - 1)) != 0) throw std::invalid_argument("degree: expected a power of two from 64");
    const auto make = path == "ifma" ? make_ifma : path == "fma" ? make_fma : make_portable;
    if (path != "ifma" && path != "fma" && path != "portable")
        throw std::invalid_argument("path: expected ifma, fma or portable");
    for (u64 p : primes) {
        if (p < 3 || p >> MAX_PRIME_BITS != 0) throw std::invalid_argument("primes: expected 2 to 51 bits");
        engines_.push_back(make(n, p));
    }
    for (u64 r : primes) {
        inverse_of_.emplace_back();
        for (u64 p : primes) inverse_of_.back().emplace_back(pow_mod(r % p, p - 2, p), p);
    }
}

void Context::load_inputs(const u64 *in, size_t count, u64 *out) const {
    const size_t k = primes();
    std::vector<u64> poly(n_);
    for (size_t q = 0; q < k; ++q)
        for (size_t i = 0; i < 2 * count; ++i) {
            std::memcpy(poly.data(), in + (i * k + q) * n_, n_ * sizeof(u64));
            engine(q).forward(poly.data());
            put_blocks(poly, out + q * n_ * 2 * count + i * BLOCK, 2 * count * BLOCK);
        }
}

// Values of one polynomial of small signed coefficients.
void Context::load(size_t q, const int32_t *in, u64 *poly) const {
    for (size_t c = 0; c < n_; ++c) poly[c] = signed_residue(in[c], engine(q).prime());
    engine(q).forward(poly);
}

void Context::load_weights(const int32_t *in, size_t outputs, size_t terms, u64 *out) const {
    std::vector<u64> poly(n_);
    const size_t count = outputs * terms;
    for (size_t q = 0; q < primes(); ++q)
        for (size_t i = 0; i < count; ++i) {
            load(q, in + i * n_, poly.data());
            put_blocks(poly, out + q * n_ * count + i * BLOCK, count * BLOCK);
        }
}

void Context::multiply(const u64 *weights, const u64 *inputs, const int32_t *select, size_t outputs, size_t terms,
                       size_t available, size_t copies, u64 *out) const {
    const size_t k = primes();
    for (size_t q = 0; q < k; ++q)
        engine(q).multiply({weights + q * (n_ / copies) * outputs * terms, inputs + q * n_ * 2 * available, select, outputs,
                            terms, available, copies, n_ / BLOCK, out + q * n_, 2 * k * n_, k * n_, false});
}

void Context::multiply_once(const Context &narrow, const int32_t *weights, const u64 *inputs, const int32_t *select,
                            size_t sets, size_t outputs, size_t terms, size_t available, u64 *out) const {
    const size_t k = primes(), size = narrow.n();
    const size_t together = std::min(terms, std::max<size_t>(1, AT_ONCE / (outputs * size)));
    std::vector<u64> poly(size), scratch(outputs * together * size);
    for (size_t q = 0; q < k; ++q)
        for (size_t first = 0; first < terms; first += together) {
            const size_t here = std::min(together, terms - first);
            for (size_t o = 0; o < outputs; ++o)
                for (size_t i = 0; i < here; ++i) {
                    narrow.load(q, weights + (o * terms + first + i) * size, poly.data());
                    put_blocks(poly, &scratch[(o * here + i) * BLOCK], outputs * here * BLOCK);
                }
            for (size_t s = 0; s < sets; ++s)
                engine(q).multiply({scratch.data(), inputs + q * n_ * 2 * available, select + s * terms + first, outputs,
                                    here, available, n_ / size, n_ / BLOCK, out + (2 * s * outputs * k + q) * n_,
                                    2 * k * n_, k * n_, first > 0});
        }
}

// For values below 2^bits and q the product of the first primes.
Scale Context::scale_of(size_t kept, int bits) const {
    u64 product = 1;
    for (size_t q = 0; q < kept; ++q) product *= engine(q).prime();
    return {product, bits};
}

}  // namespace rlwe

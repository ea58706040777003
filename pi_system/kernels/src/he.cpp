// A set of primes with their engines, and what a server computes up to the products.
#include "he.h"

#include <cstring>
#include <stdexcept>

namespace rlwe {
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
            for (size_t b = 0; b < n_ / BLOCK; ++b)
                std::memcpy(out + ((q * (n_ / BLOCK) + b) * 2 * count + i) * BLOCK, &poly[b * BLOCK],
                            BLOCK * sizeof(u64));
        }
}

void Context::load_weights(const int32_t *in, size_t outputs, size_t terms, u64 *out) const {
    std::vector<u64> poly(n_);
    const size_t count = outputs * terms;
    for (size_t q = 0; q < primes(); ++q)
        for (size_t i = 0; i < count; ++i) {
            const u64 p = engine(q).prime();
            const int32_t *source = in + i * n_;
            for (size_t c = 0; c < n_; ++c) poly[c] = signed_residue(source[c], p);
            engine(q).forward(poly.data());
            for (size_t b = 0; b < n_ / BLOCK; ++b)
                std::memcpy(out + ((q * (n_ / BLOCK) + b) * count + i) * BLOCK, &poly[b * BLOCK], BLOCK * sizeof(u64));
        }
}

void Context::multiply(const u64 *weights, const u64 *inputs, const int32_t *select, size_t outputs, size_t terms,
                       size_t available, size_t copies, u64 *out) const {
    const size_t k = primes(), count = outputs * terms, blocks = copies == 1 ? n_ / BLOCK : 1;
    std::vector<u64> scratch(copies == 1 ? 0 : count * BLOCK);
    for (size_t q = 0; q < k; ++q) {
        const u64 *of_prime = weights + q * (n_ / copies) * count;
        for (size_t b = 0; b < n_ / BLOCK; b += blocks) {
            if (copies > 1) spread(q, of_prime, count, copies, b, scratch.data());
            engine(q).multiply(copies > 1 ? scratch.data() : of_prime, inputs + (q * n_ + b * BLOCK) * 2 * available,
                               select, outputs, terms, available, out + q * n_ + b * BLOCK, 2 * k * n_, k * n_, blocks);
        }
    }
}

// Block `block` of w(x^copies), (count, BLOCK), from weights (n / copies / BLOCK, count, BLOCK); see Engine::lanes.
void Context::spread(size_t q, const u64 *weights, size_t count, size_t copies, size_t block, u64 *out) const {
    const size_t lanes = engine(q).lanes();
    for (size_t at = 0; at < BLOCK; at += lanes) {
        const size_t word = (block * BLOCK + at) / lanes / copies * lanes;
        const u64 *from = weights + word / BLOCK * count * BLOCK + word % BLOCK;
        for (size_t i = 0; i < count; ++i) std::memcpy(out + i * BLOCK + at, from + i * BLOCK, lanes * sizeof(u64));
    }
}

// For values below 2^bits and q the product of the first primes.
Scale Context::scale_of(size_t kept, int bits) const {
    u64 product = 1;
    for (size_t q = 0; q < kept; ++q) product *= engine(q).prime();
    return {product, bits};
}

}  // namespace rlwe

// A set of primes with their engines, and the steps between a product and the bytes of an answer.
#include "he.h"

#include <cstring>
#include <stdexcept>

namespace rlwe {
namespace {

size_t packed_bytes(size_t count, int bits) { return (count * static_cast<size_t>(bits) + 7) / 8; }

// Value i at bits i * bits of the little-endian bit string, as pi_system/kernels/packing.py reads it.
void pack_bits(const u64 *values, size_t count, int bits, uint8_t *out) {
    u128 pending = 0;
    int held = 0;
    for (size_t i = 0; i < count; ++i) {
        pending |= static_cast<u128>(values[i]) << held;
        for (held += bits; held >= 8; held -= 8, pending >>= 8) *out++ = static_cast<uint8_t>(pending);
    }
    if (held > 0) *out = static_cast<uint8_t>(pending);
}

}  // namespace

Context::Context(size_t n, const std::vector<u64> &primes, const std::string &path) : n_(n) {
    if (n < 64 || (n & (n - 1)) != 0) throw std::invalid_argument("degree: expected a power of two from 64");
    if (path != "ifma" && path != "portable") throw std::invalid_argument("path: expected ifma or portable");
    for (u64 p : primes) {
        if (p < 3 || p >> MAX_PRIME_BITS != 0) throw std::invalid_argument("primes: expected 2 to 51 bits");
        engines_.push_back(path == "ifma" ? make_ifma(n, p) : make_portable(n, p));
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
                       size_t available, u64 *out) const {
    const size_t k = primes();
    for (size_t q = 0; q < k; ++q)
        engine(q).multiply(weights + q * n_ * outputs * terms, inputs + q * n_ * 2 * available, select, outputs, terms,
                           available, out + q * n_, 2 * k * n_, k * n_);
}

// product + u * zero + (0, e): a fresh-looking encryption of the same value (public-key re-randomisation).
void Context::rerandomise(u64 *product, const u64 *zero, const u64 *random) const {
    const size_t k = primes();
    std::vector<u64> u(n_), added(2 * n_);
    const int32_t only = 0;
    for (size_t q = 0; q < k; ++q) {
        const u64 p = engine(q).prime();
        for (size_t i = 0; i < n_; ++i) u[i] = signed_residue(ternary(random[2 * i + 1]), p);
        engine(q).forward(u.data());
        engine(q).multiply(u.data(), zero + q * 2 * n_, &only, 1, 1, 1, added.data(), 0, n_);
        for (size_t c = 0; c < 2; ++c) {
            u64 *poly = product + (c * k + q) * n_;
            for (size_t i = 0; i < n_; ++i) poly[i] = add_mod(poly[i], added[c * n_ + i], p);
            engine(q).inverse(poly);
        }
        u64 *second = product + (k + q) * n_;
        for (size_t i = 0; i < n_; ++i) second[i] = add_mod(second[i], signed_residue(noise(random[2 * i]), p), p);
    }
}

// Divides the value with these residues by the primes from `kept` on, rounding to the nearest each time.
void Context::switch_down(u64 *residues, size_t kept) const {
    for (size_t r = primes() - 1; r >= kept; --r) {
        const u64 last = engine(r).prime(), half = last >> 1, shifted = add_mod(residues[r], half, last);
        for (size_t i = 0; i < r; ++i) {
            const u64 p = engine(i).prime(), centred = sub_mod(engine(i).residue(shifted), engine(i).residue(half), p);
            residues[i] = inverse_of_[r][i].times(sub_mod(residues[i], centred, p), p);
        }
    }
}

// For values below 2^bits and q the product of the first primes.
Scale Context::scale_of(size_t kept, int bits) const {
    u64 product = 1;
    for (size_t q = 0; q < kept; ++q) product *= engine(q).prime();
    return {product, bits};
}

inline u128 join(u64 high, u64 low) { return (static_cast<u128>(high) << 64) | low; }

void Context::finish(const Finish &f, u64 *product, const u64 *zero, const u64 *random, const int32_t *positions,
                     const u64 *flood, const u64 *masks, size_t used, uint8_t *out) const {
    const size_t k = primes(), kept = static_cast<size_t>(f.kept);
    rerandomise(product, zero, random);
    std::vector<u64> residues(k), values(kept * n_);
    const Scale scale = scale_of(kept, f.ring_bits);
    std::vector<Factor> steps;
    for (size_t q = 0; q < kept; ++q) steps.push_back(scale.step(engine(q).prime()));
    const auto emit = [&](size_t count, int dropped) {
        for (size_t q = 0; q < kept; ++q) {
            const int bits = 64 - __builtin_clzll(engine(q).prime()) - dropped;
            pack_bits(&values[q * n_], count, bits, out);
            out += packed_bytes(count, bits);
        }
    };
    for (size_t i = 0; i < n_; ++i) {
        for (size_t q = 0; q < k; ++q) residues[q] = product[(k + q) * n_ + i];
        switch_down(residues.data(), kept);
        for (size_t q = 0; q < kept; ++q) values[q * n_ + i] = residues[q];
    }
    emit(n_, 0);
    const u128 span = static_cast<u128>(1) << f.flood_bits;
    for (size_t i = 0; i < used; ++i) {
        const u64 *w = flood + 4 * i;
        const u128 word = span + (join(w[1], w[0]) & (span - 1)) - (join(w[3], w[2]) & (span - 1));
        for (size_t q = 0; q < k; ++q) {
            const u64 p = engine(q).prime();
            const u64 wide = sub_mod(engine(q).wide_residue(word), engine(q).wide_residue(span), p);
            residues[q] = add_mod(product[q * n_ + static_cast<size_t>(positions[i])], wide, p);
        }
        switch_down(residues.data(), kept);
        const u64 rest = scale.rest(masks[i]);
        for (size_t q = 0; q < kept; ++q) {
            const u64 p = engine(q).prime();
            values[q * n_ + i] = add_mod(residues[q], Scale::scaled(rest, steps[q], p), p) >> f.drop_bits;
        }
    }
    emit(used, f.drop_bits);
}

}  // namespace rlwe

// A server's last steps: between a product and the bytes of an answer.
#include <algorithm>
#include <cstring>

#include "he.h"
#include "pack.h"

namespace rlwe {
namespace {

// Value i at bits i * bits of the little-endian bit string, as pi_system/kernels/packing.py reads it. Returns its end.
uint8_t *pack_bits(const u64 *values, size_t count, int bits, uint8_t *out) {
    const size_t whole = count / pi::LANES * pi::LANES, block = pi::packed_bytes(pi::LANES, bits);
    for (size_t i = 0; i < whole; i += pi::LANES, out += block) pi::backend().pack(values + i, bits, out);
    u64 last[pi::LANES] = {};
    uint8_t packed[pi::LANES * sizeof(u64)];
    std::memcpy(last, values + whole, (count - whole) * sizeof(u64));
    pi::backend().pack(last, bits, packed);
    std::memcpy(out, packed, pi::packed_bytes(count - whole, bits));
    return out + pi::packed_bytes(count - whole, bits);
}

// Writes v, below 2^(32 limbs), as its digits of 32 bits less those of w: limb j of element i at j * count + i.
void put_difference(u128 v, u128 w, size_t limbs, size_t count, int64_t *out) {
    for (size_t j = 0; j < limbs; ++j, v >>= 32, w >>= 32)
        out[j * count] = static_cast<int64_t>(static_cast<uint32_t>(v)) - static_cast<int64_t>(static_cast<uint32_t>(w));
}

inline u128 join(u64 high, u64 low) { return (static_cast<u128>(high) << 64) | low; }

}  // namespace

// product + u * zero + (0, e): a fresh-looking encryption of the same value (public-key re-randomisation).
void Context::rerandomise(u64 *product, const u64 *zero, const u64 *random) const {
    const size_t k = primes();
    std::vector<int64_t> sign(n_), error(n_);
    for (size_t i = 0; i < n_; ++i) {
        sign[i] = ternary(random[2 * i + 1]);
        error[i] = noise(random[2 * i]);
    }
    std::vector<u64> u(n_), added(2 * n_);
    const int32_t only = 0;
    for (size_t q = 0; q < k; ++q) {
        const u64 p = engine(q).prime();
        for (size_t i = 0; i < n_; ++i) u[i] = signed_residue(sign[i], p);
        engine(q).forward(u.data());
        engine(q).multiply(
            {u.data(), zero + q * 2 * n_, &only, 1, 1, 1, 1, n_ / BLOCK, added.data(), 0, n_, false});
        for (size_t c = 0; c < 2; ++c) {
            u64 *poly = product + (c * k + q) * n_;
            for (size_t i = 0; i < n_; ++i) poly[i] = add_mod(poly[i], added[c * n_ + i], p);
            engine(q).inverse(poly);
        }
        u64 *second = product + (k + q) * n_;
        for (size_t i = 0; i < n_; ++i) second[i] = add_mod(second[i], signed_residue(error[i], p), p);
    }
}

// Divides values with these residues, (primes, count), by the primes from `kept` on, rounding to the nearest each time.
void Context::switch_down(u64 *residues, size_t kept, size_t count) const {
    for (size_t r = primes() - 1; r >= kept; --r)
        for (size_t i = 0; i < r; ++i)
            engine(i).divide(residues + i * count, residues + r * count, engine(r).prime(), inverse_of_[r][i], count);
}

void Context::finish(const Finish &f, u64 *product, const u64 *zero, const u64 *random, const int32_t *positions,
                     const u64 *flood, const u64 *masks, size_t used, uint8_t *out) const {
    const size_t k = primes(), kept = static_cast<size_t>(f.kept);
    rerandomise(product, zero, random);
    u64 *second = product + k * n_;
    switch_down(second, kept, n_);
    for (size_t q = 0; q < kept; ++q) out = pack_bits(second + q * n_, n_, bit_length(engine(q).prime()), out);

    const u128 below = (static_cast<u128>(1) << f.flood_bits) - 1;
    const size_t wide = (static_cast<size_t>(f.flood_bits) + 31) / 32;
    std::vector<int64_t> limbs(std::max<size_t>(wide, 2) * used);
    for (size_t i = 0; i < used; ++i) {
        const u64 *w = flood + 4 * i;
        put_difference(join(w[1], w[0]) & below, join(w[3], w[2]) & below, wide, used, &limbs[i]);
    }
    std::vector<u64> first(k * used);
    for (size_t q = 0; q < k; ++q) {
        u64 *values = &first[q * used];
        std::vector<u64> powers{1};
        while (powers.size() < wide) powers.push_back(mul_mod(powers.back(), u64{1} << 32, engine(q).prime()));
        for (size_t i = 0; i < used; ++i) values[i] = product[q * n_ + static_cast<size_t>(positions[i])];
        engine(q).add_products(values, limbs.data(), powers, used);
    }
    switch_down(first.data(), kept, used);

    const Scale scale = scale_of(kept, f.ring_bits);
    for (size_t i = 0; i < used; ++i) put_difference(scale.rest(masks[i]), 0, 2, used, &limbs[i]);
    for (size_t q = 0; q < kept; ++q) {
        u64 *values = &first[q * used];
        const u64 p = engine(q).prime();
        engine(q).add_products(values, limbs.data(), scale.factors(p), used);
        for (size_t i = 0; i < used; ++i) values[i] = add_mod(values[i], (p + 1) / 2, p) >> f.drop_bits;
        out = pack_bits(values, used, bit_length(p) - f.drop_bits, out);
    }
}

}  // namespace rlwe

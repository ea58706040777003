// A client's half: secret key, encryption under it, decryption (BFV with a plaintext modulus 2^bits).
#include <cstring>

#include "he.h"
#include "parallel.h"

namespace rlwe {

void Context::secret_key(const u64 *random, u64 *out) const {
    for (size_t q = 0; q < primes(); ++q, out += n_) {
        for (size_t i = 0; i < n_; ++i) out[i] = signed_residue(ternary(random[i]), engine(q).prime());
        engine(q).forward(out);
    }
}

void Context::encrypt(const u64 *secret, const u64 *random, const u64 *message, int bits, u64 *half) const {
    const Scale scale = scale_of(primes(), bits);
    std::vector<int64_t> limbs(3 * n_);
    for (size_t i = 0; i < n_; ++i) {
        const u64 rest = scale.rest(message[i]);
        limbs[i] = static_cast<int64_t>(rest & 0xffffffff);
        limbs[n_ + i] = static_cast<int64_t>(rest >> 32);
        limbs[2 * n_ + i] = noise(random[i]);
    }
    pi::parallel_for(primes(), 1, [&](size_t begin, size_t end) {
        for (size_t q = begin; q < end; ++q) {
            const u64 p = engine(q).prime();
            u64 *part = half + q * n_;
            std::vector<u64> factors = scale.factors(p);
            factors.push_back(1);
            times_secret(q, secret, part);
            for (size_t i = 0; i < n_; ++i) part[i] = sub_mod((p + 1) / 2, part[i], p);
            engine(q).add_products(part, limbs.data(), factors, n_);
        }
    });
}

// One coefficient x of first + second * secret has residues x_i; its message is (2^bits / q) x = sum 2^bits y_i / p_i modulo
// 2^bits, with y_i = x_i (p_i / q) mod p_i. The fractions y_i / p_i are summed modulo 1 in units of 2^-128; what
// is lost there, less than kept * 2^51 units, is below 2^-12 of a message's unit.
void Context::decrypt(const u64 *secret, size_t kept, int bits, const u64 *first, const u64 *second,
                      const int32_t *positions, size_t used, u64 *out) const {
    std::vector<u64> hidden(kept * n_);
    pi::parallel_for(kept, 1, [&](size_t begin, size_t end) {
        for (size_t q = begin; q < end; ++q) {
            std::memcpy(&hidden[q * n_], second + q * n_, n_ * sizeof(u64));
            times_secret(q, secret, &hidden[q * n_]);
        }
    });
    std::vector<u128> fractions(used);
    for (size_t q = 0; q < kept; ++q) {
        const u64 p = engine(q).prime();
        u64 cofactor = 1;
        for (size_t r = 0; r < kept; ++r)
            if (r != q) cofactor = inverse_of_[r][q].times(cofactor, p);
        const Factor factor(cofactor, p);
        const u128 reciprocal = ~u128{0} / p;
        for (size_t i = 0; i < used; ++i) {
            const u64 x = add_mod(first[q * used + i], hidden[q * n_ + static_cast<size_t>(positions[i])], p);
            fractions[i] += reciprocal * factor.times(x, p);
        }
    }
    for (size_t i = 0; i < used; ++i) out[i] = static_cast<u64>((fractions[i] + (u128{1} << (127 - bits))) >> (128 - bits));
}

// Modulo the q-th prime, coefficients.
void Context::times_secret(size_t q, const u64 *secret, u64 *polynomial) const {
    engine(q).forward(polynomial);
    engine(q).scale(polynomial, secret + q * n_);
    engine(q).inverse(polynomial);
}

}  // namespace rlwe

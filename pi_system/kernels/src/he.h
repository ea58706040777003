// Arithmetic on RLWE ciphertexts modulo a few NTT-friendly primes: what the linear_he protocol computes.
//
// No branch, index or division depends on what is secret: keys, errors, messages, weights and masks. Residues are reduced
// by masks and minima, quotients are multiplications by reciprocals, bits are counted without a table.
//
// A polynomial of Z_p[x] / (x^n + 1) is n words. The evaluation domain's form and order of values belong to the engine that
// made them (products only meet values of the same engine). Weights and inputs there are stored in blocks of BLOCK
// values so that one product of many polynomials reads memory as one stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rlwe {

using u64 = uint64_t;
using u128 = unsigned __int128;

constexpr size_t BLOCK = 32;
constexpr int MAX_PRIME_BITS = 51;  // lazy values below 2 p must fit the 52-bit multiplier
constexpr int FMA_PRIME_BITS = 47;  // sums of up to 16 p must stay below 2^51; larger primes take the portable engine

inline u64 mul_mod(u64 a, u64 b, u64 p) { return static_cast<u64>(static_cast<u128>(a) * b % p); }
u64 pow_mod(u64 base, u64 exponent, u64 p);
inline int bit_length(u64 v) { return 64 - __builtin_clzll(v); }
// v or v - m, whichever is not negative: for v below m + 2^63.
inline u64 reduce_once(u64 v, u64 m) {
    const u64 less = v - m;
    return less + (m & (0 - (less >> 63)));
}
inline u64 add_mod(u64 a, u64 b, u64 p) { return reduce_once(a + b, p); }
inline u64 sub_mod(u64 a, u64 b, u64 p) { return reduce_once(a + p - b, p); }
inline u64 signed_residue(int64_t value, u64 p) { return static_cast<u64>(value) + (p & static_cast<u64>(value >> 63)); }
// A primitive 2n-th root of unity modulo p; throws std::invalid_argument when there is none.
u64 primitive_root(size_t n, u64 p);
// Powers of `root` in the bit-reversed order of Longa and Naehrig 2016, algorithms 1 and 2.
std::vector<u64> root_powers(size_t n, u64 root, u64 p);

// A constant factor with its Shoup quotient, floor(value * 2^64 / p).
struct Factor {
    u64 value = 0, quotient = 0;

    Factor() = default;
    Factor(u64 v, u64 p) : value(v), quotient(static_cast<u64>((static_cast<u128>(v) << 64) / p)) {}
    // a * value mod p in [0, 2 p), for any 64-bit a.
    u64 times_lazy(u64 a, u64 p) const {
        return a * value - static_cast<u64>((static_cast<u128>(a) * quotient) >> 64) * p;
    }
    u64 times(u64 a, u64 p) const { return reduce_once(times_lazy(a, p), p); }
};

bool fma_available();

// out[o * out_stride + c * out_half] = sum_j w[.][o][j] * inputs[.][select[j]][c], `blocks` times BLOCK words, or that added.
struct Product {
    const u64 *weights;  // (blocks / copies, outputs, terms, BLOCK), values of polynomials v of degree n / copies: w = v(x^copies)
    const u64 *inputs;   // (blocks, available, 2, BLOCK)
    const int32_t *select;
    size_t outputs, terms, available, copies, blocks;
    u64 *out;
    size_t out_stride, out_half;
    bool add;  // to what is there

    // The weights of the first term for a run of `lanes` words, those that an engine's transforms treat side by side; of
    // the others BLOCK further each. `forward` of v(x^k), k a power of two, has each run of `forward` of v, of degree
    // n / k, k times one after the other: its last layers of butterflies meet zeros.
    const u64 *weights_of(size_t run, size_t lanes, size_t output) const {
        const size_t word = run / copies * lanes;
        return weights + (word / BLOCK * outputs + output) * terms * BLOCK + word % BLOCK;
    }
    const u64 *inputs_of(size_t block, size_t term) const {
        return inputs + (block * available + static_cast<size_t>(select[term])) * 2 * BLOCK;
    }
    u64 *out_of(size_t block, size_t output) const { return out + output * out_stride + block * BLOCK; }
};

// What one prime needs. `forward` takes coefficients in [0, p) and yields what `multiply` and `scale` take, in a form of
// the engine's own; these yield values in [0, p), which `inverse` takes back to coefficients. Transforms are in place.
class Engine {
  public:
    // `fma`: loops over arrays may take that path, where the machine and the prime allow it.
    Engine(size_t n, u64 p, bool fma)
        : n_(n), p_(p), unit_(1, p), high_((~u64{0} % p + 1) % p, p),
          fma_(fma && fma_available() && p >> FMA_PRIME_BITS == 0) {}
    virtual ~Engine() = default;
    virtual void forward(u64 *a) const = 0;
    virtual void inverse(u64 *a) const = 0;
    // a[i] *= factors[i], both of `forward`.
    virtual void scale(u64 *a, const u64 *factors) const = 0;
    virtual void multiply(const Product &product) const = 0;
    // a[i] += sum_j factors[j] limbs[j * count + i] modulo p; a and factors in [0, p), limbs within (-2^33, 2^33).
    void add_products(u64 *a, const int64_t *limbs, const std::vector<u64> &factors, size_t count) const;
    // a[i] = (a[i] - r) / divisor modulo p, r the number nearest to 0 that is rest[i] modulo divisor, an odd one;
    // inverse: of the divisor.
    void divide(u64 *a, const u64 *rest, u64 divisor, const Factor &inverse, size_t count) const;
    u64 prime() const { return p_; }
    // v mod p, for any v.
    u64 residue(u64 v) const { return unit_.times(v, p_); }
    u64 wide_residue(u128 v) const {
        const u64 low = unit_.times_lazy(static_cast<u64>(v), p_), high = high_.times_lazy(static_cast<u64>(v >> 64), p_);
        return reduce_once(reduce_once(low + high, 2 * p_), p_);
    }

  protected:
    size_t n_;
    u64 p_;

  private:
    Factor unit_, high_;  // 1 and 2^64
    bool fma_;
};

std::unique_ptr<Engine> make_portable(size_t n, u64 p);
std::unique_ptr<Engine> make_ifma(size_t n, u64 p);
std::unique_ptr<Engine> make_fma(size_t n, u64 p);
bool ifma_available();

// What the engine's loops have done of `count` elements, whole registers: he_fma.cpp.
size_t add_products_fma(u64 p, u64 *a, const int64_t *limbs, const std::vector<u64> &factors, size_t count);
size_t divide_fma(u64 p, u64 *a, const u64 *rest, u64 divisor, u64 inverse, size_t count);

// What a server does to a product before it leaves; see pi_system/protocols/linear_he/server.py for the meaning.
struct Finish {
    int ring_bits;   // l
    int flood_bits;  // noise a - b with a and b uniform in [0, 2^f)
    int kept;        // primes of the answer: the first 1 or 2
    int drop_bits;   // low bits of the masked half that are not sent; 0 where two primes are kept
};

// round(q * value / 2^bits) modulo each prime p of q: q * value + half = 2^bits * scaled + rest with half = 2^(bits - 1), and
// p divides q, so that scaled is 1 / 2 - rest / 2^bits mod p, with 1 / 2 = (p + 1) / 2.
class Scale {
  public:
    // `product`: q modulo 2^64.
    Scale(u64 product, int bits) : product_(product), half_(u64{1} << (bits - 1)), bits_(static_cast<u64>(bits)) {}
    u64 rest(u64 value) const { return (product_ * value + half_) & (2 * half_ - 1); }
    // - 1 / 2^bits modulo p for the low 32 bits of a rest and for those above: with them, and with 1 / 2, it is scaled.
    std::vector<u64> factors(u64 p) const {
        const u64 low = p - pow_mod((p + 1) / 2, bits_, p);
        return {low, mul_mod(low, (u64{1} << 32) % p, p)};
    }

  private:
    u64 product_, half_, bits_;
};

class Context {
  public:
    Context(size_t n, const std::vector<u64> &primes, const std::string &path);
    Context(const Context &) = delete;
    Context &operator=(const Context &) = delete;
    size_t n() const { return n_; }
    size_t primes() const { return engines_.size(); }
    const Engine &engine(size_t i) const { return *engines_[i]; }

    // (count, 2, primes, n) coefficients below their primes -> (primes, n / BLOCK, count, 2, BLOCK).
    void load_inputs(const u64 *in, size_t count, u64 *out) const;
    // (outputs, terms, n) small signed coefficients -> (primes, n / BLOCK, outputs, terms, BLOCK).
    void load_weights(const int32_t *in, size_t outputs, size_t terms, u64 *out) const;
    // -> (outputs, 2, primes, n), evaluation domain. The weights are of degree n / copies and stand for w(x^copies).
    void multiply(const u64 *weights, const u64 *inputs, const int32_t *select, size_t outputs, size_t terms,
                  size_t available, size_t copies, u64 *out) const;
    // The same of weights that are used once, for `sets` selections: (outputs, terms, n of narrow) small signed
    // coefficients, select (sets, terms) -> (sets, outputs, 2, primes, n). narrow: a context of the degree of the weights.
    void multiply_once(const Context &narrow, const int32_t *weights, const u64 *inputs, const int32_t *select,
                       size_t sets, size_t outputs, size_t terms, size_t available, u64 *out) const;
    // product: (2, primes, n), evaluation domain; zero: one input of load_inputs; random: (n, 2) words; positions of
    // the used coefficients with their flood, (used, 4) words, and masks below 2^l. Writes, packed, for each kept
    // prime n values of c1, then for each the used values of c0.
    void finish(const Finish &f, u64 *product, const u64 *zero, const u64 *random, const int32_t *positions,
                const u64 *flood, const u64 *masks, size_t used, uint8_t *out) const;

    // A client's half. random: n words. -> (primes, n), evaluation domain: a secret of uniform ternary coefficients.
    void secret_key(const u64 *random, u64 *out) const;
    // half: the second half of a ciphertext, (primes, n) coefficients, in; the first, (q / 2^bits) message + error - second
    // * secret, rounded, out. message: n values below 2^bits; random: n words, of which the errors are made.
    void encrypt(const u64 *secret, const u64 *random, const u64 *message, int bits, u64 *half) const;
    // The messages (first + second * secret) 2^bits / q, rounded, at `used` positions; q is the product of the first
    // `kept` primes. first: (kept, used), second: (kept, n).
    void decrypt(const u64 *secret, size_t kept, int bits, const u64 *first, const u64 *second,
                 const int32_t *positions, size_t used, u64 *out) const;

  private:
    void load(size_t q, const int32_t *in, u64 *poly) const;
    void rerandomise(u64 *product, const u64 *zero, const u64 *random) const;
    void switch_down(u64 *residues, size_t kept, size_t count) const;
    Scale scale_of(size_t kept, int bits) const;
    void times_secret(size_t q, const u64 *secret, u64 *polynomial) const;

    size_t n_;
    std::vector<std::unique_ptr<Engine>> engines_;
    std::vector<std::vector<Factor>> inverse_of_;  // [r][i] = 1 / p_r mod p_i
};

// Centred binomial: 21 coin flips less 21 others, standard deviation 3.24. Both are counted at once, each in 32 bits.
inline int64_t noise(u64 word) {
    constexpr u64 FLIPS = (u64{1} << 21) - 1;
    u64 count = (word & FLIPS) | ((word >> 21 & FLIPS) << 32);
    count -= count >> 1 & 0x5555555555555555;
    count = (count & 0x3333333333333333) + (count >> 2 & 0x3333333333333333);
    count = ((count + (count >> 4)) & 0x0f0f0f0f0f0f0f0f) * 0x01010101;
    return static_cast<int64_t>(count >> 24 & 0xff) - static_cast<int64_t>(count >> 56);
}

// Uniform in {-1, 0, 1}, off by at most 2^-62.
inline int64_t ternary(u64 word) { return static_cast<int64_t>((static_cast<u128>(word) * 3) >> 64) - 1; }

// (primes, n) uniform residues: word after word of AES-128 in counter mode, those of the first prime first, cut to the
// prime's bits; those not below it are drawn again, in the same order, from the words behind. key32: the key, then the
// first counter block, big-endian.
void expand(const uint8_t *key32, const std::vector<u64> &primes, size_t n, u64 *out);

}  // namespace rlwe

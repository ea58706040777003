// Arithmetic on RLWE ciphertexts modulo a few NTT-friendly primes: what the linear_he protocol's server computes.
//
// A polynomial of Z_p[x] / (x^n + 1) is n words. The evaluation domain's order of values belongs to the engine that
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

inline u64 mul_mod(u64 a, u64 b, u64 p) { return static_cast<u64>(static_cast<u128>(a) * b % p); }
u64 pow_mod(u64 base, u64 exponent, u64 p);
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
    u64 times(u64 a, u64 p) const {
        const u64 v = times_lazy(a, p);
        return v >= p ? v - p : v;
    }
};

// What one prime needs: transforms in place, values in [0, p) before and after.
class Engine {
  public:
    Engine(size_t n, u64 p) : n_(n), p_(p) {}
    virtual ~Engine() = default;
    virtual void forward(u64 *a) const = 0;
    virtual void inverse(u64 *a) const = 0;
    // out[o * out_stride + c * n] = sum_j weights[.][o][j] * inputs[.][select[j]][c]: weights (n / BLOCK, outputs,
    // terms, BLOCK), inputs (n / BLOCK, available, 2, BLOCK), c = 0 and 1 out_half words apart.
    virtual void multiply(const u64 *weights, const u64 *inputs, const int32_t *select, size_t outputs, size_t terms,
                          size_t available, u64 *out, size_t out_stride, size_t out_half) const = 0;
    u64 prime() const { return p_; }

  protected:
    size_t n_;
    u64 p_;
};

std::unique_ptr<Engine> make_portable(size_t n, u64 p);
std::unique_ptr<Engine> make_ifma(size_t n, u64 p);
bool ifma_available();

// What a server does to a product before it leaves; see pi_system/protocols/linear_he/server.py for the meaning.
struct Finish {
    int ring_bits;   // l
    int flood_bits;  // noise a - b with a and b uniform in [0, 2^f)
    int kept;        // primes of the answer: the first 1 or 2
    int drop_bits;   // low bits of the masked half that are not sent; 0 where two primes are kept
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
    // -> (outputs, 2, primes, n), evaluation domain.
    void multiply(const u64 *weights, const u64 *inputs, const int32_t *select, size_t outputs, size_t terms,
                  size_t available, u64 *out) const;
    // product: (2, primes, n), evaluation domain; zero: one input of load_inputs; random: (n, 2) words; positions of
    // the used coefficients with their flood, (used, 4) words, and masks below 2^l. Writes, packed, for each kept
    // prime n values of c1, then for each the used values of c0.
    void finish(const Finish &f, u64 *product, const u64 *zero, const u64 *random, const int32_t *positions,
                const u64 *flood, const u64 *masks, size_t used, uint8_t *out) const;

  private:
    void rerandomise(u64 *product, const u64 *zero, const u64 *random) const;
    void switch_down(u64 *residues, size_t kept) const;
    void scale_up(u64 value, int bits, size_t kept, u64 *residues) const;

    size_t n_;
    std::vector<std::unique_ptr<Engine>> engines_;
    std::vector<std::vector<Factor>> inverse_of_;  // [r][i] = 1 / p_r mod p_i
};

// (primes, n) uniform residues from a seed of 64 bytes.
void expand_seed(const uint8_t *seed64, const std::vector<u64> &primes, size_t n, u64 *out);

}  // namespace rlwe

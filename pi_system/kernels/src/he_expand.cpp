// The public half of a seeded ciphertext, as SEAL 4 derives it (native/src/seal/randomgen.cpp, Blake2xbPRNG, and
// util/rlwe.cpp, sample_poly_uniform). BLAKE2b is RFC 7693; BLAKE2Xb is its authors' extension to long outputs.
#include "he.h"

#include <cstring>

namespace rlwe {
namespace {

constexpr u64 IV[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                       0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

constexpr uint8_t SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

constexpr size_t BUFFER = 4096;  // of Blake2xbPRNG, bytes; also the BLAKE2Xb output length

u64 rotate(u64 x, int by) { return (x >> by) | (x << (64 - by)); }

void mix(u64 *v, int a, int b, int c, int d, u64 x, u64 y) {
    v[a] += v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 63);
}

void compress(u64 *h, const u64 *block, u64 length, bool last) {
    u64 v[16];
    for (int i = 0; i < 8; ++i) {
        v[i] = h[i];
        v[8 + i] = IV[i];
    }
    v[12] ^= length;
    if (last) v[14] = ~v[14];
    for (int r = 0; r < 12; ++r) {
        const uint8_t *s = SIGMA[r % 10];
        for (int i = 0; i < 4; ++i) mix(v, i, 4 + i, 8 + i, 12 + i, block[s[2 * i]], block[s[2 * i + 1]]);
        for (int i = 0; i < 4; ++i)
            mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, block[s[8 + 2 * i]], block[s[9 + 2 * i]]);
    }
    for (int i = 0; i < 8; ++i) h[i] ^= v[i] ^ v[8 + i];
}

class Stream {
  public:
    explicit Stream(const uint8_t *seed64) { std::memcpy(seed_, seed64, sizeof seed_); }

    u64 next() {
        if (at_ == BUFFER / 8) refill();
        return buffer_[at_++];
    }

  private:
    void refill() {
        // Root: BLAKE2b keyed with the seed, of the counter; its tree parameters hold the output length.
        u64 root[16];
        std::memcpy(root, IV, sizeof IV);
        root[0] ^= 64 | (64 << 8) | (1 << 16) | (1 << 24);
        root[1] ^= static_cast<u64>(BUFFER) << 32;
        u64 block[16] = {};
        std::memcpy(block, seed_, sizeof seed_);
        compress(root, block, 128, false);
        const u64 message[16] = {counter_++};
        compress(root, message, 136, true);
        std::memset(root + 8, 0, 64);
        for (size_t i = 0; i < BUFFER / 64; ++i) {
            u64 *leaf = buffer_ + 8 * i;
            std::memcpy(leaf, IV, sizeof IV);
            leaf[0] ^= 64 | (u64{64} << 32);
            leaf[1] ^= i | (static_cast<u64>(BUFFER) << 32);
            leaf[2] ^= u64{64} << 8;
            compress(leaf, root, 64, true);
        }
        at_ = 0;
    }

    u64 seed_[8], buffer_[BUFFER / 8];
    u64 counter_ = 0;
    size_t at_ = BUFFER / 8;
};

}  // namespace

void expand_seed(const uint8_t *seed64, const std::vector<u64> &primes, size_t n, u64 *out) {
    Stream stream(seed64);
    for (size_t i = 0; i < n * primes.size(); ++i) out[i] = stream.next();
    for (size_t q = 0; q < primes.size(); ++q) {
        const u64 p = primes[q], bound = ~u64{0} - ~u64{0} % p - 1;
        for (size_t i = 0; i < n; ++i) {
            u64 &word = out[q * n + i];
            while (word >= bound) word = stream.next();
            word %= p;
        }
    }
}

}  // namespace rlwe

// The public half of a seeded ciphertext.
#include <cstring>

#include "aes.h"
#include "he.h"

namespace rlwe {
namespace {

constexpr size_t SPARE = 32;  // words drawn again at a time

struct Counter {
    u64 high, low;

    // Takes the next keystream words, an even number of them.
    void draw(const pi::AesKey &key, u64 *out, size_t words) {
        pi::backend().ctr(key, high, low, reinterpret_cast<uint8_t *>(out), words / 2);
        low += words / 2;
        high += low < words / 2;
    }
};

}  // namespace

void expand(const uint8_t *key32, const std::vector<u64> &primes, size_t n, u64 *out) {
    pi::AesKey key;
    pi::backend().expand(key32, key);
    u64 start[2], spare[SPARE];
    std::memcpy(start, key32 + 16, sizeof start);
    Counter counter{__builtin_bswap64(start[0]), __builtin_bswap64(start[1])};
    counter.draw(key, out, n * primes.size());
    size_t at = SPARE;
    for (u64 p : primes) {
        const u64 mask = ~u64{0} >> __builtin_clzll(p);
        for (u64 *end = out + n; out < end; ++out)
            for (*out &= mask; *out >= p; *out = spare[at++] & mask)
                if (at == SPARE) {
                    counter.draw(key, spare, SPARE);
                    at = 0;
                }
    }
}

}  // namespace rlwe

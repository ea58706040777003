// Correlation-robust hashing by a fixed-key permutation, a batch at a time.
#include "ot.h"

namespace pi {
namespace {

// sigma of 2019/074: a linear orthomorphism.
inline Pair sigma(Pair x) { return {x.hi, x.hi ^ x.lo}; }

template <bool TWEAKED>
void hash(const Pair *in, Pair *out, size_t n, uint64_t tweak) {
    const Backend &be = backend();
    const AesKey &key = ot_permutation();
    Pair before[HASH_BATCH], after[HASH_BATCH];
    for (size_t at = 0; at < n; at += HASH_BATCH) {
        const size_t now = n - at < HASH_BATCH ? n - at : HASH_BATCH;
        for (size_t i = 0; i < now; i++) {
            before[i] = sigma(in[at + i]);
            if (TWEAKED) before[i].lo ^= tweak + at + i;
        }
        be.ecb(key, reinterpret_cast<const uint8_t *>(before), reinterpret_cast<uint8_t *>(after), now);
        for (size_t i = 0; i < now; i++) out[at + i] = before[i] ^ after[i];
    }
}

}  // namespace

const AesKey &ot_permutation() {
    static const AesKey key = [] {
        static const uint8_t pi_digits[16] = {0x24, 0x3f, 0x6a, 0x88, 0x85, 0xa3, 0x08, 0xd3,
                                              0x13, 0x19, 0x8a, 0x2e, 0x03, 0x70, 0x73, 0x44};
        AesKey expanded;
        backend().expand(pi_digits, expanded);
        return expanded;
    }();
    return key;
}

void cr_hash(const Pair *in, Pair *out, size_t n, uint64_t tweak) { hash<true>(in, out, n, tweak); }
void tree_hash(const Pair *in, Pair *out, size_t n) { hash<false>(in, out, n, 0); }

}  // namespace pi

// Correlation-robust hashing by a fixed-key permutation, a batch at a time, and a level of trees made by it.
#include <algorithm>

#include "ot.h"
#include "ot_vaes.h"

namespace pi {
namespace {

// sigma of 2019/074: a linear orthomorphism.
inline Pair sigma(Pair x) { return {x.hi, x.hi ^ x.lo}; }

// out_i = P(s_i) ^ s_i.
void permuted(const Pair *s, Pair *out, size_t n) {
    backend().ecb(ot_permutation(), reinterpret_cast<const uint8_t *>(s), reinterpret_cast<uint8_t *>(out), n);
    for (size_t i = 0; i < n; i++) out[i] ^= s[i];
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

void cr_hash(const Pair *in, Pair *out, size_t n, uint64_t tweak, Pair offset) {
#ifdef PI_X86
    if (backend().wide) return cr_hash_vaes(ot_permutation(), in, offset, out, n, tweak);
#endif
    Pair before[HASH_BATCH];
    for (size_t at = 0; at < n; at += HASH_BATCH) {
        const size_t now = std::min(n - at, HASH_BATCH);
        for (size_t i = 0; i < now; i++) {
            before[i] = sigma(in[at + i] ^ offset);
            before[i].lo ^= tweak + at + i;
        }
        permuted(before, out + at, now);
    }
}

Sides expand_level(Pair *nodes, size_t count, uint64_t keep) {
#ifdef PI_X86
    if (backend().wide) return expand_level_vaes(ot_permutation(), nodes, count, keep);
#endif
    Pair parents[HASH_BATCH], before[HASH_BATCH], hashed[HASH_BATCH];
    Sides sums = {};
    for (size_t end = count; end > 0;) {  // from the last to the first, so that it works in place
        const size_t now = std::min(end, HASH_BATCH), begin = end - now;
        std::copy(nodes + begin, nodes + end, parents);
        for (size_t i = 0; i < now; i++) before[i] = sigma(parents[i]);
        permuted(before, hashed, now);
        for (size_t i = 0; i < now; i++) {
            const Pair left = hashed[i], right = hashed[i] ^ parents[i];
            sums.left ^= left;
            sums.right ^= right;
            nodes[2 * (begin + i)] = {left.lo & keep, left.hi};
            nodes[2 * (begin + i) + 1] = {right.lo & keep, right.hi};
        }
        end = begin;
    }
    return sums;
}

}  // namespace pi

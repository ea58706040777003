// Distributed comparison function with a one-bit output: e_0 ^ e_1 = [x < alpha] ^ a_0 ^ a_1.
//
// Boyle et al. (EUROCRYPT 2021, eprint 2020/1392, figure 1) over the output group Z_2, made narrow:
//  * child d of a node with seed s is AES_K(s | d) ^ (s | d), one call a level on the evaluated path. K is
//  public,
//    one for each block of 32 instances, which bounds multi-target attacks to the keys of one block.
//  * bits 0, 1, 2 of a node's block are not seed: 0 and 2 are the control bits of the left and right child, 1
//  is
//    the output bit. One 128-bit correction word a level corrects seed and flags together. Seeds have 125
//    bits.
//  * the last LEAF_BITS levels are replaced by a table of 2^LEAF_BITS bits expanded from the node
//    (early termination), of which an evaluation computes the one 128-bit half it needs.
//  * bit 1 of the root block of party b is a_b, so that e_b is masked by a bit only party b knows.
//
// Layout of a block of 32 keys: level by level 32 correction words of 16 bytes, then 32 words for the low
// half of the leaf table, then 32 for the high half: evaluation reads one aligned stream.
#pragma once

#include "aes.h"

namespace pi {

constexpr int LEAF_BITS = 8;
constexpr uint64_t FLAGS = 7;       // the bits of a node's block that are not seed
constexpr uint64_t OUTPUT_BIT = 2;  // the flag that carries the output

inline int bit_levels(int bits) { return bits > LEAF_BITS ? bits - LEAF_BITS : 0; }
inline size_t bit_block_bytes(int bits) { return LANES * 16 * static_cast<size_t>(bit_levels(bits) + 2); }

// Evaluates 32 keys of `bits` bits at x; bit i of the result is e_party of instance i.
uint32_t bit_eval_generic(const Backend &be, const AesKey &key, const Block *root, int party,
                          const uint8_t *words, int bits, const uint64_t *x);
// Deals 32 keys for thresholds alpha (< 2^bits).
void bit_deal_generic(const Backend &be, const AesKey &key, const Block *root0, const Block *root1,
                      const uint64_t *alpha, int bits, uint8_t *words);

// 2 where the path bit of this level is set, else 0; `bit` counts from the least significant, at least 1.
inline uint64_t direction(uint64_t x, int bit) { return (x >> (bit - 1)) & 2; }

// out = AES(in) ^ in for n blocks.
inline void mmo(const Backend &be, const AesKey &key, const Block *in, Block *out, size_t n) {
    be.ecb(key, reinterpret_cast<const uint8_t *>(in), reinterpret_cast<uint8_t *>(out), n);
    for (size_t i = 0; i < n; i++) {
        out[i].lo ^= in[i].lo;
        out[i].hi ^= in[i].hi;
    }
}

// Entries 64 q .. 64 q + 63 of the table [j < threshold].
inline uint64_t less_than_word(uint64_t threshold, uint64_t q) {
    const uint64_t count = threshold > 64 * q ? threshold - 64 * q : 0;
    return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

}  // namespace pi

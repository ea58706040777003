// Distributed comparison function with three ring elements as payload: shares of [x < alpha] * beta, added.
//
// Boyle et al. (EUROCRYPT 2021, eprint 2020/1392, figure 1) over Z_2^64 or Z_2^32, with the nodes of
// dcf_bit.h. The payload of a child comes from its parent's seed by calls of its own (the words of one call
// for 32-bit elements, of two for 64-bit ones). The last ARITH_LEAF_BITS levels are a table of payloads.
//
// Layout of a block of 32 keys: for each level 32 correction words of 16 bytes, then 3 x 32 elements; then
// the leaf table, 4 x 3 x 32 elements.
#pragma once

#include "aes.h"

namespace pi {

constexpr int ARITH_LEAF_BITS = 2;
constexpr size_t PAYLOAD = 3;

inline int arith_levels(int bits) { return bits > ARITH_LEAF_BITS ? bits - ARITH_LEAF_BITS : 0; }

inline size_t arith_block_bytes(int bits, size_t element_bytes) {
    const size_t payload = PAYLOAD * LANES * element_bytes;
    return static_cast<size_t>(arith_levels(bits)) * (16 * LANES + payload) + (payload << ARITH_LEAF_BITS);
}

// out[p][i] is the party's share of element p of instance i, modulo 2^(8 * element_bytes).
void arith_eval(const Backend &be, size_t element_bytes, const AesKey &key, const Block *root, int party,
                const uint8_t *words, int bits, const uint64_t *x, uint64_t (*out)[LANES]);
void arith_deal(const Backend &be, size_t element_bytes, const AesKey &key, const Block *root0,
                const Block *root1, const uint64_t *alpha, const uint64_t (*beta)[LANES], int bits,
                uint8_t *words);

}  // namespace pi

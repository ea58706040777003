// Comparison by a shared table: T_0[x] ^ T_1[x] = [x < alpha] ^ a for every x of at most TABLE_BITS bits.
//
// One-time truth tables (Ishai et al., TCC 2013): T_1 comes from party 1's seed, T_0 is the dealer's, so each is uniform
// by itself, and an evaluation reads one bit. x is known to both parties: reading where it says tells nothing more.
//
// Layout of a block of 32 tables: for every x 32 bits, one an instance.
#pragma once

#include "aes.h"

namespace pi {

constexpr int TABLE_BITS = 7;
constexpr size_t TABLE_BLOCK_MOST = size_t{4} << TABLE_BITS;

inline size_t table_block_bytes(int bits) { return size_t{4} << bits; }

// Party 1's 32 tables of a block.
void table_stream(const Backend &be, const AesKey &key, size_t block, int bits, uint8_t *words);
// Turns party 1's tables into party 0's, for thresholds alpha (< 2^bits) and `masks`, bit i of instance i.
void table_deal(const uint64_t *alpha, uint32_t masks, int bits, uint8_t *words);
// Bit i of the result is instance i's entry x[i].
uint32_t table_eval(const uint8_t *words, const uint64_t *x);

}  // namespace pi

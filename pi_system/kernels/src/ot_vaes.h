// Hashing, trees and bit planes of oblivious transfer on 512-bit registers; see ot.h.
#pragma once

#include "ot.h"

#ifdef PI_X86
namespace pi {

void cr_hash_vaes(const AesKey &key, const Pair *in, Pair offset, Pair *out, size_t n, uint64_t tweak);
Sides expand_level_vaes(const AesKey &key, Pair *nodes, size_t count, uint64_t keep);
// A pass of the code over LPN_ROWS rows whose places are `now`; meanwhile the places of the next pass are made, from
// the keystream from block `counter` on: loads and AES at once take little longer than either.
void lpn_pass_vaes(const AesKey &key, uint64_t counter, uint32_t k, const uint64_t *base, const uint32_t *now,
                   uint32_t *next, Pair *out);
// The first `width` bits of 32 blocks, a word each; words has room for whole pairs of bytes.
void gather_bits_vaes(const Pair *x, int width, uint32_t *words);

}  // namespace pi
#endif

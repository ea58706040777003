// VAES versions of the comparison key; see dcf_bit.h.
#pragma once

#include "aes.h"

#ifdef PI_X86
namespace pi {
uint32_t bit_eval_vaes(const AesKey &key, const Block *root, int party, const uint8_t *words, int bits,
                       const uint64_t *x);
void bit_deal_vaes(const AesKey &key, const Block *root0, const Block *root1, const uint64_t *alpha, int bits,
                   uint8_t *words);
}  // namespace pi
#endif

// 32 values of `bits` bits <-> 4 * bits bytes, value i at bits i * bits of the little-endian bit string.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aes.h"

namespace pi {
void pack32_generic(const uint64_t *values, int bits, uint8_t *out);
void unpack32_generic(const uint8_t *in, int bits, uint64_t *values);
#ifdef PI_X86
void pack32_vbmi(const uint64_t *values, int bits, uint8_t *out);
void unpack32_vbmi(const uint8_t *in, int bits, uint64_t *values);
#endif

inline size_t packed_bytes(size_t count, int bits) { return (count * static_cast<size_t>(bits) + 7) / 8; }
inline uint64_t low_mask(int bits) { return bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }
}  // namespace pi

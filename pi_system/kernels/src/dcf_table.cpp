#include "dcf_table.h"

namespace pi {

void table_stream(const Backend &be, const AesKey &key, size_t block, int bits, uint8_t *words) {
    const size_t nbytes = table_block_bytes(bits), blocks = (nbytes + 15) / 16;
    uint8_t stream[TABLE_BLOCK_MOST];
    be.ctr(key, 0, block * blocks, stream, blocks);
    std::memcpy(words, stream, nbytes);
}

void table_deal(const uint64_t *alpha, uint32_t masks, int bits, uint8_t *words) {
    for (size_t x = 0; x < size_t{1} << bits; x++, words += 4) {
        uint32_t word, less = 0;
        std::memcpy(&word, words, 4);
        for (size_t i = 0; i < LANES; i++) less |= static_cast<uint32_t>(x < alpha[i]) << i;
        word ^= less ^ masks;
        std::memcpy(words, &word, 4);
    }
}

uint32_t table_eval(const uint8_t *words, const uint64_t *x) {
    uint32_t result = 0;
    for (size_t i = 0; i < LANES; i++) {
        uint32_t word;
        std::memcpy(&word, words + 4 * x[i], 4);
        result |= word & (uint32_t{1} << i);
    }
    return result;
}

}  // namespace pi

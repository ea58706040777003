// AES-128 with the ARMv8 cryptography instructions, 8 blocks in flight.
#include "aes.h"

#ifdef PI_ARM
#include <arm_neon.h>

#include "dcf_bit.h"
#include "pack.h"

#define PI_TARGET_ARM __attribute__((target("+crypto")))

namespace pi {
namespace {

// AESE on four equal columns with a zero key is SubBytes alone.
PI_TARGET_ARM void expand(const uint8_t *key16, AesKey &out) {
    std::memcpy(out.rk[0], key16, 16);
    uint8_t rcon = 1;
    for (int r = 1; r < 11; r++) {
        const uint8_t *prev = out.rk[r - 1];
        uint8_t sub[16];
        for (int b = 0; b < 16; b++) sub[b] = prev[12 + (b + 1) % 4];
        vst1q_u8(sub, vaeseq_u8(vld1q_u8(sub), vdupq_n_u8(0)));
        sub[0] ^= rcon;
        rcon = static_cast<uint8_t>((rcon << 1) ^ ((rcon >> 7) * 0x1b));
        for (int b = 0; b < 16; b++) out.rk[r][b] = prev[b] ^ (b < 4 ? sub[b] : out.rk[r][b - 4]);
    }
}

PI_TARGET_ARM void eight(const AesKey &key, const uint8_t *in, uint8_t *out, size_t blocks) {
    uint8x16_t s[8];
    for (size_t i = 0; i < 8; i++) s[i] = vld1q_u8(in + 16 * (i < blocks ? i : 0));
    for (int r = 0; r < 9; r++) {
        const uint8x16_t k = vld1q_u8(key.rk[r]);
        for (int i = 0; i < 8; i++) s[i] = vaesmcq_u8(vaeseq_u8(s[i], k));
    }
    for (size_t i = 0; i < 8; i++) {
        s[i] = veorq_u8(vaeseq_u8(s[i], vld1q_u8(key.rk[9])), vld1q_u8(key.rk[10]));
        if (i < blocks) vst1q_u8(out + 16 * i, s[i]);
    }
}

void ecb(const AesKey &key, const uint8_t *in, uint8_t *out, size_t blocks) {
    for (size_t done = 0; done < blocks; done += 8)
        eight(key, in + 16 * done, out + 16 * done, blocks - done < 8 ? blocks - done : 8);
}

void ctr(const AesKey &key, uint64_t hi, uint64_t lo, uint8_t *out, size_t blocks) {
    uint8_t buf[128];
    for (size_t done = 0; done < blocks; done += 8) {
        for (size_t i = 0; i < 8; i++) counter_block(hi + (lo + done + i < lo), lo + done + i, buf + 16 * i);
        eight(key, buf, out + 16 * done, blocks - done < 8 ? blocks - done : 8);
    }
}

uint32_t bit_eval(const AesKey &key, const Block *root, int party, const uint8_t *words, int bits,
                  const uint64_t *x) {
    return bit_eval_generic(arm_backend, key, root, party, words, bits, x);
}

void bit_deal(const AesKey &key, const Block *root0, const Block *root1, const uint64_t *alpha, int bits,
              uint8_t *words) {
    bit_deal_generic(arm_backend, key, root0, root1, alpha, bits, words);
}

}  // namespace

const Backend arm_backend = {"arm",          expand,           ecb,  ctr, bit_eval, bit_deal,
                             pack32_generic, unpack32_generic, false};

}  // namespace pi
#endif

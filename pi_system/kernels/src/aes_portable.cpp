// Bitsliced AES-128: no tables and no branches on data, 16 blocks at a time.
//
// S-box circuit: Boyar and Peralta, "A small depth-16 circuit for the AES S-box" (eprint 2011/332), its
// 113-gate form. Plane q[i] holds bit i of every byte; byte b of block n is bit 16 * (n % 4) + b of lane n
// / 4.
#include "aes.h"
#include "dcf_bit.h"
#include "pack.h"

namespace pi {
namespace {

constexpr size_t WIDTH = 16;  // blocks in one pass
typedef uint64_t Plane __attribute__((vector_size(32)));

void sub_bytes(Plane *q) {
    const Plane x0 = q[7], x1 = q[6], x2 = q[5], x3 = q[4], x4 = q[3], x5 = q[2], x6 = q[1], x7 = q[0];
    const Plane y14 = x3 ^ x5, y13 = x0 ^ x6, y9 = x0 ^ x3, y8 = x0 ^ x5, t0 = x1 ^ x2, y1 = t0 ^ x7;
    const Plane y4 = y1 ^ x3, y12 = y13 ^ y14, y2 = y1 ^ x0, y5 = y1 ^ x6, y3 = y5 ^ y8, t1 = x4 ^ y12;
    const Plane y15 = t1 ^ x5, y20 = t1 ^ x1, y6 = y15 ^ x7, y10 = y15 ^ t0, y11 = y20 ^ y9, y7 = x7 ^ y11;
    const Plane y17 = y10 ^ y11, y19 = y10 ^ y8, y16 = t0 ^ y11, y21 = y13 ^ y16, y18 = x0 ^ y16;
    const Plane t2 = y12 & y15, t3 = y3 & y6, t4 = t3 ^ t2, t5 = y4 & x7, t6 = t5 ^ t2, t7 = y13 & y16;
    const Plane t8 = y5 & y1, t9 = t8 ^ t7, t10 = y2 & y7, t11 = t10 ^ t7, t12 = y9 & y11, t13 = y14 & y17;
    const Plane t14 = t13 ^ t12, t15 = y8 & y10, t16 = t15 ^ t12, t17 = t4 ^ t14, t18 = t6 ^ t16;
    const Plane t19 = t9 ^ t14, t20 = t11 ^ t16, t21 = t17 ^ y20, t22 = t18 ^ y19, t23 = t19 ^ y21;
    const Plane t24 = t20 ^ y18, t25 = t21 ^ t22, t26 = t21 & t23, t27 = t24 ^ t26, t28 = t25 & t27;
    const Plane t29 = t28 ^ t22, t30 = t23 ^ t24, t31 = t22 ^ t26, t32 = t31 & t30, t33 = t32 ^ t24;
    const Plane t34 = t23 ^ t33, t35 = t27 ^ t33, t36 = t24 & t35, t37 = t36 ^ t34, t38 = t27 ^ t36;
    const Plane t39 = t29 & t38, t40 = t25 ^ t39, t41 = t40 ^ t37, t42 = t29 ^ t33, t43 = t29 ^ t40;
    const Plane t44 = t33 ^ t37, t45 = t42 ^ t41;
    const Plane z0 = t44 & y15, z1 = t37 & y6, z2 = t33 & x7, z3 = t43 & y16, z4 = t40 & y1, z5 = t29 & y7;
    const Plane z6 = t42 & y11, z7 = t45 & y17, z8 = t41 & y10, z9 = t44 & y12, z10 = t37 & y3;
    const Plane z11 = t33 & y4, z12 = t43 & y13, z13 = t40 & y5, z14 = t29 & y2, z15 = t42 & y9;
    const Plane z16 = t45 & y14, z17 = t41 & y8;
    const Plane t46 = z15 ^ z16, t47 = z10 ^ z11, t48 = z5 ^ z13, t49 = z9 ^ z10, t50 = z2 ^ z12;
    const Plane t51 = z2 ^ z5, t52 = z7 ^ z8, t53 = z0 ^ z3, t54 = z6 ^ z7, t55 = z16 ^ z17, t56 = z12 ^ t48;
    const Plane t57 = t50 ^ t53, t58 = z4 ^ t46, t59 = z3 ^ t54, t60 = t46 ^ t57, t61 = z14 ^ t57;
    const Plane t62 = t52 ^ t58, t63 = t49 ^ t58, t64 = z4 ^ t59, t65 = t61 ^ t62, t66 = z1 ^ t63;
    const Plane t67 = t64 ^ t65, s3 = t53 ^ t66;
    q[7] = t59 ^ t63;
    q[6] = t64 ^ ~s3;
    q[5] = t55 ^ ~t67;
    q[4] = s3;
    q[3] = t51 ^ t66;
    q[2] = t47 ^ t65;
    q[1] = t56 ^ ~t62;
    q[0] = t48 ^ ~t60;
}

// Row r of a state is the bits r, r + 4, r + 8, r + 12 of a 16-bit group; it moves down by r columns.
void shift_rows(Plane *q) {
    for (int i = 0; i < 8; i++) {
        const Plane x = q[i];
        q[i] = (x & 0x1111111111111111u) | ((x >> 4) & 0x0222022202220222u) |
               ((x << 12) & 0x2000200020002000u) | ((x >> 8) & 0x0044004400440044u) |
               ((x << 8) & 0x4400440044004400u) | ((x >> 12) & 0x0008000800080008u) |
               ((x << 4) & 0x8880888088808880u);
    }
}

void mix_columns(Plane *q) {
    Plane rot[8], sum[8];
    for (int i = 0; i < 8; i++) {
        rot[i] = ((q[i] >> 1) & 0x7777777777777777u) | ((q[i] << 3) & 0x8888888888888888u);
        sum[i] = q[i] ^ rot[i];
    }
    for (int i = 0; i < 8; i++) {
        const Plane half = ((sum[i] >> 2) & 0x3333333333333333u) | ((sum[i] << 2) & 0xccccccccccccccccu);
        Plane doubled = sum[(i + 7) % 8];  // times x: the planes move up, plane 7 comes back into 0x1b
        if (i == 1 || i == 3 || i == 4) doubled ^= sum[7];
        q[i] = rot[i] ^ half ^ doubled;
    }
}

// Swaps the byte index and the bit index of 8 bytes (Hacker's Delight, 7-3).
inline uint64_t transpose8(uint64_t x) {
    uint64_t t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aau;
    x ^= t ^ (t << 7);
    t = (x ^ (x >> 14)) & 0x0000cccc0000ccccu;
    x ^= t ^ (t << 14);
    t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0u;
    return x ^ t ^ (t << 28);
}

void to_planes(const uint8_t *in, Plane *q) {
    uint8_t planes[8][32];
    for (size_t g = 0; g < 32; g++) {
        uint64_t x;
        std::memcpy(&x, in + 8 * g, 8);
        x = transpose8(x);
        for (int i = 0; i < 8; i++) planes[i][g] = static_cast<uint8_t>(x >> (8 * i));
    }
    std::memcpy(q, planes, sizeof planes);
}

void from_planes(const Plane *q, uint8_t *out) {
    uint8_t planes[8][32];
    std::memcpy(planes, q, sizeof planes);
    for (size_t g = 0; g < 32; g++) {
        uint64_t x = 0;
        for (int i = 0; i < 8; i++) x |= static_cast<uint64_t>(planes[i][g]) << (8 * i);
        x = transpose8(x);
        std::memcpy(out + 8 * g, &x, 8);
    }
}

void add_round_key(Plane *q, const uint8_t *rk) {
    uint64_t half[2];
    std::memcpy(half, rk, 16);
    half[0] = transpose8(half[0]);
    half[1] = transpose8(half[1]);
    for (int i = 0; i < 8; i++) {
        const uint64_t bits = ((half[0] >> (8 * i)) & 0xff) | (((half[1] >> (8 * i)) & 0xff) << 8);
        q[i] ^= (Plane){} + bits * 0x0001000100010001u;
    }
}

void encrypt_pass(const AesKey &key, const uint8_t *in, uint8_t *out) {
    Plane q[8];
    to_planes(in, q);
    add_round_key(q, key.rk[0]);
    for (int r = 1; r < 11; r++) {
        sub_bytes(q);
        shift_rows(q);
        if (r < 10) mix_columns(q);
        add_round_key(q, key.rk[r]);
    }
    from_planes(q, out);
}

void expand(const uint8_t *key16, AesKey &out) {
    std::memcpy(out.rk[0], key16, 16);
    uint8_t rcon = 1;
    for (int r = 1; r < 11; r++) {
        uint8_t buf[16 * WIDTH] = {};
        const uint8_t *prev = out.rk[r - 1];
        for (int b = 0; b < 4; b++) buf[b] = prev[12 + (b + 1) % 4];
        Plane q[8];
        to_planes(buf, q);
        sub_bytes(q);
        from_planes(q, buf);
        buf[0] ^= rcon;
        rcon = static_cast<uint8_t>((rcon << 1) ^ ((rcon >> 7) * 0x1b));
        for (int b = 0; b < 16; b++) out.rk[r][b] = prev[b] ^ (b < 4 ? buf[b] : out.rk[r][b - 4]);
    }
}

void ecb(const AesKey &key, const uint8_t *in, uint8_t *out, size_t blocks) {
    for (; blocks >= WIDTH; blocks -= WIDTH, in += 16 * WIDTH, out += 16 * WIDTH) encrypt_pass(key, in, out);
    if (blocks == 0) return;
    uint8_t buf[16 * WIDTH] = {};
    std::memcpy(buf, in, 16 * blocks);
    encrypt_pass(key, buf, buf);
    std::memcpy(out, buf, 16 * blocks);
}

void ctr(const AesKey &key, uint64_t hi, uint64_t lo, uint8_t *out, size_t blocks) {
    while (blocks > 0) {
        const size_t now = blocks < WIDTH ? blocks : WIDTH;
        uint8_t buf[16 * WIDTH];
        for (size_t i = 0; i < WIDTH; i++) counter_block(hi + (lo + i < lo), lo + i, buf + 16 * i);
        encrypt_pass(key, buf, buf);
        std::memcpy(out, buf, 16 * now);
        hi += lo + now < lo;
        lo += now;
        out += 16 * now;
        blocks -= now;
    }
}

uint32_t bit_eval(const AesKey &key, const Block *root, int party, const uint8_t *words, int bits,
                  const uint64_t *x) {
    return bit_eval_generic(portable_backend, key, root, party, words, bits, x);
}

void bit_deal(const AesKey &key, const Block *root0, const Block *root1, const uint64_t *alpha, int bits,
              uint8_t *words) {
    bit_deal_generic(portable_backend, key, root0, root1, alpha, bits, words);
}

}  // namespace

const Backend portable_backend = {"portable",     expand,           ecb,  ctr, bit_eval, bit_deal,
                                  pack32_generic, unpack32_generic, false};

}  // namespace pi

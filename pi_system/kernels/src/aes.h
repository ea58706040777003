// AES-128 behind one table of functions, so that the instruction set is chosen at run time.
//
// Every backend computes identical bytes. The table also holds the block kernels whose speed depends on
// the instruction set (comparison keys, bit packing): a backend without its own version uses the generic one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the kernels assume a little-endian machine"
#endif

#if defined(__x86_64__)
#define PI_X86 1
#define PI_TARGET_AESNI __attribute__((target("aes,sse4.1,ssse3")))
#define PI_TARGET_VAES \
    __attribute__((target("aes,avx2,bmi,bmi2,vaes,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")))
#endif
#if defined(__aarch64__)
#define PI_ARM 1
#endif

namespace pi {

struct AesKey {
    alignas(64) uint8_t rk[11][16];
};

struct alignas(16) Block {
    uint64_t lo, hi;
};

// Instances are processed in blocks of this many; also the granule of the key layout.
constexpr size_t LANES = 32;

struct Backend {
    const char *name;
    void (*expand)(const uint8_t *key16, AesKey &out);
    void (*ecb)(const AesKey &key, const uint8_t *in, uint8_t *out, size_t blocks);
    // Keystream of counter mode; the counter block is the big-endian 128-bit number (hi, lo), then +1 each.
    void (*ctr)(const AesKey &key, uint64_t hi, uint64_t lo, uint8_t *out, size_t blocks);
    // See dcf_bit.h.
    uint32_t (*bit_eval)(const AesKey &key, const Block *root, int party, const uint8_t *words, int bits,
                         const uint64_t *x);
    void (*bit_deal)(const AesKey &key, const Block *root0, const Block *root1, const uint64_t *alpha,
                     int bits, uint8_t *words);
    // 32 values of `bits` bits <-> 4 * bits bytes, little-endian bit order.
    void (*pack)(const uint64_t *values, int bits, uint8_t *out);
    void (*unpack)(const uint8_t *in, int bits, uint64_t *values);
    bool wide;  // AVX-512 versions of the plain loops may be used
};

// The backend in use: the fastest, until select_backend says otherwise.
const Backend &backend();
// False when `name` is unknown or this machine lacks the instructions; "auto" picks the fastest.
bool select_backend(const char *name);
// Fastest first, ended by a null pointer.
const Backend *const *available_backends();

// dst = AES_{AES_seed(label)}(salt): an independent key per (seed, label, salt).
AesKey derive_key(const uint8_t *seed16, const char *label, const uint8_t *salt16);

extern const Backend portable_backend;
#ifdef PI_X86
extern const Backend aesni_backend, vaes256_backend, vaes_backend;
#endif
#ifdef PI_ARM
extern const Backend arm_backend;
#endif

inline void counter_block(uint64_t hi, uint64_t lo, uint8_t *out) {
    uint64_t be[2] = {__builtin_bswap64(hi), __builtin_bswap64(lo)};
    std::memcpy(out, be, 16);
}

}  // namespace pi

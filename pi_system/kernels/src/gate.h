// ReLU with truncation from one comparison key, in blocks of 32 instances.
//
// Signed x, |x| < 2^(k-1); mask r' in Z_2^k; xh = x + r' mod 2^k is known to both parties.
//   m = MSB(r'), s = 1 - MSB(xh), R = r' >> f, c = 2^(k-f), X = xh >> f
//   b = [x >= 0] = s xor m xor [low bits of xh < low bits of r']
//   ReLU(x) >> f = b X - b (R - s c m)      mod 2^l, exact up to +1 (source: design notes in
//   docs/decisions.md)
//
// Variant "bit": party b's key output e_b is masked by its bit a_b; rho = m ^ a_0 ^ a_1 is uniform to either
// party alone. Both learn e = e_0 ^ e_1, g = s ^ e, and b = g ^ rho. Dealt shares: rho, and (b (R - s c m))
// for the four values of (g, s). Variant "arith": the key gives shares of (1-2m, (1-2m) R, -m) times the
// comparison. Dealt: m, m R, (1-m) R. Party 1's dealt shares come from its seed; party 0's are the dealer's
// corrections.
#pragma once

#include "aes.h"

namespace pi {

struct Gate {
    int ring_bits, compare_bits, shift;
    bool arith;

    int low_bits() const { return compare_bits - 1; }
    size_t ring_bytes() const { return ring_bits <= 32 ? 4 : 8; }
    size_t mask_bytes() const { return compare_bits <= 32 ? 4 : 8; }
    size_t shares() const { return arith ? 3 : 5; }
    size_t key_block_bytes() const;
    size_t server_block_bytes() const { return LANES * shares() * ring_bytes(); }
    size_t state_block_bytes() const { return arith ? LANES * 16 : LANES * mask_bytes() + 4; }
    size_t server_message_bytes(size_t count) const;
    size_t client_message_bytes(size_t count) const;
};

// A range of instances: `first` is a multiple of LANES.
struct Range {
    size_t first, count;
    int threads;
    size_t blocks() const { return (count + LANES - 1) / LANES; }
    size_t left(size_t block) const { return count - block * LANES < LANES ? count - block * LANES : LANES; }
};

// Whole arrays (`key`, `server`) are indexed from instance 0, all others from `range.first`.
void relu_masks(const Gate &gate, const Range &range, const uint8_t *seed, const uint8_t *salt, void *out);
void relu_deal(const Gate &gate, const Range &range, const uint8_t *seed0, const uint8_t *seed1,
               const uint8_t *salt, uint8_t *key, uint8_t *server);
void relu_server_send(const Gate &gate, const Range &range, const uint8_t *key, const uint8_t *seed0,
                      const uint8_t *salt, const void *share, const void *masked, uint8_t *message,
                      uint8_t *state);
void relu_server_eval(const Gate &gate, const Range &range, const uint8_t *key, const uint8_t *seed0,
                      const uint8_t *salt, const uint8_t *server, uint8_t *state);
void relu_client_reply(const Gate &gate, const Range &range, const uint8_t *key, const uint8_t *seed1,
                       const uint8_t *salt, const uint8_t *message, const void *next_mask, uint8_t *reply);
void relu_server_finish(const Gate &gate, const Range &range, const uint8_t *server, const uint8_t *state,
                        const uint8_t *reply, void *out);

}  // namespace pi

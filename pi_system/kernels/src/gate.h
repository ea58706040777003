// ReLU with truncation from one comparison key, in blocks of 32 instances.
//
// Signed x, |x| < 2^(k-1) - 2^t; mask r' in Z_2^k, the sum of one summand of each party; R = r' >> t. The server alone
// sees x + r'; X = (x + r' mod 2^k) >> t, K = k - t bits, is known to both parties.
//   m = MSB(R), s = 1 - MSB(X), b = s xor m xor [low bits of X < low bits of R]
//   b (X - R) + s 2^K b m  =  max(0, floor(x / 2^t) + c)     mod 2^l, c = [x mod 2^t + r' mod 2^t >= 2^t]
// so x is rounded to a neighbour, up with probability (x mod 2^t) / 2^t by a coin that neither party knows (a truncation
// pair), and the comparison sees K bits. Source: docs/decisions.md.
//
// Party b's key output e_b is masked by its bit a_b; rho = m ^ a_0 ^ a_1 is uniform to either party alone. Both
// learn e = e_0 ^ e_1, g = s ^ e, and b = g ^ rho. Dealt shares: rho, and b (R - s 2^K m) for the four values of
// (g, s). Party 1's dealt shares come from its seed; party 0's are the dealer's corrections.
#pragma once

#include "aes.h"

namespace pi {

constexpr size_t SHARES = 5;

struct Gate {
    int ring_bits, compare_bits, shift;

    int opened_bits() const { return compare_bits - shift; }
    int low_bits() const { return opened_bits() - 1; }
    size_t ring_bytes() const { return ring_bits <= 32 ? 4 : 8; }
    size_t mask_bytes() const { return compare_bits <= 32 ? 4 : 8; }
    size_t key_block_bytes() const;
    size_t server_block_bytes() const { return LANES * SHARES * ring_bytes(); }
    size_t state_block_bytes() const { return LANES * mask_bytes() + 4; }
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
void relu_client_reply(const Gate &gate, const Range &range, const uint8_t *key, const uint8_t *seed1,
                       const uint8_t *salt, const uint8_t *message, const void *next_mask, uint8_t *reply);
void relu_server_finish(const Gate &gate, const Range &range, const uint8_t *server, const uint8_t *state,
                        const uint8_t *reply, void *out);

}  // namespace pi

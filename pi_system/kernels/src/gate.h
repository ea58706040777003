// ReLU with truncation from one comparison key, in blocks of 32 instances.
//
// Signed x, |x| < 2^(k-1) - 2^(t+g); K = k - t bits are left, of which the comparison sees n = K - g. Masks in Z_2^k,
// r' the sum of one summand of each party, R = r' >> t; r'' = r' + d, d the server's (d = 0 where g = 0). The server
// alone sees x + r'; both parties see, with h = 2^(g-1) (0 where g = 0),
//   X = (x + r' + 2^t h mod 2^k) >> t, K bits, and C = (x + r'' - 2^t h mod 2^k) >> (t + g), n bits (C = X where g = 0).
//   A = r'' >> (t + g), b = 1 xor MSB(C) xor MSB(A) xor [low bits of C < low bits of A]
//   b (X - R - h) + s 2^K b m  =  b (floor(x / 2^t) + c)     mod 2^l, m = MSB(R), s = 1 - MSB(X)
// c = [x mod 2^t + r' mod 2^t >= 2^t], so x is rounded to a neighbour, up with probability (x mod 2^t) / 2^t;
// b = [x + r'' mod 2^(t+g) >= 2^t h]: the sign's, but for |x| < 2^(t+g-1), where it is 1 with probability
// 1/2 + x / 2^(t+g). Both coins are bits of masks that neither party knows and that are not opened: the low g bits of X
// are, which is why the sign has a mask of its own. Source: docs/explanation/decisions.md.
//
// Party b's key output e_b is masked by its bit a_b; rho = MSB(A) ^ a_0 ^ a_1 is uniform to either party alone. Both
// learn e = e_0 ^ e_1, f = 1 ^ MSB(C) ^ e, and b = f ^ rho. Dealt shares: rho, and b (R - s 2^K m) for the four values
// of (f, s). Party 1's dealt shares come from its seed; party 0's are the dealer's corrections.
#pragma once

#include "aes.h"
#include "dcf_table.h"

namespace pi {

constexpr size_t SHARES = 5;

struct Gate {
    int ring_bits, comparison_bits, shift, unseen_bits;
    // Both parties store what they hold, nothing comes from a seed: always a table; see key_block_bytes.
    bool stored;

    int opened_bits() const { return comparison_bits - shift; }
    int compared_bits() const { return opened_bits() - unseen_bits; }
    int low_bits() const { return compared_bits() - 1; }
    // The key is a table, of which party 1's share comes from its seed (or is stored).
    bool table() const { return stored || low_bits() <= TABLE_BITS; }
    // h in units of the opened value.
    uint64_t half() const { return unseen_bits == 0 ? 0 : uint64_t{1} << (unseen_bits - 1); }
    size_t ring_bytes() const { return ring_bits <= 32 ? 4 : 8; }
    size_t mask_bytes() const { return comparison_bits <= 32 ? 4 : 8; }
    // Of a stored gate a block of the key holds the party's table, then the server's offsets d (none where g = 0) or the
    // client's dealt shares.
    size_t key_block_bytes(int party) const;
    size_t server_block_bytes() const { return LANES * SHARES * ring_bytes(); }
    size_t state_block_bytes() const { return LANES * mask_bytes() + 4; }
    // Where the compared values and the masked bits of a message start.
    size_t compared_at(size_t count) const;
    size_t bits_at(size_t count) const;
    size_t server_message_bytes(size_t count) const;
    size_t client_message_bytes(size_t count) const;
};

// A range of instances: `first` is a multiple of LANES.
struct Range {
    size_t first, count;
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

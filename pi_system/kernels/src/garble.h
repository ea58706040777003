// Garbled ReLU with truncation: a ripple-carry addition of both shares in half-gates, then projections to Z_{2^64}.
//
// Labels are free-XOR with one odd Delta; a label's lsb is its colour. Wires a (server) and c (client) carry the
// bits of the shares, low bit first: carry_{i+1} = carry_i ^ (a_i ^ carry_i)(c_i ^ carry_i), y_i = a_i ^ c_i ^ carry_i.
// With b = not y_{k-1} = s ^ p, s the colour the evaluator sees and p known to the garbler, the output is
//     b Y = p Y + s (1 - 2p) Y,   Y = sum over i = shift .. k-2 of y_i 2^(i - shift);
// p Y and (1 - 2p) Y are sums of projections of the wires y_i, one row each; the product with s takes one row more.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ot.h"

namespace pi {

constexpr int GARBLE_MAX_BITS = 64;

struct GarbleShape {
    int bits, shift;  // k and f
    size_t stride;    // elements of the whole gate: tweaks and the server's labels are numbered by it
    uint64_t tweak;   // first of bits * stride hash tweaks that nothing else uses

    size_t rows() const { return 2 * static_cast<size_t>(bits - 1 - shift) + 1; }
};

// Elements first .. first + n of a gate. q: zero labels of the client's wires, (bits, n), to which Delta is added
// where flips, (bits, n / 8) planes, is set. tables: (bits - 1, n, 2); rows: (shape.rows(), n); offset: (n,), to be
// added to the evaluator's result. n is a multiple of 32.
void garble(const GarbleShape &shape, const uint8_t *seed16, Pair delta, size_t first, size_t n, const Pair *q,
            const uint8_t *flips, Pair *tables, uint64_t *rows, uint64_t *offset);

// The server's active labels for n shares of `width` bytes, (bits, n).
void garble_inputs(const GarbleShape &shape, const uint8_t *seed16, Pair delta, size_t first, size_t n,
                   const uint8_t *share, size_t width, uint8_t *out);

// The evaluator's additive share of b Y. server: (bits, n) active labels at any address; client: (bits, stride) active
// labels; tables: (bits - 1, stride, 2); rows: (shape.rows(), stride) elements of `width` bytes.
void garble_evaluate(const GarbleShape &shape, size_t first, size_t n, const uint8_t *server, const Pair *client,
                     const Pair *tables, const uint8_t *rows, size_t width, uint64_t *out);

}  // namespace pi

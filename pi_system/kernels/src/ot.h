// Oblivious transfer: correlation-robust hashing, silent extension, and what is hashed out of correlated OTs.
//
// A correlated OT (COT) is (q, Delta) at the sender and t = q ^ u * Delta at the receiver, 16 bytes each, with
// lsb(q) = 0 and lsb(Delta) = 1, so that the receiver's choice bit is u = lsb(t).
#pragma once

#include <cstddef>
#include <cstdint>

#include "aes.h"

namespace pi {

// 128 bits without an alignment beyond that of the numpy arrays they live in.
struct Pair {
    uint64_t lo, hi;
};

inline Pair operator^(Pair a, Pair b) { return {a.lo ^ b.lo, a.hi ^ b.hi}; }
inline Pair &operator^=(Pair &a, Pair b) { return a = a ^ b; }
// x where bit is 1, zero where it is 0, without a branch on the secret.
inline Pair select(Pair x, uint64_t bit) { return {x.lo & (0 - bit), x.hi & (0 - bit)}; }

// Blocks hashed together: the buffers stay in the first-level cache.
constexpr size_t HASH_BATCH = 128;

// The fixed keys of the public permutations (digits of pi; garbling uses its own).
const AesKey &ot_permutation();

// out_i = P(s_i) ^ s_i with s_i = sigma(in_i) ^ (tweak + i), sigma(hi, lo) = (hi ^ lo, hi): circular correlation
// robust in the random permutation model (Guo, Katz, Wang, Yu, eprint 2019/074). in may equal out; offset is added to
// every block first.
void cr_hash(const Pair *in, Pair *out, size_t n, uint64_t tweak, Pair offset = {0, 0});

// The sums of all left and of all right children of a level.
struct Sides {
    Pair left, right;
};
// Nodes 0 .. count - 1 become their 2 * count children in place: the same hash without tweaks, H(x) and H(x) ^ x, of
// whose low words the bits of keep are stored.
Sides expand_level(Pair *nodes, size_t count, uint64_t keep);

// A small-field VOLE of SoftSpokenOT (eprint 2022/192) over 2^8 leaves: rows[b] is the sum of the
// streams of the leaves x with bit b of (x ^ shift) set, sum the sum of all; leaf `shift` is left out when `skip`.
void fold_leaves(const Pair *leaves, uint32_t shift, bool skip, uint64_t counter, size_t blocks, uint8_t *rows,
                 size_t row_stride, uint8_t *sum);
// 128 rows of n bits to n blocks; n is a multiple of 8.
void transpose_128(const uint8_t *rows, size_t row_stride, size_t n, Pair *out);

// Correlated GGM trees (Guo et al., half-tree, eprint 2022/1431): children H(x) and H(x) ^ x.
// leaves: trees << depth blocks with lsb cleared; sums: for every tree and level the sum of the left nodes.
void tree_sender(const Pair *roots, size_t trees, int depth, Pair delta, Pair *leaves, Pair *sums);
// keys: for every tree and level the sum of the nodes on the side that the path does not take.
void tree_receiver(const uint32_t *alphas, size_t trees, int depth, const Pair *keys, Pair *leaves);
// out_i ^= sum of ten entries of base (k of them) that row first + i of the public sparse matrix names.
// first is a multiple of LPN_ROWS, and so is n. Row i is made of keystream words 10 i to 10 i + 9, each scaled to 0 ..
// k - 1: no two rows share a word. The ten are drawn with repetition: about 45 / k of the rows name a place twice.
constexpr size_t LPN_ROWS = 32, LPN_WEIGHT = 10, LPN_STEP = sizeof(Pair) / sizeof(uint64_t);
void lpn_encode(const Pair *base, uint32_t k, const uint8_t *seed16, uint64_t first, size_t n, Pair *out);

// A block as one register, wherever it lies.
typedef uint64_t PairRegister __attribute__((vector_size(sizeof(Pair)), aligned(alignof(Pair)), may_alias));

// A row of the code: adds to out the entries of base that start at the given 64-bit words.
inline __attribute__((always_inline)) void lpn_add(const uint64_t *base, const uint32_t *places, Pair *out) {
    PairRegister sum = *reinterpret_cast<const PairRegister *>(out);
    for (size_t i = 0; i < LPN_WEIGHT; i++) sum ^= *reinterpret_cast<const PairRegister *>(base + places[i]);
    *reinterpret_cast<PairRegister *>(out) = sum;
}

// Bit products: the sender's (beta, v) and the receiver's (u, w) have v ^ w = u * beta, `width` (1 to 128) of
// them a COT with one u. Planes of n / 8 bytes, n a multiple of 32: beta, v, w are width planes each.
void bits_sender(const Pair *q, Pair delta, uint64_t tweak, size_t n, int width, uint8_t *beta, uint8_t *v);
void bits_receiver(const Pair *t, uint64_t tweak, size_t n, int width, uint8_t *u, uint8_t *w);

// 1-of-2^m OTs of strings of `width` bits, 2^m * width <= 32, from m COTs each (Naor and Pinkas 1999): pads[e] holds
// the first bits of entries 0 .. 2^m - 1, above them the second bits. COTs lie as (m, n).
void pads_sender(const Pair *q, Pair delta, uint64_t tweak, size_t n, int m, int width, uint32_t *pads);
// choice[e]: the entry wanted; shift: m planes, wanted ^ random choice, for the sender; bits: `width` planes.
void pads_receiver(const Pair *t, uint64_t tweak, size_t n, int m, int width, const uint8_t *choice, uint8_t *shift,
                   uint8_t *bits);
// Moves pad i ^ shift to i, of every string.
void pads_shift(uint32_t *pads, const uint8_t *shift, size_t n, int m);

}  // namespace pi

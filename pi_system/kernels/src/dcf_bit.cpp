// The comparison key on any backend: the reference for the VAES version.
#include "dcf_bit.h"

namespace pi {

// A node's input to AES: its seed, tweaked by the direction in both halves.
static inline Block child_input(const Block &node, uint64_t dir) {
    return {(node.lo & ~FLAGS) ^ dir, node.hi ^ dir};
}

// All ones where the control bit of the child in direction `dir` is set.
static inline uint64_t control_mask(uint64_t lo, uint64_t dir) { return uint64_t{0} - ((lo >> dir) & 1); }

static void correct(Block *node, const uint8_t *words, const uint64_t *control) {
    for (size_t i = 0; i < LANES; i++) {
        Block word;
        std::memcpy(&word, words + 16 * i, 16);
        node[i].lo ^= word.lo & control[i];
        node[i].hi ^= word.hi & control[i];
    }
}

uint32_t bit_eval_generic(const Backend &be, const AesKey &key, const Block *root, int party,
                          const uint8_t *words, int bits, const uint64_t *x) {
    Block node[LANES], in[LANES];
    uint64_t control[LANES], out[LANES];
    for (size_t i = 0; i < LANES; i++) {
        node[i] = root[i];
        out[i] = root[i].lo;
        control[i] = uint64_t{0} - static_cast<uint64_t>(party);
    }
    const int levels = bit_levels(bits);
    for (int level = 0; level < levels; level++, words += 16 * LANES) {
        const int bit = bits - 1 - level;
        for (size_t i = 0; i < LANES; i++) in[i] = child_input(node[i], direction(x[i], bit));
        mmo(be, key, in, node, LANES);
        correct(node, words, control);
        for (size_t i = 0; i < LANES; i++) {
            out[i] ^= node[i].lo;
            control[i] = control_mask(node[i].lo, direction(x[i], bit));
        }
    }
    for (size_t i = 0; i < LANES; i++) in[i] = child_input(node[i], direction(x[i], LEAF_BITS - 1));
    mmo(be, key, in, node, LANES);
    uint32_t result = 0;
    for (size_t i = 0; i < LANES; i++) {
        const uint64_t high = uint64_t{0} - (direction(x[i], LEAF_BITS - 1) >> 1);
        Block word[2];
        std::memcpy(&word[0], words + 16 * i, 16);
        std::memcpy(&word[1], words + 16 * (LANES + i), 16);
        const uint64_t lo = node[i].lo ^ (((word[0].lo & ~high) ^ (word[1].lo & high)) & control[i]);
        const uint64_t hi = node[i].hi ^ (((word[0].hi & ~high) ^ (word[1].hi & high)) & control[i]);
        const uint64_t upper = uint64_t{0} - ((x[i] >> 6) & 1);
        const uint64_t leaf = ((lo & ~upper) ^ (hi & upper)) >> (x[i] & 63);
        result |= static_cast<uint32_t>((leaf ^ (out[i] / OUTPUT_BIT)) & 1) << i;
    }
    return result;
}

// The correction word of one node: the lost children must agree, flags and running output included.
static Block correction(const Block (&child)[2][2], uint64_t keep, uint64_t value) {
    const uint64_t left = child[0][0].lo ^ child[1][0].lo, right = child[0][1].lo ^ child[1][1].lo;
    const uint64_t keep_right = uint64_t{0} - keep;
    Block word;
    word.lo = (left & keep_right) ^ (right & ~keep_right);
    word.hi =
        ((child[0][0].hi ^ child[1][0].hi) & keep_right) ^ ((child[0][1].hi ^ child[1][1].hi) & ~keep_right);
    word.lo = (word.lo & ~uint64_t{5}) | ((left ^ keep ^ 1) & 1) | ((right ^ (keep << 2)) & 4);
    word.lo ^= (value ^ (keep << 1)) & OUTPUT_BIT;
    return word;
}

static void deal_leaf(const Block (&half)[2][2], uint64_t alpha, uint64_t value, size_t i, uint8_t *words) {
    const uint64_t flip = uint64_t{0} - ((value / OUTPUT_BIT) & 1);
    const uint64_t threshold = alpha & ((1u << LEAF_BITS) - 1);
    for (size_t h = 0; h < 2; h++) {
        Block word = {half[0][h].lo ^ half[1][h].lo ^ flip ^ less_than_word(threshold, 2 * h),
                      half[0][h].hi ^ half[1][h].hi ^ flip ^ less_than_word(threshold, 2 * h + 1)};
        std::memcpy(words + 16 * (h * LANES + i), &word, 16);
    }
}

void bit_deal_generic(const Backend &be, const AesKey &key, const Block *root0, const Block *root1,
                      const uint64_t *alpha, int bits, uint8_t *words) {
    const int levels = bit_levels(bits);
    Block node[LANES][2], in[LANES][2][2], child[LANES][2][2];
    uint64_t value[LANES] = {},
             control[LANES] = {};  // control bit of party 0, as a mask; party 1 has the other
    for (size_t i = 0; i < LANES; i++) {
        node[i][0] = root0[i];
        node[i][1] = root1[i];
    }
    for (int level = 0; level <= levels; level++, words += 16 * LANES) {
        for (size_t i = 0; i < LANES; i++)
            for (int b = 0; b < 2; b++)
                for (int d = 0; d < 2; d++)
                    in[i][b][d] = child_input(node[i][b], 2 * static_cast<uint64_t>(d));
        mmo(be, key, &in[0][0][0], &child[0][0][0], 4 * LANES);
        for (size_t i = 0; i < LANES; i++) {
            if (level == levels) {
                deal_leaf(child[i], alpha[i], value[i], i, words);
                continue;
            }
            const uint64_t keep = (alpha[i] >> (bits - 1 - level)) & 1, mask = uint64_t{0} - keep;
            const Block word = correction(child[i], keep, value[i]);
            std::memcpy(words + 16 * i, &word, 16);
            for (int b = 0; b < 2; b++) {
                const uint64_t t = b == 0 ? control[i] : ~control[i];
                node[i][b].lo = (child[i][b][0].lo & ~mask) ^ (child[i][b][1].lo & mask) ^ (word.lo & t);
                node[i][b].hi = (child[i][b][0].hi & ~mask) ^ (child[i][b][1].hi & mask) ^ (word.hi & t);
                value[i] ^= node[i][b].lo;
            }
            control[i] = control_mask(node[i][0].lo, 2 * keep);
        }
    }
}

}  // namespace pi

#include "dcf_arith.h"

#include "dcf_bit.h"
#include "wide.h"

namespace pi {
namespace {

constexpr uint64_t VALUE = 1,
                   VALUE_REST = 4;  // tweaks of the payload calls; a leaf adds its index to the second

struct Nodes {
    Block seed[LANES];
    uint64_t control[LANES];  // masks
};

// How many AES blocks hold the payload of one instance.
template <class T>
constexpr size_t value_blocks() {
    return sizeof(T) == 4 ? 1 : 2;
}

// The payload of instance i from its blocks; `blocks` is laid out call by call, LANES each.
template <class T>
PI_INLINE void payload_of(const Block *blocks, size_t i, T *out) {
    std::memcpy(out, &blocks[i], 3 * sizeof(T) < 16 ? 3 * sizeof(T) : 16);
    if (sizeof(T) == 8) std::memcpy(out + 2, &blocks[LANES + i], sizeof(T));
}

template <class T>
PI_INLINE T element(const uint8_t *words, size_t p, size_t i) {
    T v;
    std::memcpy(&v, words + sizeof(T) * (p * LANES + i), sizeof(T));
    return v;
}

PI_INLINE Block tweaked(const Block &node, uint64_t dir, uint64_t tweak) {
    return {(node.lo & ~FLAGS) ^ dir ^ tweak, node.hi ^ dir};
}

template <class T>
PI_INLINE void add_payload(const Block *values, const uint8_t *words, const uint64_t *control,
                           T (*sum)[LANES]) {
    for (size_t i = 0; i < LANES; i++) {
        T v[3];
        payload_of<T>(values, i, v);
        for (size_t p = 0; p < PAYLOAD; p++)
            sum[p][i] += v[p] + (element<T>(words, p, i) & static_cast<T>(control[i]));
    }
}

template <class T>
PI_INLINE void eval_level(const Backend &be, const AesKey &key, Nodes &n, const uint8_t *words, int bit,
                          const uint64_t *x, T (*sum)[LANES]) {
    constexpr size_t calls = 1 + value_blocks<T>();
    Block in[calls * LANES], out[calls * LANES];
    for (size_t i = 0; i < LANES; i++) {
        const uint64_t dir = bit > 0 ? direction(x[i], bit) : (x[i] << 1) & 2;
        in[i] = tweaked(n.seed[i], dir, 0);
        in[LANES + i] = tweaked(n.seed[i], dir, VALUE);
        if (calls == 3) in[(calls - 1) * LANES + i] = tweaked(n.seed[i], dir, VALUE_REST);
    }
    mmo(be, key, in, out, calls * LANES);
    add_payload<T>(out + LANES, words + 16 * LANES, n.control, sum);
    for (size_t i = 0; i < LANES; i++) {
        const uint64_t dir = bit > 0 ? direction(x[i], bit) : (x[i] << 1) & 2;
        Block word;
        std::memcpy(&word, words + 16 * i, 16);
        n.seed[i].lo = out[i].lo ^ (word.lo & n.control[i]);
        n.seed[i].hi = out[i].hi ^ (word.hi & n.control[i]);
        n.control[i] = uint64_t{0} - ((n.seed[i].lo >> dir) & 1);
    }
}

template <class T>
PI_INLINE void eval_leaf(const Backend &be, const AesKey &key, const Nodes &n, const uint8_t *words,
                         const uint64_t *x, T (*sum)[LANES]) {
    constexpr size_t calls = value_blocks<T>();
    constexpr uint64_t entries = uint64_t{1} << ARITH_LEAF_BITS;
    Block in[calls * LANES], out[calls * LANES];
    for (size_t i = 0; i < LANES; i++) {
        const uint64_t index = x[i] & (entries - 1);
        in[i] = tweaked(n.seed[i], 0, index);
        if (calls == 2) in[(calls - 1) * LANES + i] = tweaked(n.seed[i], 0, index | VALUE_REST);
    }
    mmo(be, key, in, out, calls * LANES);
    for (size_t i = 0; i < LANES; i++) {
        T v[3];
        payload_of<T>(out, i, v);
        for (size_t p = 0; p < PAYLOAD; p++) {
            T word = 0;  // read every entry, so that the memory touched does not depend on x
            for (uint64_t j = 0; j < entries; j++)
                word |= element<T>(words, j * PAYLOAD + p, i) &
                        (T{0} - static_cast<T>((x[i] & (entries - 1)) == j));
            sum[p][i] += v[p] + (word & static_cast<T>(n.control[i]));
        }
    }
}

template <class T>
PI_INLINE void eval_block(const Backend &be, const AesKey &key, const Block *root, int party,
                          const uint8_t *words, int bits, const uint64_t *x, uint64_t (*out)[LANES]) {
    Nodes n;
    T sum[PAYLOAD][LANES] = {};
    for (size_t i = 0; i < LANES; i++) {
        n.seed[i] = root[i];
        n.control[i] = uint64_t{0} - static_cast<uint64_t>(party);
    }
    const int levels = arith_levels(bits);
    for (int level = 0; level < levels; level++, words += LANES * (16 + PAYLOAD * sizeof(T)))
        eval_level<T>(be, key, n, words, bits - 1 - level, x, sum);
    eval_leaf<T>(be, key, n, words, x, sum);
    const T sign = party == 0 ? T{1} : static_cast<T>(T{0} - T{1});
    for (size_t p = 0; p < PAYLOAD; p++)
        for (size_t i = 0; i < LANES; i++) out[p][i] = static_cast<T>(sum[p][i] * sign);
}

// One instance's node pair while it is dealt.
template <class T>
struct Pair {
    Block seed[2];
    uint64_t control;  // of party 0, as a mask; party 1 has the other
    T total[3];        // what the words so far add up to on the path
};

// v where the mask is set, else -v.
template <class T>
PI_INLINE T negate_unless(uint64_t mask, T v) {
    const T flip = static_cast<T>(~mask);
    return static_cast<T>((v ^ flip) - flip);
}

// Words make the payload shares of the parties differ by `target` on the side they belong to.
template <class T>
PI_INLINE T payload_word(const Pair<T> &pair, T v0, T v1, T target) {
    return negate_unless(pair.control, v1 - v0 + target);
}

template <class T>
PI_INLINE void deal_level(const Backend &be, const AesKey &key, Pair<T> *pairs, const uint64_t *alpha,
                          const uint64_t (*beta)[LANES], int bit, uint8_t *words) {
    constexpr size_t calls = 1 + value_blocks<T>();
    Block in[4][calls][LANES], out[4][calls][LANES];  // [direction, party]
    for (size_t i = 0; i < LANES; i++)
        for (size_t c = 0; c < 4; c++) {
            const uint64_t dir = c & 2;
            in[c][0][i] = tweaked(pairs[i].seed[c & 1], dir, 0);
            in[c][1][i] = tweaked(pairs[i].seed[c & 1], dir, VALUE);
            if (calls == 3) in[c][calls - 1][i] = tweaked(pairs[i].seed[c & 1], dir, VALUE_REST);
        }
    mmo(be, key, &in[0][0][0], &out[0][0][0], 4 * calls * LANES);
    for (size_t i = 0; i < LANES; i++) {
        Pair<T> &pair = pairs[i];
        const uint64_t keep = (alpha[i] >> bit) & 1;
        const size_t kept = 2 * keep, lost = 2 - kept;  // first index of `out`, for party 0
        Block word = {out[lost][0][i].lo ^ out[lost + 1][0][i].lo,
                      out[lost][0][i].hi ^ out[lost + 1][0][i].hi};
        const uint64_t left = out[0][0][i].lo ^ out[1][0][i].lo, right = out[2][0][i].lo ^ out[3][0][i].lo;
        word.lo = (word.lo & ~uint64_t{5}) | ((left ^ keep ^ 1) & 1) | ((right ^ (keep << 2)) & 4);
        std::memcpy(words + 16 * i, &word, 16);
        T kept0[3], kept1[3], lost0[3], lost1[3];
        payload_of<T>(out[kept][1], i, kept0);
        payload_of<T>(out[kept + 1][1], i, kept1);
        payload_of<T>(out[lost][1], i, lost0);
        payload_of<T>(out[lost + 1][1], i, lost1);
        for (size_t p = 0; p < PAYLOAD; p++) {
            // Left of alpha's path the sum must be beta, right of it 0.
            const T target = static_cast<T>(beta[p][i] * keep) - pair.total[p];
            const T v = payload_word<T>(pair, lost0[p], lost1[p], target);
            std::memcpy(words + 16 * LANES + sizeof(T) * (p * LANES + i), &v, sizeof(T));
            pair.total[p] += kept0[p] - kept1[p] + negate_unless(pair.control, v);
        }
        for (size_t b = 0; b < 2; b++) {
            const uint64_t t = b == 0 ? pair.control : ~pair.control;
            pair.seed[b] = {out[kept + b][0][i].lo ^ (word.lo & t), out[kept + b][0][i].hi ^ (word.hi & t)};
        }
        pair.control = uint64_t{0} - ((pair.seed[0].lo >> (2 * keep)) & 1);
    }
}

template <class T>
PI_INLINE void deal_leaf(const Backend &be, const AesKey &key, const Pair<T> *pairs, const uint64_t *alpha,
                         const uint64_t (*beta)[LANES], uint8_t *words) {
    constexpr size_t calls = value_blocks<T>();
    for (uint64_t j = 0; j < (uint64_t{1} << ARITH_LEAF_BITS); j++) {
        Block in[2][calls][LANES], out[2][calls][LANES];
        for (size_t i = 0; i < LANES; i++)
            for (size_t b = 0; b < 2; b++) {
                in[b][0][i] = tweaked(pairs[i].seed[b], 0, j);
                if (calls == 2) in[b][calls - 1][i] = tweaked(pairs[i].seed[b], 0, j | VALUE_REST);
            }
        mmo(be, key, &in[0][0][0], &out[0][0][0], 2 * calls * LANES);
        for (size_t i = 0; i < LANES; i++) {
            T v0[3], v1[3];
            payload_of<T>(out[0][0], i, v0);
            payload_of<T>(out[1][0], i, v1);
            const uint64_t less = j < (alpha[i] & ((1u << ARITH_LEAF_BITS) - 1));
            for (size_t p = 0; p < PAYLOAD; p++) {
                const T target = static_cast<T>(beta[p][i] * less) - pairs[i].total[p];
                const T v = payload_word<T>(pairs[i], v0[p], v1[p], target);
                std::memcpy(words + sizeof(T) * ((j * PAYLOAD + p) * LANES + i), &v, sizeof(T));
            }
        }
    }
}

template <class T>
PI_INLINE void deal_block(const Backend &be, const AesKey &key, const Block *root0, const Block *root1,
                          const uint64_t *alpha, const uint64_t (*beta)[LANES], int bits, uint8_t *words) {
    Pair<T> pairs[LANES];
    for (size_t i = 0; i < LANES; i++) pairs[i] = {{root0[i], root1[i]}, 0, {0, 0, 0}};
    const int levels = arith_levels(bits);
    for (int level = 0; level < levels; level++, words += LANES * (16 + PAYLOAD * sizeof(T)))
        deal_level<T>(be, key, pairs, alpha, beta, bits - 1 - level, words);
    deal_leaf<T>(be, key, pairs, alpha, beta, words);
}

PI_INLINE void eval_any(const Backend &be, size_t element_bytes, const AesKey &key, const Block *root,
                        int party, const uint8_t *words, int bits, const uint64_t *x,
                        uint64_t (*out)[LANES]) {
    if (element_bytes == 4)
        eval_block<uint32_t>(be, key, root, party, words, bits, x, out);
    else
        eval_block<uint64_t>(be, key, root, party, words, bits, x, out);
}

PI_INLINE void deal_any(const Backend &be, size_t element_bytes, const AesKey &key, const Block *root0,
                        const Block *root1, const uint64_t *alpha, const uint64_t (*beta)[LANES], int bits,
                        uint8_t *words) {
    if (element_bytes == 4)
        deal_block<uint32_t>(be, key, root0, root1, alpha, beta, bits, words);
    else
        deal_block<uint64_t>(be, key, root0, root1, alpha, beta, bits, words);
}

PI_BOTH(eval_both, eval_any,
        (const Backend &be, size_t element_bytes, const AesKey &key, const Block *root, int party,
         const uint8_t *words, int bits, const uint64_t *x, uint64_t (*out)[LANES]),
        (be, element_bytes, key, root, party, words, bits, x, out))
PI_BOTH(deal_both, deal_any,
        (const Backend &be, size_t element_bytes, const AesKey &key, const Block *root0, const Block *root1,
         const uint64_t *alpha, const uint64_t (*beta)[LANES], int bits, uint8_t *words),
        (be, element_bytes, key, root0, root1, alpha, beta, bits, words))

}  // namespace

void arith_eval(const Backend &be, size_t element_bytes, const AesKey &key, const Block *root, int party,
                const uint8_t *words, int bits, const uint64_t *x, uint64_t (*out)[LANES]) {
    eval_both(be, element_bytes, key, root, party, words, bits, x, out);
}

void arith_deal(const Backend &be, size_t element_bytes, const AesKey &key, const Block *root0,
                const Block *root1, const uint64_t *alpha, const uint64_t (*beta)[LANES], int bits,
                uint8_t *words) {
    deal_both(be, element_bytes, key, root0, root1, alpha, beta, bits, words);
}

}  // namespace pi

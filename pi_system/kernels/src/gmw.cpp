// Tables and selection at the leaves of the comparison tree.
#include "gmw.h"

#include <cstring>

#include "aes.h"
#include "wide.h"

namespace pi {
namespace {

constexpr size_t TILE = 64;

// Bits 0 .. 7 of eight bytes that are 0 or 1, as one byte.
inline uint8_t gather8(const uint8_t *bits) {
    uint64_t x;
    std::memcpy(&x, bits, 8);
    return static_cast<uint8_t>((x * 0x0102040810204080ull) >> 56);
}

inline void put_bits(const uint8_t *bits, size_t n, uint8_t *plane) {
    for (size_t i = 0; i < n; i += 8) plane[i / 8] = gather8(bits + i);
}

template <class Share, class Word>
PI_INLINE void table_loop(const Leaf &leaf, int sign, const Share *share, size_t n, const Word *pads, Word *out) {
    const uint32_t used = (1u << leaf.bits) - 1, entries = 1u << leaf.m;
    const uint32_t low_half = entries == 32 ? ~0u : (1u << entries) - 1, top = leaf.top ? low_half : 0;
    const uint32_t second = leaf.equal ? ~0u : 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t at = 1u << (static_cast<uint32_t>(share[i] >> leaf.low) & used);
        const uint32_t negative = static_cast<uint32_t>(share[i] >> sign) & 1;
        const uint32_t less = (at - 1) ^ ((negative - 1) & top);
        out[i] = static_cast<Word>(pads[i] ^ (less | ((at << entries) & second)));
    }
}

template <class Word>
PI_INLINE void select_loop(const Leaf &leaf, const Word *words, const uint8_t *choice, size_t n, uint8_t *less,
                           uint8_t *equal) {
    const uint32_t entries = 1u << leaf.m;
    for (size_t at = 0; at < n; at += TILE) {
        const size_t now = n - at < TILE ? n - at : TILE;
        uint8_t one[TILE] = {}, two[TILE] = {};
        for (size_t i = 0; i < now; i++) {
            const uint32_t shifted = static_cast<uint32_t>(words[at + i]) >> choice[at + i];
            one[i] = static_cast<uint8_t>(shifted & 1);
            two[i] = static_cast<uint8_t>((shifted >> entries) & 1);
        }
        put_bits(one, now, less + at / 8);
        if (equal != nullptr) put_bits(two, now, equal + at / 8);
    }
}

// Messages lie at any address: words are copied to and from aligned tiles.
template <class Share, class Word>
PI_INLINE void table_words(const Leaf &leaf, int sign, const uint8_t *share, size_t n, const uint8_t *pads,
                           uint8_t *out) {
    for (size_t at = 0; at < n; at += TILE) {
        const size_t now = n - at < TILE ? n - at : TILE;
        Share x[TILE];
        Word pad[TILE], word[TILE];
        std::memcpy(x, share + at * sizeof(Share), now * sizeof(Share));
        std::memcpy(pad, pads + at * sizeof(Word), now * sizeof(Word));
        table_loop(leaf, sign, x, now, pad, word);
        std::memcpy(out + at * sizeof(Word), word, now * sizeof(Word));
    }
}

template <class Share>
PI_INLINE void table_shares(const Leaf &leaf, int sign, const uint8_t *share, size_t n, const uint8_t *pads,
                            uint8_t *out) {
    switch (leaf_word_bytes(leaf)) {
        case 1: return table_words<Share, uint8_t>(leaf, sign, share, n, pads, out);
        case 2: return table_words<Share, uint16_t>(leaf, sign, share, n, pads, out);
        default: return table_words<Share, uint32_t>(leaf, sign, share, n, pads, out);
    }
}

PI_INLINE void table_any(const Backend &, const Leaf &leaf, int sign, const uint8_t *share, size_t width, size_t n,
                         const uint8_t *pads, uint8_t *out) {
    if (width == 4)
        table_shares<uint32_t>(leaf, sign, share, n, pads, out);
    else
        table_shares<uint64_t>(leaf, sign, share, n, pads, out);
}

template <class Word>
PI_INLINE void select_words(const Leaf &leaf, const uint8_t *words, const uint8_t *choice, size_t n, uint8_t *less,
                            uint8_t *equal) {
    for (size_t at = 0; at < n; at += TILE) {
        const size_t now = n - at < TILE ? n - at : TILE;
        Word word[TILE];
        std::memcpy(word, words + at * sizeof(Word), now * sizeof(Word));
        select_loop(leaf, word, choice + at, now, less + at / 8, equal == nullptr ? nullptr : equal + at / 8);
    }
}

PI_INLINE void select_any(const Backend &, const Leaf &leaf, const uint8_t *words, const uint8_t *choice, size_t n,
                          uint8_t *less, uint8_t *equal) {
    switch (leaf_word_bytes(leaf)) {
        case 1: return select_words<uint8_t>(leaf, words, choice, n, less, equal);
        case 2: return select_words<uint16_t>(leaf, words, choice, n, less, equal);
        default: return select_words<uint32_t>(leaf, words, choice, n, less, equal);
    }
}

PI_BOTH(tables, table_any,
        (const Backend &be, const Leaf &leaf, int sign, const uint8_t *share, size_t width, size_t n,
         const uint8_t *pads, uint8_t *out),
        (be, leaf, sign, share, width, n, pads, out))
PI_BOTH(selects, select_any,
        (const Backend &be, const Leaf &leaf, const uint8_t *words, const uint8_t *choice, size_t n, uint8_t *less,
         uint8_t *equal),
        (be, leaf, words, choice, n, less, equal))

}  // namespace

void gmw_table(const Leaf &leaf, int sign, const uint8_t *share, size_t width, size_t n, const uint8_t *pads,
               uint8_t *out) {
    tables(backend(), leaf, sign, share, width, n, pads, out);
}

void gmw_select(const Leaf &leaf, const uint8_t *words, const uint8_t *choice, size_t n, uint8_t *less,
                uint8_t *equal) {
    selects(backend(), leaf, words, choice, n, less, equal);
}

}  // namespace pi

// Masks, signs and choices of a gate's value, 64 elements at a time.
#include "gmw_value.h"

#include <cstring>
#include <type_traits>

#include "wide.h"

namespace pi {
namespace {

constexpr size_t TILE = 64;

// All ones where the plane's bit is set, for the `n` elements from `first`, a multiple of TILE.
template <class T>
PI_INLINE void spread(const uint8_t *plane, size_t first, size_t n, T *out) {
    uint64_t bits = 0;
    if (plane != nullptr) std::memcpy(&bits, plane + first / 8, (n + 7) / 8);
    for (size_t i = 0; i < TILE; i++) out[i] = static_cast<T>(0 - ((bits >> i) & 1));
}

template <class T>
PI_INLINE T negated(T x, T where) {
    return static_cast<T>((x ^ where) - where);
}

PI_INLINE size_t tile_size(size_t n, size_t at) { return n - at < TILE ? n - at : TILE; }

template <class T, class W>
PI_INLINE void mask_any(const Backend &, Cut cut, const MaskedShare<T, W> &a, size_t n) {
    using Signed = std::make_signed_t<T>;
    const int up = static_cast<int>(8 * sizeof(T)) - cut.ring_bits;
    for (size_t at = 0; at < n; at += TILE) {
        const size_t now = tile_size(n, at);
        T carry[TILE];
        spread(a.carry, at, now, carry);
        for (size_t i = 0; i < now; i++) {
            const Signed y = static_cast<Signed>(static_cast<T>(a.share[at + i] << up));
            const W below = static_cast<W>(static_cast<T>(y) >> (8 * sizeof(T) - 1));
            a.value[at + i] = static_cast<T>((static_cast<T>(y >> (up + cut.shift)) ^ carry[i]) - a.mask[at + i]);
            a.wrap[at + i] = static_cast<W>(a.sign[at + i] + negated(below, static_cast<W>(carry[i])));
        }
    }
}

template <class T, class W>
PI_INLINE void open_any(const Backend &, Cut cut, const OpenedShare<T, W> &a, size_t n) {
    const int up = cut.ring_bits - cut.shift;
    for (size_t at = 0; at < n; at += TILE) {
        const size_t now = tile_size(n, at);
        W negative[TILE];
        spread(a.negative, at, now, negative);
        for (size_t i = 0; i < now; i++) {
            const W wrap = static_cast<W>(a.sign_word[at + i] + (a.correction[at + i] & negative[i]));
            a.value[at + i] += a.truncated[at + i] + static_cast<T>(static_cast<T>(wrap) << up);
        }
    }
}

template <class T>
PI_INLINE void replies_any(const Backend &, const Replies<T> &a, size_t n) {
    for (size_t at = 0; at < n; at += TILE) {
        const size_t now = tile_size(n, at);
        T positive[TILE], swapped[TILE], carry[TILE];
        spread(a.positive, at, now, positive);
        spread(a.swapped, at, now, swapped);
        spread(a.carry, at, now, carry);
        for (size_t i = 0; i < now; i++) {
            const T value = a.value[at + i] - carry[i];  // a set bit is -1
            const T mine = negated(a.unmask[at + i], swapped[i]);
            a.zero[at + i] = (value & positive[i]) + mine + a.reply_zero[at + i];
            a.one[at + i] = (value & static_cast<T>(~positive[i])) + mine + a.reply_one[at + i];
        }
    }
}

template <class T>
PI_INLINE T chosen(T where, T one, T zero) {
    return zero ^ ((zero ^ one) & where);
}

template <class T>
PI_INLINE void result_any(const Backend &, int ring_bits, const Result<T> &a, size_t n) {
    const T ring = static_cast<T>(~T{0}) >> (8 * sizeof(T) - static_cast<size_t>(ring_bits));
    for (size_t at = 0; at < n; at += TILE) {
        const size_t now = tile_size(n, at);
        T choice[TILE], swapped[TILE], carry[TILE];
        spread(a.choice, at, now, choice);
        spread(a.swapped, at, now, swapped);
        spread(a.carry, at, now, carry);
        for (size_t i = 0; i < now; i++) {
            const T sum = chosen(choice[i], a.one[at + i], a.zero[at + i]) +
                          chosen(swapped[i], a.final_one[at + i], a.final_zero[at + i]);
            a.out[at + i] = negated(sum, carry[i]) & ring;
        }
    }
}

// One function a type, each in the copies that wide.h makes.
#define PI_CUT(NAME, BODY, ARGS, T, W)                                                              \
    PI_BOTH(NAME, BODY, (const Backend &be, Cut cut, const ARGS<T, W> &a, size_t n), (be, cut, a, n))
#define PI_CUTS(NAME, BODY, ARGS)                   \
    PI_CUT(NAME, BODY, ARGS, uint32_t, uint32_t)    \
    PI_CUT(NAME, BODY, ARGS, uint64_t, uint32_t)    \
    PI_CUT(NAME, BODY, ARGS, uint64_t, uint64_t)

PI_CUTS(masks, mask_any, MaskedShare)
PI_CUTS(opens, open_any, OpenedShare)
PI_BOTH(replies, replies_any, (const Backend &be, const Replies<uint32_t> &a, size_t n), (be, a, n))
PI_BOTH(replies, replies_any, (const Backend &be, const Replies<uint64_t> &a, size_t n), (be, a, n))
PI_BOTH(results, result_any, (const Backend &be, int bits, const Result<uint32_t> &a, size_t n), (be, bits, a, n))
PI_BOTH(results, result_any, (const Backend &be, int bits, const Result<uint64_t> &a, size_t n), (be, bits, a, n))

}  // namespace

template <class T, class W>
void gmw_mask(Cut cut, const MaskedShare<T, W> &a, size_t n) {
    masks(backend(), cut, a, n);
}

template <class T, class W>
void gmw_open(Cut cut, const OpenedShare<T, W> &a, size_t n) {
    opens(backend(), cut, a, n);
}

template <class T>
void gmw_replies(const Replies<T> &a, size_t n) {
    replies(backend(), a, n);
}

template <class T>
void gmw_result(int ring_bits, const Result<T> &a, size_t n) {
    results(backend(), ring_bits, a, n);
}

template void gmw_mask(Cut, const MaskedShare<uint32_t, uint32_t> &, size_t);
template void gmw_mask(Cut, const MaskedShare<uint64_t, uint32_t> &, size_t);
template void gmw_mask(Cut, const MaskedShare<uint64_t, uint64_t> &, size_t);
template void gmw_open(Cut, const OpenedShare<uint32_t, uint32_t> &, size_t);
template void gmw_open(Cut, const OpenedShare<uint64_t, uint32_t> &, size_t);
template void gmw_open(Cut, const OpenedShare<uint64_t, uint64_t> &, size_t);
template void gmw_replies(const Replies<uint32_t> &, size_t);
template void gmw_replies(const Replies<uint64_t> &, size_t);
template void gmw_result(int, const Result<uint32_t> &, size_t);
template void gmw_result(int, const Result<uint64_t> &, size_t);

}  // namespace pi

// What a gate does with the value beside the comparison's bits: masks, signs and choices, all without a branch.
//
// Elements are T = uint32_t or uint64_t, the carrier of Z_{2^l}; corrections are W, the carrier of Z_{2^t}, where t
// low bits are dropped. A plane holds one bit an element, (n + 7) / 8 bytes; a null carry is none, for t = 0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pi {

struct Cut {
    int ring_bits;  // l
    int shift;      // t < l
};

// The server's message: value = (floor(y / 2^t) ^ -c) - mask, wrap = sign + (1 - 2 c) [y < 0].
template <class T, class W>
struct MaskedShare {
    const T *share, *mask;
    const W *sign;
    const uint8_t *carry;
    T *value;
    W *wrap;
};
template <class T, class W>
void gmw_mask(Cut cut, const MaskedShare<T, W> &a, size_t n);

// The client's value from that message: value += truncated + (sign_word + [y_1 < 0] correction) 2^(l - t).
template <class T, class W>
struct OpenedShare {
    const T *truncated;
    const W *sign_word, *correction;
    const uint8_t *negative;
    T *value;
};
template <class T, class W>
void gmw_open(Cut cut, const OpenedShare<T, W> &a, size_t n);

// The client's replies for both values of the server's share of b, V = value + c:
// zero = b V + m + reply_zero, one = (1 - b) V + m + reply_one, where m = (1 - 2 swapped) unmask.
template <class T>
struct Replies {
    const T *value, *unmask, *reply_zero, *reply_one;
    const uint8_t *positive, *swapped, *carry;
    T *zero, *one;
};
template <class T>
void gmw_replies(const Replies<T> &a, size_t n);

// The server's result: (choice ? one : zero) + (swapped ? final_one : final_zero), negated where c, modulo 2^l.
template <class T>
struct Result {
    const T *zero, *one, *final_zero, *final_one;
    const uint8_t *choice, *swapped, *carry;
    T *out;
};
template <class T>
void gmw_result(int ring_bits, const Result<T> &a, size_t n);

}  // namespace pi

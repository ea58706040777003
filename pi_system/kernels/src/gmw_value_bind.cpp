// Python functions of a gate's value.
#include <nanobind/stl/optional.h>

#include <optional>
#include <type_traits>

#include "bind.h"
#include "gmw_value.h"

using namespace pi;

namespace {

size_t width_of(const ConstElements &a) { return a.dtype().bits == 32 ? 4 : 8; }

Cut checked_cut(int ring_bits, int shift, size_t width) {
    if (ring_bits < 1 || ring_bits > static_cast<int>(8 * width))
        throw nb::value_error("ring_bits: expected at most the bits of an element");
    if (shift < 1 || shift >= ring_bits) throw nb::value_error("shift: expected 1 to ring_bits - 1");
    return {ring_bits, shift};
}

template <class T, class Array>
auto *elements(const char *what, const Array &a, size_t n) {
    require_size(what, require_elements(what, a, sizeof(T)), n);
    using To = std::conditional_t<std::is_same_v<Array, ConstElements>, const T, T>;
    return static_cast<To *>(a.data());
}

template <class Plane>
const uint8_t *plane(const char *what, const Plane &a, size_t n) {
    require_size(what, a.size(), (n + 7) / 8);
    return a.data();
}

const uint8_t *maybe_plane(const char *what, const std::optional<ConstBytes> &a, size_t n) {
    return a ? plane(what, *a, n) : nullptr;
}

// Calls f(T{}, W{}) for the widths of an element and of a correction.
template <class F>
void by_width(size_t element, size_t correction, F f) {
    if (element == 4)
        f(uint32_t{}, uint32_t{});
    else if (correction == 4)
        f(uint64_t{}, uint32_t{});
    else
        f(uint64_t{}, uint64_t{});
}

void py_gmw_mask(int ring_bits, int shift, ConstElements share, ConstBytes carry, ConstElements mask,
                 ConstElements sign, Elements value, Elements wrap) {
    const size_t n = share.size();
    const Cut cut = checked_cut(ring_bits, shift, width_of(share));
    by_width(width_of(share), width_of(sign), [&](auto t, auto w) {
        using T = decltype(t);
        using W = decltype(w);
        const MaskedShare<T, W> a = {elements<T>("share", share, n), elements<T>("mask", mask, n),
                                     elements<W>("sign", sign, n),   plane("carry bytes", carry, n),
                                     elements<T>("value", value, n), elements<W>("wrap", wrap, n)};
        nb::gil_scoped_release release;
        gmw_mask(cut, a, n);
    });
}

void py_gmw_open(int ring_bits, int shift, ConstElements truncated, ConstBytes negative, ConstElements sign_word,
                 ConstElements correction, Elements value) {
    const size_t n = truncated.size();
    const Cut cut = checked_cut(ring_bits, shift, width_of(truncated));
    by_width(width_of(truncated), width_of(sign_word), [&](auto t, auto w) {
        using T = decltype(t);
        using W = decltype(w);
        const OpenedShare<T, W> a = {elements<T>("truncated", truncated, n), elements<W>("sign_word", sign_word, n),
                                     elements<W>("correction", correction, n), plane("negative bytes", negative, n),
                                     elements<T>("value", value, n)};
        nb::gil_scoped_release release;
        gmw_open(cut, a, n);
    });
}

void py_gmw_replies(ConstBytes positive, ConstBytes swapped, std::optional<ConstBytes> carry, ConstElements value,
                    ConstElements unmask, ConstElements reply_zero, ConstElements reply_one, Elements zero,
                    Elements one) {
    const size_t n = value.size();
    by_width(width_of(value), 4, [&](auto t, auto) {
        using T = decltype(t);
        const Replies<T> a = {elements<T>("value", value, n),
                              elements<T>("unmask", unmask, n),
                              elements<T>("reply_zero", reply_zero, n),
                              elements<T>("reply_one", reply_one, n),
                              plane("positive bytes", positive, n),
                              plane("swapped bytes", swapped, n),
                              maybe_plane("carry bytes", carry, n),
                              elements<T>("zero", zero, n),
                              elements<T>("one", one, n)};
        nb::gil_scoped_release release;
        gmw_replies(a, n);
    });
}

void py_gmw_result(int ring_bits, ConstBytes choice, ConstBytes swapped, std::optional<ConstBytes> carry,
                   ConstElements zero, ConstElements one, ConstElements final_zero, ConstElements final_one,
                   Elements out) {
    const size_t n = zero.size();
    if (ring_bits < 1 || ring_bits > static_cast<int>(8 * width_of(zero)))
        throw nb::value_error("ring_bits: expected at most the bits of an element");
    by_width(width_of(zero), 4, [&](auto t, auto) {
        using T = decltype(t);
        const Result<T> a = {elements<T>("zero", zero, n),
                             elements<T>("one", one, n),
                             elements<T>("final_zero", final_zero, n),
                             elements<T>("final_one", final_one, n),
                             plane("choice bytes", choice, n),
                             plane("swapped bytes", swapped, n),
                             maybe_plane("carry bytes", carry, n),
                             elements<T>("out", out, n)};
        nb::gil_scoped_release release;
        gmw_result(ring_bits, a, n);
    });
}

}  // namespace

void register_gmw_value(nb::module_ &m) {
    m.def("gmw_mask", &py_gmw_mask, nb::arg("ring_bits"), nb::arg("shift"), nb::arg("share"), nb::arg("carry"),
          nb::arg("mask"), nb::arg("sign"), nb::arg("value"), nb::arg("wrap"));
    m.def("gmw_open", &py_gmw_open, nb::arg("ring_bits"), nb::arg("shift"), nb::arg("truncated"), nb::arg("negative"),
          nb::arg("sign_word"), nb::arg("correction"), nb::arg("value"));
    m.def("gmw_replies", &py_gmw_replies, nb::arg("positive"), nb::arg("swapped"), nb::arg("carry").none(),
          nb::arg("value"), nb::arg("unmask"), nb::arg("reply_zero"), nb::arg("reply_one"), nb::arg("zero"),
          nb::arg("one"));
    m.def("gmw_result", &py_gmw_result, nb::arg("ring_bits"), nb::arg("choice"), nb::arg("swapped"),
          nb::arg("carry").none(), nb::arg("zero"), nb::arg("one"), nb::arg("final_zero"), nb::arg("final_one"),
          nb::arg("out"));
}

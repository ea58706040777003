// Checked views of numpy arrays; every error is a ValueError.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>
#include <string>

namespace pi {

namespace nb = nanobind;

using Bytes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ConstBytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Elements = nb::ndarray<nb::c_contig, nb::device::cpu>;               // uint32 or uint64, written
using ConstElements = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;  // uint32 or uint64, read

inline void require_size(const char *what, size_t found, size_t expected) {
    if (found != expected)
        throw nb::value_error((std::string(what) + ": expected " + std::to_string(expected) + ", found " +
                               std::to_string(found))
                                  .c_str());
}

inline const uint8_t *bytes16(const char *what, const nb::bytes &b) {
    require_size(what, b.size(), 16);
    return static_cast<const uint8_t *>(b.data());
}

// Checks an array of unsigned elements of `width` bytes and returns its length.
template <class Array>
size_t require_elements(const char *what, const Array &array, size_t width) {
    const nb::dlpack::dtype type = array.dtype();
    if (type.code != static_cast<uint8_t>(nb::dlpack::dtype_code::UInt) || type.lanes != 1)
        throw nb::value_error((std::string(what) + ": expected unsigned elements").c_str());
    require_size((std::string(what) + ": element bits").c_str(), type.bits, 8 * width);
    return array.size();
}

}  // namespace pi

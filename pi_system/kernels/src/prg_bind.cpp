// Python functions for keystream, packing and the choice of backend.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>

#include "aes.h"
#include "bind.h"
#include "pack.h"

using namespace pi;

namespace {

void require_bits(int bits) {
    if (bits < 1 || bits > 64) throw nb::value_error("bits: expected 1 to 64");
}

void aes_ctr(const nb::bytes &key16, const nb::bytes &counter16, Bytes out) {
    const Backend &be = backend();
    uint64_t counter[2];
    std::memcpy(counter, bytes16("counter bytes", counter16), 16);
    AesKey key;
    be.expand(bytes16("key bytes", key16), key);
    uint8_t *to = out.data();
    const size_t whole = out.size() / 16, rest = out.size() % 16;
    const uint64_t hi = __builtin_bswap64(counter[0]), lo = __builtin_bswap64(counter[1]);
    nb::gil_scoped_release release;
    be.ctr(key, hi, lo, to, whole);
    if (rest == 0) return;
    uint8_t last[16];
    be.ctr(key, hi + (lo + whole < lo), lo + whole, last, 1);
    std::memcpy(to + 16 * whole, last, rest);
}

size_t element_width(const nb::dlpack::dtype &type) { return type.bits == 32 ? 4 : 8; }

void pack_bits(ConstElements values, int bits, Bytes out) {
    require_bits(bits);
    const size_t width = element_width(values.dtype()), n = require_elements("values", values, width);
    require_size("out bytes", out.size(), packed_bytes(n, bits));
    const uint8_t *from = static_cast<const uint8_t *>(values.data());
    uint8_t *to = out.data();
    nb::gil_scoped_release release;
    for (size_t at = 0; at < n; at += LANES) {
        const size_t now = n - at < LANES ? n - at : LANES;
        uint64_t lanes[LANES] = {};
        for (size_t i = 0; i < now; i++) std::memcpy(&lanes[i], from + (at + i) * width, width);
        uint8_t block[8 * LANES];
        backend().pack(lanes, bits, block);
        std::memcpy(to + at / 8 * static_cast<size_t>(bits), block, packed_bytes(now, bits));
    }
}

void unpack_bits(ConstBytes packed, int bits, Elements out) {
    require_bits(bits);
    const size_t width = element_width(out.dtype()), n = require_elements("out", out, width);
    require_size("packed bytes", packed.size(), packed_bytes(n, bits));
    if (static_cast<size_t>(bits) > 8 * width) throw nb::value_error("out: elements too narrow for bits");
    const uint8_t *from = packed.data();
    uint8_t *to = static_cast<uint8_t *>(out.data());
    nb::gil_scoped_release release;
    for (size_t at = 0; at < n; at += LANES) {
        const size_t now = n - at < LANES ? n - at : LANES;
        uint8_t block[8 * LANES] = {};
        std::memcpy(block, from + at / 8 * static_cast<size_t>(bits), packed_bytes(now, bits));
        uint64_t lanes[LANES];
        backend().unpack(block, bits, lanes);
        for (size_t i = 0; i < now; i++) std::memcpy(to + (at + i) * width, &lanes[i], width);
    }
}

std::vector<std::string> aes_backends() {
    std::vector<std::string> names;
    for (const Backend *const *b = available_backends(); *b != nullptr; b++) names.push_back((*b)->name);
    return names;
}

void use_aes_backend(const std::string &name) {
    if (!select_backend(name.c_str()))
        throw nb::value_error("backend: unknown or not supported by this machine");
}

}  // namespace

void register_prg(nb::module_ &m) {
    if (const char *wanted = std::getenv("PI_SYSTEM_AES")) use_aes_backend(wanted);
    m.def("aes_ctr", &aes_ctr, nb::arg("key16"), nb::arg("counter16"), nb::arg("out").noconvert());
    m.def("pack_bits", &pack_bits, nb::arg("values").noconvert(), nb::arg("bits"),
          nb::arg("out").noconvert());
    m.def("unpack_bits", &unpack_bits, nb::arg("packed").noconvert(), nb::arg("bits"),
          nb::arg("out").noconvert());
    m.def("aes_backends", &aes_backends);
    m.def("aes_backend", [] { return std::string(backend().name); });
    m.def("use_aes_backend", &use_aes_backend, nb::arg("name"));
}

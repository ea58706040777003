// Python bindings of the RLWE arithmetic; pi_system/kernels/he.py is the checked, typed surface.
#include "he.h"

#include "bind.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using namespace nb::literals;
using rlwe::Context;

namespace {

template <class T> using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

}  // namespace

void register_he(nb::module_ &m) {
    m.def("rlwe_ifma", &rlwe::ifma_available);
    m.def("rlwe_fma", &rlwe::fma_available);
    m.def("rlwe_expand", [](const nb::bytes &key32, const std::vector<uint64_t> &primes, const Array<uint64_t> &out) {
        pi::require_size("key bytes", key32.size(), 32);
        const auto *key = static_cast<const uint8_t *>(key32.data());
        nb::gil_scoped_release release;
        rlwe::expand(key, primes, out.shape(1), out.data());
    });
    nb::class_<Context>(m, "RlweContext")
        .def(nb::init<size_t, const std::vector<uint64_t> &, const std::string &>(), "n"_a, "primes"_a, "path"_a)
        .def("load_inputs",
             [](const Context &c, const Array<const uint64_t> &in, const Array<uint64_t> &out) {
                 nb::gil_scoped_release release;
                 c.load_inputs(in.data(), in.shape(0), out.data());
             })
        .def("load_weights",
             [](const Context &c, const Array<const int32_t> &in, const Array<uint64_t> &out) {
                 nb::gil_scoped_release release;
                 c.load_weights(in.data(), in.shape(0), in.shape(1), out.data());
             })
        .def("multiply",
             [](const Context &c, const Array<const uint64_t> &weights, const Array<const uint64_t> &inputs,
                const Array<const int32_t> &select, const Array<uint64_t> &out) {
                 nb::gil_scoped_release release;
                 c.multiply(weights.data(), inputs.data(), select.data(), weights.shape(2), weights.shape(3),
                            inputs.shape(2), inputs.shape(1) / weights.shape(1), out.data());
             })
        .def("multiply_once",
             [](const Context &c, const Context &narrow, const Array<const int32_t> &weights,
                const Array<const uint64_t> &inputs, const Array<const int32_t> &select, const Array<uint64_t> &out) {
                 nb::gil_scoped_release release;
                 c.multiply_once(narrow, weights.data(), inputs.data(), select.data(), select.shape(0), weights.shape(0),
                                 weights.shape(1), inputs.shape(2), out.data());
             })
        .def("secret_key",
             [](const Context &c, const Array<const uint64_t> &random, const Array<uint64_t> &out) {
                 nb::gil_scoped_release release;
                 c.secret_key(random.data(), out.data());
             })
        .def("encrypt",
             [](const Context &c, const Array<const uint64_t> &secret, const Array<const uint64_t> &random,
                const Array<const uint64_t> &message, int bits, const Array<uint64_t> &half) {
                 nb::gil_scoped_release release;
                 c.encrypt(secret.data(), random.data(), message.data(), bits, half.data());
             })
        .def("decrypt",
             [](const Context &c, const Array<const uint64_t> &secret, int bits, const Array<const uint64_t> &first,
                const Array<const uint64_t> &second, const Array<const int32_t> &positions,
                const Array<uint64_t> &out) {
                 nb::gil_scoped_release release;
                 c.decrypt(secret.data(), first.shape(0), bits, first.data(), second.data(), positions.data(),
                           positions.size(), out.data());
             })
        .def("finish", [](const Context &c, int ring_bits, int flood_bits, int kept, int drop_bits,
                          const Array<uint64_t> &product, const Array<const uint64_t> &zero,
                          const Array<const uint64_t> &random, const Array<const int32_t> &positions,
                          const Array<const uint64_t> &flood, const Array<const uint64_t> &masks,
                          const Array<uint8_t> &out) {
            nb::gil_scoped_release release;
            c.finish({ring_bits, flood_bits, kept, drop_bits}, product.data(), zero.data(), random.data(),
                     positions.data(), flood.data(), masks.data(), positions.size(), out.data());
        });
}

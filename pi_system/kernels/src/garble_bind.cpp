// Python functions of the garbled ReLU.
#include "bind.h"
#include "garble.h"

using namespace pi;

namespace {

using Labels = nb::ndarray<uint64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using ConstLabels = nb::ndarray<const uint64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Words64 = nb::ndarray<uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

GarbleShape shape_of(int bits, int shift, size_t stride, uint64_t tweak) {
    if (bits < 2 || bits > GARBLE_MAX_BITS) throw nb::value_error("bits: expected 2 to 64");
    if (shift < 0 || shift >= bits) throw nb::value_error("shift: expected 0 to bits - 1");
    require_size("stride modulo 32", stride % 32, 0);
    return {bits, shift, stride, tweak};
}

void require_range(size_t first, size_t n, size_t stride) {
    require_size("first modulo 32", first % 32, 0);
    if (first > stride || n > stride - first) throw nb::value_error("first: expected elements within the gate");
}

// (rows, elements of `words` 64-bit words).
void require_labels(const char *what, const ConstLabels &array, size_t rows, size_t n, size_t words) {
    require_size(what, array.shape(0), rows);
    require_size(what, array.shape(1), n * words);
}

Pair delta_of(const nb::bytes &delta16) {
    Pair delta;
    std::memcpy(&delta, bytes16("delta bytes", delta16), sizeof delta);
    return delta;
}

void py_garble(int bits, int shift, size_t stride, uint64_t tweak, const nb::bytes &seed16, const nb::bytes &delta16,
               size_t first, ConstLabels q, ConstBytes flips, Labels tables, Labels rows, Words64 offset) {
    const GarbleShape shape = shape_of(bits, shift, stride, tweak);
    const size_t n = offset.size(), k = static_cast<size_t>(bits);
    require_range(first, n, stride);
    require_size("elements modulo 32", n % 32, 0);
    require_labels("q", q, k, n, 2);
    require_size("flips bytes", flips.size(), k * n / 8);
    require_labels("tables", ConstLabels(tables), k - 1, n, 4);
    require_labels("rows", ConstLabels(rows), shape.rows(), n, 1);
    const uint8_t *seed = bytes16("seed bytes", seed16), *planes = flips.data();
    const Pair delta = delta_of(delta16), *labels = reinterpret_cast<const Pair *>(q.data());
    Pair *to_tables = reinterpret_cast<Pair *>(tables.data());
    uint64_t *to_rows = rows.data(), *to_offset = offset.data();
    nb::gil_scoped_release release;
    garble(shape, seed, delta, first, n, labels, planes, to_tables, to_rows, to_offset);
}

void py_garble_inputs(int bits, size_t stride, const nb::bytes &seed16, const nb::bytes &delta16, size_t first,
                      ConstElements share, Bytes out) {
    const GarbleShape shape = shape_of(bits, 0, stride, 0);
    const size_t width = share.dtype().bits == 32 ? 4 : 8, n = require_elements("share", share, width);
    require_range(first, n, stride);
    require_size("out bytes", out.size(), 16 * n * static_cast<size_t>(bits));
    if (static_cast<size_t>(bits) > 8 * width) throw nb::value_error("bits: expected at most the share's");
    const uint8_t *seed = bytes16("seed bytes", seed16), *from = static_cast<const uint8_t *>(share.data());
    const Pair delta = delta_of(delta16);
    uint8_t *to = out.data();
    nb::gil_scoped_release release;
    garble_inputs(shape, seed, delta, first, n, from, width, to);
}

void py_garble_evaluate(int bits, int shift, uint64_t tweak, size_t first, ConstBytes server, ConstLabels client,
                        ConstLabels tables, ConstElements rows, Words64 out) {
    const size_t stride = client.shape(1) / 2, n = out.size(), k = static_cast<size_t>(bits);
    const GarbleShape shape = shape_of(bits, shift, stride, tweak);
    require_range(first, n, stride);
    require_size("server bytes", server.size(), 16 * n * k);
    require_labels("client", client, k, stride, 2);
    require_labels("tables", tables, k - 1, stride, 4);
    const size_t width = rows.dtype().bits == 32 ? 4 : 8;
    require_size("rows", require_elements("rows", rows, width), shape.rows() * stride);
    const uint8_t *labels = server.data(), *projections = static_cast<const uint8_t *>(rows.data());
    const Pair *mine = reinterpret_cast<const Pair *>(client.data());
    const Pair *gates = reinterpret_cast<const Pair *>(tables.data());
    uint64_t *to = out.data();
    nb::gil_scoped_release release;
    garble_evaluate(shape, first, n, labels, mine, gates, projections, width, to);
}

}  // namespace

void register_garble(nb::module_ &m) {
    m.def("garble", &py_garble, nb::arg("bits"), nb::arg("shift"), nb::arg("stride"), nb::arg("tweak"),
          nb::arg("seed16"), nb::arg("delta16"), nb::arg("first"), nb::arg("q"), nb::arg("flips"), nb::arg("tables"),
          nb::arg("rows"), nb::arg("offset"));
    m.def("garble_inputs", &py_garble_inputs, nb::arg("bits"), nb::arg("stride"), nb::arg("seed16"),
          nb::arg("delta16"), nb::arg("first"), nb::arg("share"), nb::arg("out"));
    m.def("garble_evaluate", &py_garble_evaluate, nb::arg("bits"), nb::arg("shift"), nb::arg("tweak"),
          nb::arg("first"), nb::arg("server"), nb::arg("client"), nb::arg("tables"), nb::arg("rows"), nb::arg("out"));
}

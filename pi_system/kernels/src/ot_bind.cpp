// Python functions of the oblivious transfer kernels.
#include "bind.h"
#include "ot.h"

using namespace pi;

namespace {

using Blocks = nb::ndarray<uint64_t, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;
using ConstBlocks = nb::ndarray<const uint64_t, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;
using Words = nb::ndarray<uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ConstWords = nb::ndarray<const uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

inline const Pair *pairs(const ConstBlocks &b) { return reinterpret_cast<const Pair *>(b.data()); }
inline Pair *pairs(const Blocks &b) { return reinterpret_cast<Pair *>(b.data()); }

Pair pair16(const char *what, const nb::bytes &b) {
    Pair x;
    std::memcpy(&x, bytes16(what, b), sizeof x);
    return x;
}

void require_group(size_t n) { require_size("elements modulo 32", n % 32, 0); }

void require_range(const char *what, int value, int low, int high) {
    if (value < low || value > high) throw nb::value_error(what);
}

void py_cr_hash(ConstBlocks in, uint64_t tweak, Blocks out) {
    require_size("out blocks", out.shape(0), in.shape(0));
    const Pair *from = pairs(in);
    Pair *to = pairs(out);
    const size_t n = in.shape(0);
    nb::gil_scoped_release release;
    cr_hash(from, to, n, tweak);
}

void py_fold_leaves(ConstBlocks leaves, uint32_t shift, bool skip, uint64_t counter, Bytes rows, Bytes sum) {
    require_size("leaves", leaves.shape(0), 256);
    require_size("sum bytes modulo 16", sum.size() % 16, 0);
    require_size("rows bytes", rows.size(), 8 * sum.size());
    require_range("shift: expected 0 to 255", static_cast<int>(shift), 0, 255);
    const Pair *from = pairs(leaves);
    uint8_t *columns = rows.data(), *total = sum.data();
    const size_t stride = sum.size();
    nb::gil_scoped_release release;
    fold_leaves(from, shift, skip, counter, stride / 16, columns, stride, total);
}

void py_transpose_128(ConstBytes rows, Blocks out) {
    const size_t n = out.shape(0);
    require_size("blocks modulo 8", n % 8, 0);
    require_size("rows bytes", rows.size(), 16 * n);
    const uint8_t *from = rows.data();
    Pair *to = pairs(out);
    nb::gil_scoped_release release;
    transpose_128(from, n / 8, n, to);
}

void py_tree_sender(ConstBlocks roots, int depth, const nb::bytes &delta16, Blocks leaves, Blocks sums) {
    require_range("depth: expected 1 to 20", depth, 1, 20);
    const size_t trees = roots.shape(0);
    require_size("leaves", leaves.shape(0), trees << depth);
    require_size("sums", sums.shape(0), trees * static_cast<size_t>(depth));
    const Pair *from = pairs(roots), delta = pair16("delta bytes", delta16);
    Pair *to = pairs(leaves), *levels = pairs(sums);
    nb::gil_scoped_release release;
    tree_sender(from, trees, depth, delta, to, levels);
}

void py_tree_receiver(ConstWords alphas, int depth, ConstBlocks keys, Blocks leaves) {
    require_range("depth: expected 1 to 20", depth, 1, 20);
    const size_t trees = alphas.size();
    require_size("leaves", leaves.shape(0), trees << depth);
    require_size("keys", keys.shape(0), trees * static_cast<size_t>(depth));
    const uint32_t *paths = alphas.data();
    const Pair *from = pairs(keys);
    Pair *to = pairs(leaves);
    nb::gil_scoped_release release;
    tree_receiver(paths, trees, depth, from, to);
}

void py_lpn_encode(ConstBlocks base, const nb::bytes &seed16, uint64_t first, Blocks out) {
    const size_t k = base.shape(0), n = out.shape(0);
    require_range("base: expected 2 to 2^31 - 1 blocks", k > 1 && k < (size_t{1} << 31), 1, 1);
    require_size("first row modulo 32", first % LPN_ROWS, 0);
    require_size("rows modulo 32", n % LPN_ROWS, 0);
    const uint8_t *seed = bytes16("seed bytes", seed16);
    const Pair *from = pairs(base);
    Pair *to = pairs(out);
    nb::gil_scoped_release release;
    lpn_encode(from, static_cast<uint32_t>(k), seed, first, n, to);
}

void py_bits_sender(ConstBlocks q, const nb::bytes &delta16, uint64_t tweak, int width, Bytes beta, Bytes v) {
    const size_t n = q.shape(0);
    require_group(n);
    require_range("width: expected 1 to 128", width, 1, 128);
    require_size("beta bytes", beta.size(), n / 8 * static_cast<size_t>(width));
    require_size("v bytes", v.size(), n / 8 * static_cast<size_t>(width));
    const Pair *from = pairs(q), delta = pair16("delta bytes", delta16);
    uint8_t *to_beta = beta.data(), *to_v = v.data();
    nb::gil_scoped_release release;
    bits_sender(from, delta, tweak, n, width, to_beta, to_v);
}

void py_bits_receiver(ConstBlocks t, uint64_t tweak, int width, Bytes u, Bytes w) {
    const size_t n = t.shape(0);
    require_group(n);
    require_range("width: expected 1 to 128", width, 1, 128);
    require_size("u bytes", u.size(), n / 8);
    require_size("w bytes", w.size(), n / 8 * static_cast<size_t>(width));
    const Pair *from = pairs(t);
    uint8_t *to_u = u.data(), *to_w = w.data();
    nb::gil_scoped_release release;
    bits_receiver(from, tweak, n, width, to_u, to_w);
}

void require_pads(int m, int width) {
    require_range("width: expected 1 or 2", width, 1, 2);
    require_range("m: expected 1 to 4, 5 for strings of one bit", m, 1, 6 - width);
}

void py_pads_sender(ConstBlocks q, const nb::bytes &delta16, uint64_t tweak, int m, int width, Words pads) {
    const size_t n = pads.size();
    require_group(n);
    require_pads(m, width);
    require_size("blocks", q.shape(0), n * static_cast<size_t>(m));
    const Pair *from = pairs(q), delta = pair16("delta bytes", delta16);
    uint32_t *to = pads.data();
    nb::gil_scoped_release release;
    pads_sender(from, delta, tweak, n, m, width, to);
}

void py_pads_receiver(ConstBlocks t, uint64_t tweak, int m, int width, ConstBytes choice, Bytes shift, Bytes bits) {
    const size_t n = choice.size();
    require_group(n);
    require_pads(m, width);
    require_size("blocks", t.shape(0), n * static_cast<size_t>(m));
    require_size("shift bytes", shift.size(), n / 8 * static_cast<size_t>(m));
    require_size("bits", bits.size(), n / 8 * static_cast<size_t>(width));
    const Pair *from = pairs(t);
    const uint8_t *wanted = choice.data();
    uint8_t *to_shift = shift.data(), *to_bits = bits.data();
    nb::gil_scoped_release release;
    pads_receiver(from, tweak, n, m, width, wanted, to_shift, to_bits);
}

void py_pads_shift(Words pads, ConstBytes shift, int m) {
    const size_t n = pads.size();
    require_group(n);
    require_range("m: expected 1 to 5", m, 1, 5);
    require_size("shift bytes", shift.size(), n / 8 * static_cast<size_t>(m));
    uint32_t *to = pads.data();
    const uint8_t *planes = shift.data();
    nb::gil_scoped_release release;
    pads_shift(to, planes, n, m);
}

}  // namespace

void register_ot(nb::module_ &m) {
    m.def("cr_hash", &py_cr_hash, nb::arg("blocks"), nb::arg("tweak"), nb::arg("out"));
    m.def("fold_leaves", &py_fold_leaves, nb::arg("leaves"), nb::arg("shift"), nb::arg("skip"), nb::arg("counter"),
          nb::arg("rows"), nb::arg("sum"));
    m.def("transpose_128", &py_transpose_128, nb::arg("rows"), nb::arg("out"));
    m.def("tree_sender", &py_tree_sender, nb::arg("roots"), nb::arg("depth"), nb::arg("delta16"), nb::arg("leaves"),
          nb::arg("sums"));
    m.def("tree_receiver", &py_tree_receiver, nb::arg("alphas"), nb::arg("depth"), nb::arg("keys"),
          nb::arg("leaves"));
    m.def("lpn_encode", &py_lpn_encode, nb::arg("base"), nb::arg("seed16"), nb::arg("first"), nb::arg("out"));
    m.def("bits_sender", &py_bits_sender, nb::arg("q"), nb::arg("delta16"), nb::arg("tweak"), nb::arg("width"),
          nb::arg("beta"), nb::arg("v"));
    m.def("bits_receiver", &py_bits_receiver, nb::arg("t"), nb::arg("tweak"), nb::arg("width"), nb::arg("u"),
          nb::arg("w"));
    m.def("pads_sender", &py_pads_sender, nb::arg("q"), nb::arg("delta16"), nb::arg("tweak"), nb::arg("m"),
          nb::arg("width"), nb::arg("pads"));
    m.def("pads_receiver", &py_pads_receiver, nb::arg("t"), nb::arg("tweak"), nb::arg("m"), nb::arg("width"),
          nb::arg("choice"), nb::arg("shift"), nb::arg("bits"));
    m.def("pads_shift", &py_pads_shift, nb::arg("pads"), nb::arg("shift"), nb::arg("m"));
}

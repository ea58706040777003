// Python functions of the comparison leaves.
#include "bind.h"
#include "gmw.h"
#include "parallel.h"

using namespace pi;

namespace {

constexpr size_t LEAST = 8192;  // elements that a thread takes at a time, whole bytes of planes

// widths: m of the leaves, most significant first; the input has `bits` bits below its sign.
struct Leaves {
    Leaf leaf[MAX_LEAVES];
    size_t count, word_bytes;

    Leaves(const nb::bytes &widths, int bits) : count(widths.size()), word_bytes(0) {
        if (count < 1 || count > MAX_LEAVES) throw nb::value_error("widths: expected 1 to 16 leaves");
        const uint8_t *m = static_cast<const uint8_t *>(widths.data());
        int low = 0;
        for (size_t i = count; i-- > 0;) {
            if (m[i] < 1 || m[i] > 4) throw nb::value_error("widths: expected 1 to 4 bits");
            const int left = bits - low, used = left < m[i] ? left : m[i];
            if (used < 1) throw nb::value_error("widths: expected no leaf above the input");
            leaf[i] = {low, used, m[i], i + 1 < count, i == 0};
            low += m[i];
            word_bytes += leaf_word_bytes(leaf[i]);
        }
        if (low < bits) throw nb::value_error("widths: expected to cover the input");
    }
};

size_t gmw_word_bytes(const nb::bytes &widths, int bits) { return Leaves(widths, bits).word_bytes; }

void py_gmw_tables(const nb::bytes &widths, int bits, ConstElements share, ConstBytes pads, size_t stride, size_t first,
                   Bytes out) {
    const Leaves leaves(widths, bits);
    const size_t width = share.dtype().bits == 32 ? 4 : 8, n = require_elements("share", share, width);
    if (bits < 1 || bits >= static_cast<int>(8 * width)) throw nb::value_error("bits: expected fewer than the share's");
    require_size("pads bytes", pads.size(), stride * leaves.word_bytes);
    if (first > stride || n > stride - first) throw nb::value_error("first: expected elements within the pads");
    require_size("out bytes", out.size(), n * leaves.word_bytes);
    const uint8_t *from = static_cast<const uint8_t *>(share.data()), *pad = pads.data();
    uint8_t *to = out.data();
    nb::gil_scoped_release release;
    parallel_for(n, LEAST, [&](size_t begin, size_t end) {
        size_t before = 0;  // bytes an element of the leaves before
        for (size_t i = 0; i < leaves.count; i++) {
            const Leaf &leaf = leaves.leaf[i];
            const size_t word = leaf_word_bytes(leaf);
            gmw_table(leaf, bits, from + begin * width, width, end - begin,
                      pad + stride * before + (first + begin) * word, to + n * before + begin * word);
            before += word;
        }
    });
}

void py_gmw_select(const nb::bytes &widths, int bits, ConstBytes words, ConstBytes choices, size_t stride, size_t first,
                   size_t n, Bytes less, Bytes equal) {
    const Leaves leaves(widths, bits);
    const size_t plane = (n + 7) / 8;
    require_size("words bytes", words.size(), n * leaves.word_bytes);
    require_size("choices bytes", choices.size(), stride * leaves.count);
    if (first > stride || n > stride - first) throw nb::value_error("first: expected elements within the choices");
    require_size("less bytes", less.size(), plane * leaves.count);
    require_size("equal bytes", equal.size(), plane * (leaves.count - 1));
    const uint8_t *from = words.data(), *choice = choices.data();
    uint8_t *one = less.data(), *two = equal.data();
    nb::gil_scoped_release release;
    parallel_for(n, LEAST, [&](size_t begin, size_t end) {
        size_t before = 0;
        for (size_t i = 0; i < leaves.count; i++) {
            const Leaf &leaf = leaves.leaf[i];
            const size_t word = leaf_word_bytes(leaf), at = i * plane + begin / 8;
            gmw_select(leaf, from + n * before + begin * word, choice + i * stride + first + begin, end - begin,
                       one + at, leaf.equal ? two + at : nullptr);
            before += word;
        }
    });
}

}  // namespace

void register_gmw(nb::module_ &m) {
    m.def("gmw_word_bytes", &gmw_word_bytes, nb::arg("widths"), nb::arg("bits"));
    m.def("gmw_tables", &py_gmw_tables, nb::arg("widths"), nb::arg("bits"), nb::arg("share"), nb::arg("pads"),
          nb::arg("stride"), nb::arg("first"), nb::arg("out"));
    m.def("gmw_select", &py_gmw_select, nb::arg("widths"), nb::arg("bits"), nb::arg("words"), nb::arg("choices"),
          nb::arg("stride"), nb::arg("first"), nb::arg("n"), nb::arg("less"), nb::arg("equal"));
}

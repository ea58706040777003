#include "conv_panel.h"

#include <cstring>

namespace ringconv {
namespace {

// How the pixels of one block lie in a plane.
enum class Run { Whole, Quads, Single };

Run run_of(const long *offset, int pixels) {
    bool whole = pixels % 8 == 0, quads = true;
    for (int i = 0; i < pixels; i++) {
        whole = whole && offset[i] == offset[0] + i;
        quads = quads && offset[i] == offset[i / 4 * 4] + i % 4;
    }
    return whole ? Run::Whole : quads ? Run::Quads : Run::Single;
}

template <class Word>
inline __attribute__((always_inline)) void copy_rows_body(const Walk &k, const Word *from, const long *offset,
                                                          Word *panel) {
    const Run run = run_of(offset, k.pixels);
    for (int limb = 0; limb < k.limbs; limb++, from += size_t(k.units) * k.plane) {
        Word *dst = panel + size_t(limb) * k.rows * k.pixels;
        for (int place = 0; place < k.g->kh * k.g->kw; place++) {
            const Word *src = from + place / k.g->kw * k.width + place % k.g->kw;
            for (int u = 0; u < k.units; u++, src += k.plane, dst += k.pixels) {
                if (run == Run::Whole)
                    for (int i = 0; i < k.pixels; i += 8) std::memcpy(dst + i, src + offset[0] + i, 8 * sizeof(Word));
                else if (run == Run::Quads)
                    for (int i = 0; i < k.pixels; i += 4) std::memcpy(dst + i, src + offset[i], 4 * sizeof(Word));
                else
                    for (int i = 0; i < k.pixels; i++) dst[i] = src[offset[i]];
            }
        }
        const int used = k.g->kh * k.g->kw * k.units;
        std::memset(dst, 0, size_t(k.rows - used) * k.pixels * sizeof(Word));
    }
}

template <class Word> void copy_rows_plain(const Walk &k, const Word *from, const long *offset, Word *panel) {
    copy_rows_body(k, from, offset, panel);
}

#if defined(__x86_64__)
template <class Word>
__attribute__((target("avx512f,avx512bw,avx512vl,prefer-vector-width=512"))) void
copy_rows_avx512(const Walk &k, const Word *from, const long *offset, Word *panel) {
    if (k.pixels == 16)
        copy_rows_body(Walk{k.g, k.limbs, k.units, k.rows, 16, k.plane, k.width}, from, offset, panel);
    else
        copy_rows_body(k, from, offset, panel);
}
#endif

}  // namespace

template <class Word> void copy_rows(const Walk &k, const uint8_t *from, const long *offset, uint8_t *panel) {
    const Word *words = reinterpret_cast<const Word *>(from);
#if defined(__x86_64__)
    if (cpu().avx512) return copy_rows_avx512(k, words, offset, reinterpret_cast<Word *>(panel));
#endif
    copy_rows_plain(k, words, offset, reinterpret_cast<Word *>(panel));
}

template void copy_rows<uint32_t>(const Walk &, const uint8_t *, const long *, uint8_t *);
template void copy_rows<uint64_t>(const Walk &, const uint8_t *, const long *, uint8_t *);

}  // namespace ringconv

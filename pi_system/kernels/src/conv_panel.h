// Copying the pixels that one tile needs out of the planes of an input (im2col of one block).
#pragma once
#include "conv.h"

namespace ringconv {

struct Walk {
    const Geometry *g;
    int limbs, units, rows, pixels;
    int plane, width;  // words of one plane, of one of its lines
};

// Fills a panel [limb][row][pixel]; row (kernel position, unit) holds, for pixel i, the word at offset[i] from where
// that row starts. Rows after the last are zeroed. Word: uint32_t or uint64_t.
template <class Word> void copy_rows(const Walk &walk, const uint8_t *from, const long *offset, uint8_t *panel);

}  // namespace ringconv

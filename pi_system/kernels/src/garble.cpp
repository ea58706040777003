// Half-gates (Zahur, Rosulek, Evans, eprint 2014/756) on 32 instances at a time.
#include "garble.h"

#include <algorithm>
#include <cstring>

#include "parallel.h"

namespace pi {
namespace {

constexpr size_t TILE = 32;
constexpr size_t LEAST = 8 * TILE;  // elements that a thread takes at a time; of labels alone many more

// What a hash is used for, in the high half of its tweak.
enum Use : uint64_t { GENERATOR = 0, EVALUATOR = 1, PROJECTION = 2, PRODUCT = 3 };

const AesKey &garble_permutation() {
    static const AesKey key = [] {
        static const uint8_t pi_digits[16] = {0xa4, 0x09, 0x38, 0x22, 0x29, 0x9f, 0x31, 0xd0,
                                              0x08, 0x2e, 0xfa, 0x98, 0xec, 0x4e, 0x6c, 0x89};
        AesKey expanded;
        backend().expand(pi_digits, expanded);
        return expanded;
    }();
    return key;
}

// x becomes P(P(x) ^ tweak) ^ P(x): tweakable circular correlation robust (eprint 2019/074). Rows of TILE
// labels; element i of a row has the tweak (row's use, number + i).
struct Row {
    Use use;
    uint64_t number;
};

template <size_t ROWS>
void hash_rows(Pair (*x)[TILE], const Row *rows) {
    const Backend &be = backend();
    const AesKey &key = garble_permutation();
    Pair once[ROWS][TILE], twice[ROWS][TILE];
    be.ecb(key, reinterpret_cast<const uint8_t *>(x), reinterpret_cast<uint8_t *>(once), ROWS * TILE);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < TILE; i++) twice[r][i] = once[r][i] ^ Pair{rows[r].number + i, rows[r].use};
    be.ecb(key, reinterpret_cast<const uint8_t *>(twice), reinterpret_cast<uint8_t *>(twice), ROWS * TILE);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < TILE; i++) x[r][i] = twice[r][i] ^ once[r][i];
}

inline uint64_t colour(Pair label) { return label.lo & 1; }

// The number of wire bit i of element `at`, unique in the gate.
inline uint64_t number(const GarbleShape &shape, int i, size_t at) {
    return shape.tweak + static_cast<uint64_t>(i) * shape.stride + at;
}

// Zero labels of the server's wire i.
void server_labels(const GarbleShape &shape, const AesKey &key, int i, size_t at, Pair *out) {
    backend().ctr(key, 0, static_cast<uint64_t>(i) * shape.stride + at, reinterpret_cast<uint8_t *>(out), TILE);
}

// One AND of zero labels left, right; the table of element i lies at table[2 i].
void garble_and(const GarbleShape &shape, int bit, size_t at, Pair delta, const Pair *left, const Pair *right,
                Pair *table, Pair *result) {
    Pair x[4][TILE];
    for (size_t i = 0; i < TILE; i++) {
        x[0][i] = left[i];
        x[1][i] = left[i] ^ delta;
        x[2][i] = right[i];
        x[3][i] = right[i] ^ delta;
    }
    const uint64_t first = number(shape, bit, at);
    const Row rows[4] = {{GENERATOR, first}, {GENERATOR, first}, {EVALUATOR, first}, {EVALUATOR, first}};
    hash_rows<4>(x, rows);
    for (size_t i = 0; i < TILE; i++) {
        const uint64_t p = colour(left[i]), r = colour(right[i]);
        const Pair generator = x[0][i] ^ x[1][i] ^ select(delta, r), evaluator = x[2][i] ^ x[3][i] ^ left[i];
        table[2 * i] = generator;
        table[2 * i + 1] = evaluator;
        result[i] = x[0][i] ^ select(generator, p) ^ x[2][i] ^ select(evaluator ^ left[i], r);
    }
}

struct Wires {
    Pair sum[GARBLE_MAX_BITS][TILE];  // labels of y_i
};

// The two projections of the wires y_i and the product with the colour of b.
void project(const GarbleShape &shape, size_t at, Pair delta, const Wires &wires, size_t n, uint64_t *rows,
             uint64_t *offset) {
    const Pair *sign = wires.sum[shape.bits - 1];
    uint64_t kept[TILE] = {}, signed_sum[TILE] = {}, permute[TILE];
    for (size_t i = 0; i < TILE; i++) permute[i] = colour(sign[i]) ^ 1;
    Pair x[2][TILE];
    for (int bit = shape.shift; bit < shape.bits - 1; bit++) {
        const Pair *zero = wires.sum[bit];
        for (size_t i = 0; i < TILE; i++) {
            x[0][i] = zero[i] ^ select(delta, colour(zero[i]));
            x[1][i] = x[0][i] ^ delta;
        }
        const Row uses[2] = {{PROJECTION, number(shape, bit, at)}, {PROJECTION, number(shape, bit, at)}};
        hash_rows<2>(x, uses);
        uint64_t *row = rows + 2 * static_cast<size_t>(bit - shape.shift) * n;
        for (size_t i = 0; i < TILE; i++) {
            // The label of colour 0 carries the value `value`; weight is the factor of p, the other 1 - 2p.
            const uint64_t value = colour(zero[i]), step = 1 - 2 * value, weight = uint64_t{1} << (bit - shape.shift);
            const uint64_t first = weight & (0 - permute[i]), second = weight * (1 - 2 * permute[i]);
            row[i] = x[0][i].lo - x[1][i].lo + step * first;
            row[n + i] = x[0][i].hi - x[1][i].hi + step * second;
            kept[i] += value * first - x[0][i].lo;
            signed_sum[i] += value * second - x[0][i].hi;
        }
    }
    for (size_t i = 0; i < TILE; i++) {
        x[0][i] = sign[i] ^ select(delta, colour(sign[i]));
        x[1][i] = x[0][i] ^ delta;
    }
    const Row uses[2] = {{PRODUCT, number(shape, shape.bits - 1, at)}, {PRODUCT, number(shape, shape.bits - 1, at)}};
    hash_rows<2>(x, uses);
    uint64_t *last = rows + (shape.rows() - 1) * n;
    for (size_t i = 0; i < TILE; i++) {
        last[i] = x[0][i].lo - x[1][i].lo + signed_sum[i];
        offset[i] = kept[i] - x[0][i].lo;
    }
}

void evaluate_and(const GarbleShape &shape, int bit, size_t at, const Pair *left, const Pair *right,
                  const Pair *table, Pair *result) {
    Pair x[2][TILE];
    std::copy(left, left + TILE, x[0]);
    std::copy(right, right + TILE, x[1]);
    const uint64_t first = number(shape, bit, at);
    const Row rows[2] = {{GENERATOR, first}, {EVALUATOR, first}};
    hash_rows<2>(x, rows);
    for (size_t i = 0; i < TILE; i++)
        result[i] = x[0][i] ^ select(table[2 * i], colour(left[i])) ^ x[1][i] ^
                    select(table[2 * i + 1] ^ left[i], colour(right[i]));
}

uint64_t element(const uint8_t *from, size_t width) {
    uint64_t x = 0;
    std::memcpy(&x, from, width);
    return x;
}

// n <= TILE blocks and zeros.
void load(const void *from, size_t n, Pair *to) {
    std::memcpy(to, from, n * sizeof(Pair));
    std::fill(to + n, to + TILE, Pair{0, 0});
}

void evaluate_rows(const GarbleShape &shape, size_t at, size_t now, const Wires &wires, const uint8_t *rows,
                   size_t width, uint64_t *out) {
    const Pair *sign = wires.sum[shape.bits - 1];
    uint64_t kept[TILE] = {}, signed_sum[TILE] = {};
    Pair x[1][TILE];
    for (int bit = shape.shift; bit < shape.bits - 1; bit++) {
        std::copy(wires.sum[bit], wires.sum[bit] + TILE, x[0]);
        const Row use = {PROJECTION, number(shape, bit, at)};
        hash_rows<1>(x, &use);
        const uint8_t *row = rows + (2 * static_cast<size_t>(bit - shape.shift) * shape.stride + at) * width;
        for (size_t i = 0; i < now; i++) {
            const uint64_t mask = 0 - colour(wires.sum[bit][i]);
            kept[i] += x[0][i].lo + (element(row + i * width, width) & mask);
            signed_sum[i] += x[0][i].hi + (element(row + (shape.stride + i) * width, width) & mask);
        }
    }
    std::copy(sign, sign + TILE, x[0]);
    const Row use = {PRODUCT, number(shape, shape.bits - 1, at)};
    hash_rows<1>(x, &use);
    const uint8_t *last = rows + ((shape.rows() - 1) * shape.stride + at) * width;
    for (size_t i = 0; i < now; i++) {
        const uint64_t mask = 0 - colour(sign[i]);
        out[i] = kept[i] + x[0][i].lo + ((element(last + i * width, width) + signed_sum[i]) & mask);
    }
}

// garble of elements begin .. end.
void garble_part(const GarbleShape &shape, const uint8_t *seed16, Pair delta, size_t first, size_t n, const Pair *q,
                 const uint8_t *flips, Pair *tables, uint64_t *rows, uint64_t *offset, size_t begin, size_t end) {
    AesKey key;
    backend().expand(seed16, key);
    Wires wires;
    for (size_t at = begin; at < end; at += TILE) {
        Pair carry[TILE] = {}, server[TILE], client[TILE], left[TILE], right[TILE];
        for (int bit = 0; bit < shape.bits; bit++) {
            const size_t row = static_cast<size_t>(bit) * n + at;
            server_labels(shape, key, bit, first + at, server);
            for (size_t i = 0; i < TILE; i++)
                client[i] = q[row + i] ^ select(delta, (flips[(row + i) / 8] >> (i % 8)) & 1);
            for (size_t i = 0; i < TILE; i++) {
                left[i] = server[i] ^ carry[i];
                right[i] = client[i] ^ carry[i];
                wires.sum[bit][i] = left[i] ^ client[i];
            }
            if (bit + 1 == shape.bits) break;
            Pair result[TILE];
            garble_and(shape, bit, first + at, delta, left, right, tables + 2 * row, result);
            for (size_t i = 0; i < TILE; i++) carry[i] ^= result[i];
        }
        project(shape, first + at, delta, wires, n, rows + at, offset + at);
    }
}

// garble_inputs of elements begin .. end.
void garble_inputs_part(const GarbleShape &shape, const uint8_t *seed16, Pair delta, size_t first, size_t n,
                        const uint8_t *share, size_t width, uint8_t *out, size_t begin, size_t end) {
    AesKey key;
    backend().expand(seed16, key);
    for (size_t at = begin; at < end; at += TILE) {
        const size_t now = std::min(TILE, end - at);
        uint64_t values[TILE] = {};
        for (size_t i = 0; i < now; i++) values[i] = element(share + (at + i) * width, width);
        for (int bit = 0; bit < shape.bits; bit++) {
            Pair labels[TILE];
            server_labels(shape, key, bit, first + at, labels);
            for (size_t i = 0; i < TILE; i++) labels[i] ^= select(delta, (values[i] >> bit) & 1);
            std::memcpy(out + (static_cast<size_t>(bit) * n + at) * sizeof(Pair), labels, now * sizeof(Pair));
        }
    }
}

// garble_evaluate of elements begin .. end.
void garble_evaluate_part(const GarbleShape &shape, size_t first, size_t n, const uint8_t *server, const Pair *client,
                          const Pair *tables, const uint8_t *rows, size_t width, uint64_t *out, size_t begin, size_t
                          end) {
    Wires wires;
    for (size_t at = begin; at < end; at += TILE) {
        const size_t now = std::min(TILE, end - at);
        Pair carry[TILE] = {}, a[TILE], c[TILE], left[TILE], right[TILE];
        for (int bit = 0; bit < shape.bits; bit++) {
            const size_t row = static_cast<size_t>(bit) * shape.stride + first + at;
            load(server + (static_cast<size_t>(bit) * n + at) * sizeof(Pair), now, a);
            load(client + row, now, c);
            for (size_t i = 0; i < TILE; i++) {
                left[i] = a[i] ^ carry[i];
                right[i] = c[i] ^ carry[i];
                wires.sum[bit][i] = left[i] ^ c[i];
            }
            if (bit + 1 == shape.bits) break;
            Pair table[2 * TILE] = {}, result[TILE];
            std::memcpy(table, tables + 2 * row, 2 * now * sizeof(Pair));
            evaluate_and(shape, bit, first + at, left, right, table, result);
            for (size_t i = 0; i < TILE; i++) carry[i] ^= result[i];
        }
        evaluate_rows(shape, first + at, now, wires, rows, width, out + at);
    }
}

}  // namespace

void garble(const GarbleShape &shape, const uint8_t *seed16, Pair delta, size_t first, size_t n, const Pair *q,
            const uint8_t *flips, Pair *tables, uint64_t *rows, uint64_t *offset) {
    parallel_for(n, LEAST, [=](size_t begin, size_t end) {
        garble_part(shape, seed16, delta, first, n, q, flips, tables, rows, offset, begin, end);
    });
}

void garble_inputs(const GarbleShape &shape, const uint8_t *seed16, Pair delta, size_t first, size_t n,
                   const uint8_t *share, size_t width, uint8_t *out) {
    parallel_for(n, 16 * LEAST, [=](size_t begin, size_t end) {
        garble_inputs_part(shape, seed16, delta, first, n, share, width, out, begin, end);
    });
}

void garble_evaluate(const GarbleShape &shape, size_t first, size_t n, const uint8_t *server, const Pair *client,
                     const Pair *tables, const uint8_t *rows, size_t width, uint64_t *out) {
    parallel_for(n, LEAST, [=](size_t begin, size_t end) {
        garble_evaluate_part(shape, first, n, server, client, tables, rows, width, out, begin, end);
    });
}

}  // namespace pi

#include "gate.h"

#include "dcf_bit.h"
#include "pack.h"
#include "parallel.h"
#include "wide.h"

namespace pi {

size_t Gate::key_block_bytes(int party) const {
    if (!table()) return bit_block_bytes(low_bits());
    if (!stored) return party == 0 ? table_block_bytes(low_bits()) : 0;
    const size_t beside = party == 1 ? server_block_bytes() : unseen_bits ? LANES * mask_bytes() : 0;
    return table_block_bytes(low_bits()) + beside;
}
size_t Gate::compared_at(size_t count) const { return packed_bytes(count, opened_bits()); }
size_t Gate::bits_at(size_t count) const {
    return compared_at(count) + (unseen_bits == 0 ? 0 : packed_bytes(count, compared_bits()));
}
size_t Gate::server_message_bytes(size_t count) const { return bits_at(count) + packed_bytes(count, 1); }
size_t Gate::client_message_bytes(size_t count) const {
    return packed_bytes(count, ring_bits) + packed_bytes(count, 1);
}

namespace {

constexpr const char *ROOT = "relu-root", *MASK = "relu-mask", *SHARE = "relu-share", *WORDS = "relu-words",
                   *TABLE = "relu-table", *OFFSET = "relu-offset";
constexpr size_t GROUP = 8;  // blocks whose public keys are derived together
// Blocks that a thread takes at a time: of a whole comparison, and of what is little work a block.
constexpr size_t LEAST = 8 * GROUP, LEAST_LITTLE = 64 * GROUP;

typedef uint64_t Lanes[LANES];

// Elements of `width` bytes to and from 64-bit lanes; lanes from `n` on are zero or not stored.
PI_INLINE void load_lanes(const void *from, size_t width, size_t n, uint64_t *out) {
    uint8_t padded[8 * LANES] = {};
    if (n < LANES) from = std::memcpy(padded, from, n * width);
    if (width == 8) {
        std::memcpy(out, from, 8 * LANES);
        return;
    }
    uint32_t narrow[LANES];
    std::memcpy(narrow, from, sizeof narrow);
    for (size_t i = 0; i < LANES; i++) out[i] = narrow[i];
}

PI_INLINE void store_lanes(const uint64_t *values, size_t width, size_t n, uint64_t mask, void *to) {
    uint64_t full[LANES];
    uint32_t narrow[LANES];
    for (size_t i = 0; i < LANES; i++) full[i] = values[i] & mask;
    for (size_t i = 0; i < LANES; i++) narrow[i] = static_cast<uint32_t>(full[i]);
    const void *from = width == 8 ? static_cast<const void *>(full) : narrow;
    std::memcpy(to, from, n * width);
}

// Elements `at` .. `at` + n of a packed message, `at` a multiple of LANES.
void put_lanes(const Backend &be, const uint64_t *values, int bits, size_t at, size_t n, uint8_t *message) {
    uint8_t *out = message + at / 8 * static_cast<size_t>(bits);
    if (n == LANES) return be.pack(values, bits, out);
    uint8_t padded[8 * LANES];
    Lanes zeroed = {};
    std::memcpy(zeroed, values, 8 * n);
    be.pack(zeroed, bits, padded);
    std::memcpy(out, padded, packed_bytes(n, bits));
}

void get_lanes(const Backend &be, const uint8_t *message, int bits, size_t at, size_t n, uint64_t *values) {
    const uint8_t *in = message + at / 8 * static_cast<size_t>(bits);
    if (n == LANES) return be.unpack(in, bits, values);
    uint8_t padded[8 * LANES] = {};
    std::memcpy(padded, in, packed_bytes(n, bits));
    be.unpack(padded, bits, values);
}

void put_bits(uint32_t bits, size_t n, uint8_t *out) {
    if (n < LANES) bits &= (1u << n) - 1;
    std::memcpy(out, &bits, packed_bytes(n, 1));
}

uint32_t get_bits(const uint8_t *in, size_t n) {
    uint32_t bits = 0;
    std::memcpy(&bits, in, packed_bytes(n, 1));
    return bits;
}

void roots(const Backend &be, const AesKey &key, size_t block, Block *out) {
    be.ctr(key, 0, block * LANES, reinterpret_cast<uint8_t *>(out), LANES);
}

// The party's `count` x 32 dealt shares of a block, as it derives them from its seed.
PI_INLINE void seeded_shares(const Backend &be, const AesKey &key, size_t block, size_t count, size_t width,
                             Lanes *out) {
    alignas(64) uint8_t stream[5 * LANES * 8];
    const size_t blocks = count * LANES * width / 16;
    be.ctr(key, 0, block * blocks, stream, blocks);
    for (size_t p = 0; p < count; p++) load_lanes(stream + p * LANES * width, width, LANES, out[p]);
}

// A block's dealt shares as they are stored.
void stored_shares(const uint8_t *blob, size_t width, Lanes *out) {
    for (size_t p = 0; p < SHARES; p++) load_lanes(blob + p * LANES * width, width, LANES, out[p]);
}

void masks_of(const Backend &be, const Gate &gate, const AesKey &key, size_t block, uint64_t *out) {
    uint8_t stream[8 * LANES];
    const size_t blocks = LANES * gate.mask_bytes() / 16;
    be.ctr(key, 0, block * blocks, stream, blocks);
    load_lanes(stream, gate.mask_bytes(), LANES, out);
    for (size_t i = 0; i < LANES; i++) out[i] &= low_mask(gate.comparison_bits);
}

// 2^K, the weight of a carry out of the opened value.
PI_INLINE uint64_t carry_weight(const Gate &gate) {
    return gate.opened_bits() >= 64 ? 0 : uint64_t{1} << gate.opened_bits();
}

// Party's share of the output from the bits f; `dealt` are its 5 shares.
PI_INLINE void combine_body(const Backend &, const Gate &gate, int party, const uint64_t *opened, uint32_t f,
                            const Lanes *dealt, uint64_t *out) {
    const uint64_t one = party == 0;
    for (size_t i = 0; i < LANES; i++) {
        const uint64_t s = 1 ^ (opened[i] >> (gate.opened_bits() - 1));
        const uint64_t fm = uint64_t{0} - ((f >> i) & 1), sm = uint64_t{0} - s;
        const uint64_t factor = (dealt[0][i] & ~fm) | ((one - dealt[0][i]) & fm);
        const uint64_t low = (dealt[1][i] & ~sm) | (dealt[2][i] & sm);
        const uint64_t high = (dealt[3][i] & ~sm) | (dealt[4][i] & sm);
        out[i] = factor * (opened[i] - gate.half()) - ((low & ~fm) | (high & fm));
    }
}

PI_BOTH(combine, combine_body,
        (const Backend &be, const Gate &gate, int party, const uint64_t *opened, uint32_t f, const Lanes *dealt,
         uint64_t *out),
        (be, gate, party, opened, f, dealt, out))

// Calls f(block of the range, public key of that block) over the range, each thread its own part.
template <class F>
void for_blocks(const Range &range, const uint8_t *salt, F f) {
    const Backend &be = backend();
    const AesKey base = derive_key(salt, WORDS, salt);
    const size_t first = range.first / LANES;
    parallel_for(range.blocks(), LEAST, [&](size_t begin, size_t end) {
        for (size_t group = begin; group < end; group += GROUP) {
            uint8_t raw[16 * GROUP];
            be.ctr(base, 0, first + group, raw, GROUP);
            for (size_t j = group; j < end && j < group + GROUP; j++) {
                AesKey key;
                be.expand(raw + 16 * (j - group), key);
                f(j, key);
            }
        }
    });
}

// The server's part of the sign's mask, which a client that sees X must not know; zero where all bits are compared.
void offsets_of(const Backend &be, const Gate &gate, const AesKey &key, size_t block, uint64_t *out) {
    if (gate.unseen_bits) return masks_of(be, gate, key, block, out);
    std::memset(out, 0, sizeof(Lanes));
}

// What a block of a stored key holds beside the table.
const uint8_t *beside_table(const Gate &gate, const uint8_t *words) {
    return words + table_block_bytes(gate.low_bits());
}

// C of x + r'' mod 2^k.
void compared_of(const Gate &gate, const uint64_t *sum, uint64_t *compared) {
    const uint64_t half = gate.half() << gate.shift;
    for (size_t i = 0; i < LANES; i++)
        compared[i] = ((sum[i] - half) & low_mask(gate.comparison_bits)) >> (gate.shift + gate.unseen_bits);
}

// Bit i: 1 ^ MSB of value i.
uint32_t signs(const Gate &gate, const uint64_t *compared) {
    uint32_t bits = 0;
    for (size_t i = 0; i < LANES; i++)
        bits |= static_cast<uint32_t>(1 ^ (compared[i] >> gate.low_bits())) << i;
    return bits;
}

void low_of(const Gate &gate, const uint64_t *compared, uint64_t *low) {
    for (size_t i = 0; i < LANES; i++) low[i] = compared[i] & low_mask(gate.low_bits());
}

// Of what a party's output of the comparison is made.
AesKey comparison_key(const Gate &gate, const uint8_t *seed, const uint8_t *salt) {
    return derive_key(seed, gate.table() ? TABLE : ROOT, salt);
}

// A party's masked outputs e of the comparison at C.
uint32_t compare(const Backend &be, const Gate &gate, int party, const AesKey &own, size_t block,
                 const AesKey &block_key, const uint8_t *words, const uint64_t *compared) {
    Lanes low;
    low_of(gate, compared, low);
    uint8_t stream[TABLE_BLOCK_MOST];
    if (gate.table()) {
        const bool seeded = party == 1 && !gate.stored;
        if (seeded) table_stream(be, own, block, gate.low_bits(), stream);
        return table_eval(seeded ? stream : words, low);
    }
    alignas(64) Block root[LANES];
    roots(be, own, block, root);
    return be.bit_eval(block_key, root, party, words, gate.low_bits(), low);
}

// a_0 ^ a_1, bit i of instance i.
uint32_t output_masks(const Block *root0, const Block *root1) {
    uint32_t bits = 0;
    for (size_t i = 0; i < LANES; i++)
        bits |= static_cast<uint32_t>(((root0[i].lo ^ root1[i].lo) / OUTPUT_BIT) & 1) << i;
    return bits;
}

// Server's dealt values before party 1's shares are taken off; `mask` is R = r' >> t, `rhos` the bits rho.
void dealt_values(const Gate &gate, const uint64_t *mask, uint32_t rhos, Lanes *out) {
    const uint64_t c = carry_weight(gate);
    for (size_t i = 0; i < LANES; i++) {
        const uint64_t r = mask[i], m = r >> (gate.opened_bits() - 1);
        const uint64_t rho = (rhos >> i) & 1;
        const uint64_t carried = r - c * m, rm = uint64_t{0} - rho;
        out[0][i] = rho;
        out[1][i] = r & rm;
        out[2][i] = carried & rm;
        out[3][i] = r & ~rm;
        out[4][i] = carried & ~rm;
    }
}

struct PartyKeys {
    AesKey root, mask, share, table, offset;
    PartyKeys(const uint8_t *seed, const uint8_t *salt)
        : root(derive_key(seed, ROOT, salt)),
          mask(derive_key(seed, MASK, salt)),
          share(derive_key(seed, SHARE, salt)),
          table(derive_key(seed, TABLE, salt)),
          offset(derive_key(seed, OFFSET, salt)) {}
};

void deal_block(const Gate &gate, const PartyKeys (&party)[2], size_t block, const AesKey &key,
                uint8_t *words, uint8_t *server) {
    const Backend &be = backend();
    alignas(64) Block root[2][LANES];
    Lanes mask[2], offset, alpha, low, values[5], shares[5];
    for (int b = 0; b < 2; b++) {
        roots(be, party[b].root, block, root[b]);
        masks_of(be, gate, party[b].mask, block, mask[b]);
    }
    offsets_of(be, gate, party[0].offset, block, offset);
    // The sum is taken modulo 2^k before its low bits go: they stay uniform to whoever knows one summand.
    for (size_t i = 0; i < LANES; i++) {
        mask[0][i] = (mask[0][i] + mask[1][i]) & low_mask(gate.comparison_bits);
        alpha[i] = ((mask[0][i] + offset[i]) & low_mask(gate.comparison_bits)) >> (gate.shift + gate.unseen_bits);
        mask[0][i] >>= gate.shift;
    }
    low_of(gate, alpha, low);
    const uint32_t masks = output_masks(root[0], root[1]);
    dealt_values(gate, mask[0], masks ^ ~signs(gate, alpha), values);
    if (gate.table()) {
        table_stream(be, party[1].table, block, gate.low_bits(), words);
        table_deal(low, masks, gate.low_bits(), words);
    } else {
        be.bit_deal(key, root[0], root[1], low, gate.low_bits(), words);
    }
    const size_t width = gate.ring_bytes();
    seeded_shares(be, party[1].share, block, SHARES, width, shares);
    for (size_t p = 0; p < SHARES; p++) {
        for (size_t i = 0; i < LANES; i++) values[p][i] -= shares[p][i];
        store_lanes(values[p], width, LANES, ~uint64_t{0}, server + p * LANES * width);
    }
}

}  // namespace

void relu_masks(const Gate &gate, const Range &range, const uint8_t *seed, const uint8_t *salt, void *out) {
    const AesKey key = derive_key(seed, MASK, salt);
    const size_t width = gate.mask_bytes(), first = range.first / LANES;
    parallel_for(range.blocks(), LEAST_LITTLE, [&](size_t begin, size_t end) {
        for (size_t j = begin; j < end; j++) {
            Lanes mask;
            masks_of(backend(), gate, key, first + j, mask);
            store_lanes(mask, width, range.left(j), ~uint64_t{0},
                        static_cast<uint8_t *>(out) + j * LANES * width);
        }
    });
}

void relu_deal(const Gate &gate, const Range &range, const uint8_t *seed0, const uint8_t *seed1,
               const uint8_t *salt, uint8_t *key, uint8_t *server) {
    const PartyKeys party[2] = {{seed0, salt}, {seed1, salt}};
    for_blocks(range, salt, [&](size_t j, const AesKey &block_key) {
        deal_block(gate, party, range.first / LANES + j, block_key, key + j * gate.key_block_bytes(0),
                   server + j * gate.server_block_bytes());
    });
}

void relu_server_send(const Gate &gate, const Range &range, const uint8_t *key, const uint8_t *seed0,
                      const uint8_t *salt, const void *share, const void *masked, uint8_t *message,
                      uint8_t *state) {
    const Backend &be = backend();
    const AesKey own = comparison_key(gate, seed0, salt), offset_key = derive_key(seed0, OFFSET, salt);
    const size_t first = range.first / LANES, half = gate.half() << gate.shift;
    for_blocks(range, salt, [&](size_t j, const AesKey &block_key) {
        const size_t n = range.left(j), at = j * LANES;
        Lanes y, mask, offset, opened, compared;
        load_lanes(static_cast<const uint8_t *>(share) + at * gate.ring_bytes(), gate.ring_bytes(), n, y);
        load_lanes(static_cast<const uint8_t *>(masked) + at * gate.mask_bytes(), gate.mask_bytes(), n, mask);
        const uint8_t *words = key + (first + j) * gate.key_block_bytes(0);
        if (gate.stored && gate.unseen_bits)
            load_lanes(beside_table(gate, words), gate.mask_bytes(), LANES, offset);
        else
            offsets_of(be, gate, offset_key, first + j, offset);
        for (size_t i = 0; i < LANES; i++) {
            y[i] += mask[i];
            opened[i] = ((y[i] + half) & low_mask(gate.comparison_bits)) >> gate.shift;
            y[i] += offset[i];
        }
        compared_of(gate, y, compared);
        put_lanes(be, opened, gate.opened_bits(), at, n, message);
        if (gate.unseen_bits)
            put_lanes(be, compared, gate.compared_bits(), at, n, message + gate.compared_at(range.count));
        const uint32_t e = compare(be, gate, 0, own, first + j, block_key, words, compared);
        put_bits(e, n, message + gate.bits_at(range.count) + at / 8);
        const uint32_t f = e ^ signs(gate, compared);
        uint8_t *st = state + j * gate.state_block_bytes();
        store_lanes(opened, gate.mask_bytes(), LANES, ~uint64_t{0}, st);
        std::memcpy(st + LANES * gate.mask_bytes(), &f, 4);
    });
}

void relu_client_reply(const Gate &gate, const Range &range, const uint8_t *key, const uint8_t *seed1,
                       const uint8_t *salt, const uint8_t *message, const void *next_mask, uint8_t *reply) {
    const Backend &be = backend();
    const AesKey own = comparison_key(gate, seed1, salt), share_key = derive_key(seed1, SHARE, salt);
    const uint8_t *bits_in = message + gate.bits_at(range.count);
    uint8_t *bits_out = reply + packed_bytes(range.count, gate.ring_bits);
    const size_t first = range.first / LANES, width = gate.ring_bytes();
    for_blocks(range, salt, [&](size_t j, const AesKey &block_key) {
        const size_t n = range.left(j), at = j * LANES;
        Lanes opened, compared, dealt[SHARES], next, share;
        get_lanes(be, message, gate.opened_bits(), at, n, opened);
        std::memcpy(compared, opened, sizeof compared);
        if (gate.unseen_bits)
            get_lanes(be, message + gate.compared_at(range.count), gate.compared_bits(), at, n, compared);
        const uint8_t *words = key + (first + j) * gate.key_block_bytes(1);
        if (gate.stored)
            stored_shares(beside_table(gate, words), width, dealt);
        else
            seeded_shares(be, share_key, first + j, SHARES, width, dealt);
        const uint32_t e1 = compare(be, gate, 1, own, first + j, block_key, words, compared);
        put_bits(e1, n, bits_out + at / 8);
        const uint32_t f = e1 ^ get_bits(bits_in + at / 8, n) ^ signs(gate, compared);
        combine(be, gate, 1, opened, f, dealt, share);
        load_lanes(static_cast<const uint8_t *>(next_mask) + at * width, width, n, next);
        for (size_t i = 0; i < LANES; i++) share[i] -= next[i];
        put_lanes(be, share, gate.ring_bits, at, n, reply);
    });
}

void relu_server_finish(const Gate &gate, const Range &range, const uint8_t *server, const uint8_t *state,
                        const uint8_t *reply, void *out) {
    const Backend &be = backend();
    const uint8_t *bits = reply + packed_bytes(range.count, gate.ring_bits);
    const size_t first = range.first / LANES, width = gate.ring_bytes();
    parallel_for(range.blocks(), LEAST_LITTLE, [&](size_t begin, size_t end) {
        for (size_t j = begin; j < end; j++) {
            const size_t n = range.left(j), at = j * LANES;
            const uint8_t *st = state + j * gate.state_block_bytes();
            Lanes theirs, share, opened, dealt[SHARES];
            uint32_t f0;
            get_lanes(be, reply, gate.ring_bits, at, n, theirs);
            load_lanes(st, gate.mask_bytes(), LANES, opened);
            std::memcpy(&f0, st + LANES * gate.mask_bytes(), 4);
            stored_shares(server + (first + j) * gate.server_block_bytes(), width, dealt);
            combine(be, gate, 0, opened, f0 ^ get_bits(bits + at / 8, n), dealt, share);
            for (size_t i = 0; i < LANES; i++) share[i] += theirs[i];
            store_lanes(share, width, n, low_mask(gate.ring_bits), static_cast<uint8_t *>(out) + at * width);
        }
    });
}

}  // namespace pi

// Python class over the ReLU gate: checks every size, releases the GIL, copies nothing.
#include "bind.h"
#include "gate.h"

using namespace pi;

namespace {

constexpr int STORED_BITS = 10;

Gate make_gate(int ring_bits, int comparison_bits, int shift, int unseen_bits, bool stored) {
    if (ring_bits < 2 || ring_bits > 64) throw nb::value_error("ring_bits: expected 2 to 64");
    if (comparison_bits < 2 || comparison_bits > ring_bits)
        throw nb::value_error("comparison_bits: expected 2 to ring_bits");
    if (shift < 0 || shift > comparison_bits - 2) throw nb::value_error("shift: expected 0 to comparison_bits - 2");
    if (unseen_bits < 0 || unseen_bits > comparison_bits - shift - 2)
        throw nb::value_error("unseen_bits: expected 0 to comparison_bits - shift - 2");
    const Gate gate{ring_bits, comparison_bits, shift, unseen_bits, stored};
    if (stored && gate.compared_bits() > STORED_BITS)
        throw nb::value_error("compared bits of a stored table: expected at most 10");
    return gate;
}

size_t blocks(size_t n) { return (n + LANES - 1) / LANES; }

Range make_range(size_t first, size_t count) {
    if (first % LANES != 0) throw nb::value_error("first: expected a multiple of 32");
    return Range{first, count};
}

// Whole-layer arrays must hold complete blocks and cover the range.
void require_cover(const char *what, size_t found, size_t block_bytes, const Range &range) {
    const size_t needed = block_bytes * (range.first / LANES + range.blocks());
    if (block_bytes == 0 ? found != 0 : found % block_bytes != 0 || found < needed)
        throw nb::value_error((std::string(what) + ": expected whole blocks, at least " +
                               std::to_string(needed) + " bytes, found " + std::to_string(found))
                                  .c_str());
}

void masks(const Gate &gate, const nb::bytes &seed, const nb::bytes &salt, size_t first, Elements out) {
    const Range range = make_range(first, require_elements("out", out, gate.mask_bytes()));
    const uint8_t *s = bytes16("seed bytes", seed), *t = bytes16("salt bytes", salt);
    void *to = out.data();
    nb::gil_scoped_release release;
    relu_masks(gate, range, s, t, to);
}

void deal(const Gate &gate, size_t first, size_t count, const nb::bytes &seed0, const nb::bytes &seed1,
          const nb::bytes &salt, Bytes key, Bytes server) {
    const Range range = make_range(first, count);
    require_size("stored gates dealt", gate.stored, 0);
    require_size("key bytes", key.size(), gate.key_block_bytes(0) * blocks(count));
    require_size("server bytes", server.size(), gate.server_block_bytes() * blocks(count));
    const uint8_t *s0 = bytes16("seed0 bytes", seed0), *s1 = bytes16("seed1 bytes", seed1);
    const uint8_t *t = bytes16("salt bytes", salt);
    uint8_t *k = key.data(), *v = server.data();
    nb::gil_scoped_release release;
    relu_deal(gate, range, s0, s1, t, k, v);
}

void server_send(const Gate &gate, ConstBytes key, const nb::bytes &seed0, const nb::bytes &salt,
                 ConstElements share, ConstElements masked, size_t first, Bytes message, Bytes state) {
    const Range range = make_range(first, require_elements("share", share, gate.ring_bytes()));
    require_size("masked", require_elements("masked", masked, gate.mask_bytes()), range.count);
    require_size("message bytes", message.size(), gate.server_message_bytes(range.count));
    require_size("state bytes", state.size(), gate.state_block_bytes() * range.blocks());
    require_cover("key", key.size(), gate.key_block_bytes(0), range);
    const uint8_t *s = bytes16("seed0 bytes", seed0), *t = bytes16("salt bytes", salt), *k = key.data();
    const void *y = share.data(), *m = masked.data();
    uint8_t *to = message.data(), *st = state.data();
    nb::gil_scoped_release release;
    relu_server_send(gate, range, k, s, t, y, m, to, st);
}

void client_reply(const Gate &gate, ConstBytes key, const nb::bytes &seed1, const nb::bytes &salt,
                  ConstBytes message, ConstElements next_mask, size_t first, Bytes reply) {
    const Range range =
        make_range(first, require_elements("next_mask", next_mask, gate.ring_bytes()));
    require_size("message bytes", message.size(), gate.server_message_bytes(range.count));
    require_size("reply bytes", reply.size(), gate.client_message_bytes(range.count));
    require_cover("key", key.size(), gate.key_block_bytes(1), range);
    const uint8_t *s = bytes16("seed1 bytes", seed1), *t = bytes16("salt bytes", salt);
    const uint8_t *k = key.data(), *in = message.data();
    const void *next = next_mask.data();
    uint8_t *to = reply.data();
    nb::gil_scoped_release release;
    relu_client_reply(gate, range, k, s, t, in, next, to);
}

void server_finish(const Gate &gate, ConstBytes server, ConstBytes state, ConstBytes reply, size_t first,
                   Elements out) {
    const Range range = make_range(first, require_elements("out", out, gate.ring_bytes()));
    require_size("state bytes", state.size(), gate.state_block_bytes() * range.blocks());
    require_size("reply bytes", reply.size(), gate.client_message_bytes(range.count));
    require_cover("server", server.size(), gate.server_block_bytes(), range);
    const uint8_t *v = server.data(), *st = state.data(), *in = reply.data();
    void *to = out.data();
    nb::gil_scoped_release release;
    relu_server_finish(gate, range, v, st, in, to);
}

}  // namespace

void register_relu(nb::module_ &m) {
    m.attr("RELU_BLOCK") = LANES;
    nb::class_<Gate>(m, "ReluGate")
        .def(
            "__init__",
            [](Gate *self, int ring_bits, int comparison_bits, int shift, int unseen_bits, bool stored) {
                new (self) Gate(make_gate(ring_bits, comparison_bits, shift, unseen_bits, stored));
            },
            nb::arg("ring_bits"), nb::arg("comparison_bits"), nb::arg("shift"), nb::arg("unseen_bits"),
            nb::arg("stored"))
        .def("key_bytes", [](const Gate &g, int party, size_t n) { return g.key_block_bytes(party) * blocks(n); })
        .def("server_bytes", [](const Gate &g, size_t n) { return g.server_block_bytes() * blocks(n); })
        .def("state_bytes", [](const Gate &g, size_t n) { return g.state_block_bytes() * blocks(n); })
        .def("server_message_bytes", &Gate::server_message_bytes)
        .def("client_message_bytes", &Gate::client_message_bytes)
        .def("masks", &masks, nb::arg("seed"), nb::arg("salt"), nb::arg("first"), nb::arg("out").noconvert())
        .def("deal", &deal, nb::arg("first"), nb::arg("count"), nb::arg("seed0"), nb::arg("seed1"),
             nb::arg("salt"), nb::arg("key").noconvert(), nb::arg("server").noconvert())
        .def("server_send", &server_send, nb::arg("key").noconvert(), nb::arg("seed0"), nb::arg("salt"),
             nb::arg("share").noconvert(), nb::arg("masked").noconvert(), nb::arg("first"),
             nb::arg("message").noconvert(), nb::arg("state").noconvert())
        .def("client_reply", &client_reply, nb::arg("key").noconvert(), nb::arg("seed1"), nb::arg("salt"),
             nb::arg("message").noconvert(), nb::arg("next_mask").noconvert(), nb::arg("first"),
             nb::arg("reply").noconvert())
        .def("server_finish", &server_finish, nb::arg("server").noconvert(), nb::arg("state").noconvert(),
             nb::arg("reply").noconvert(), nb::arg("first"), nb::arg("out").noconvert());
}

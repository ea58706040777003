// The gate that opens a masked value: the client reads tables and keys where the message says, the server takes
// the reply. With keys of both kinds, dealt and stored; every instruction set gives the same bytes.
#include "gate.h"

#include <cstdlib>
#include <cstring>

#include "input.h"

using namespace pi;

namespace {

constexpr int STORED_BITS = 10;

Gate gate_of(Input &input) {
    const auto below = [&input](int limit) { return static_cast<int>(input.below(static_cast<size_t>(limit))); };
    const int ring = 2 + below(63), comparison = 2 + below(ring - 1), shift = below(comparison - 1);
    Gate gate{ring, comparison, shift, below(comparison - shift - 1), input.below(2) == 1};
    gate.stored = gate.stored && gate.compared_bits() <= STORED_BITS;
    return gate;
}

void same(const uint8_t *one, const uint8_t *two, size_t size) {
    if (std::memcmp(one, two, size) != 0) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input input(data, size);
    const Gate gate = gate_of(input);
    const Range range{LANES * input.below(3), 1 + input.below(70)};
    const size_t blocks = range.first / LANES + range.blocks(), count = range.count, width = gate.ring_bytes();
    const auto keys0 = input.buffer<uint8_t>(gate.key_block_bytes(0) * blocks);
    const auto keys1 = input.buffer<uint8_t>(gate.key_block_bytes(1) * blocks);
    const auto seed = input.buffer<uint8_t>(16), salt = input.buffer<uint8_t>(16);
    const auto shares = input.buffer<uint8_t>(gate.server_block_bytes() * blocks);
    const auto share = input.buffer<uint8_t>(width * count), mask = input.buffer<uint8_t>(width * count);
    const auto masked = input.buffer<uint8_t>(gate.mask_bytes() * count);
    const size_t down = gate.server_message_bytes(count), up = gate.client_message_bytes(count);
    const auto message = input.buffer<uint8_t>(down), reply = input.buffer<uint8_t>(up);
    const auto sent = room<uint8_t>(down), answered = room<uint8_t>(up), out = room<uint8_t>(width * count);
    const auto state = room<uint8_t>(gate.state_block_bytes() * range.blocks());
    const auto first_sent = room<uint8_t>(down), first_answered = room<uint8_t>(up);
    const auto first_out = room<uint8_t>(width * count);
    for (const Backend *const *b = available_backends(); *b != nullptr; b++) {
        const bool first = b == available_backends();
        select_backend((*b)->name);
        uint8_t *to[3] = {first ? first_sent.get() : sent.get(), first ? first_answered.get() : answered.get(),
                          first ? first_out.get() : out.get()};
        relu_server_send(gate, range, keys0.get(), seed.get(), salt.get(), share.get(), masked.get(), to[0],
                         state.get());
        relu_client_reply(gate, range, keys1.get(), seed.get(), salt.get(), message.get(), mask.get(), to[1]);
        relu_server_finish(gate, range, shares.get(), state.get(), reply.get(), to[2]);
        same(first_sent.get(), to[0], down);
        same(first_answered.get(), to[1], up);
        same(first_out.get(), to[2], width * count);
    }
    select_backend("auto");
    return 0;
}

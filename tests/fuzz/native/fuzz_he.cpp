// Ciphertexts of a client: a seed to expand, residues below the primes (checked before in Python), any of them. And answers
// of a server to a client's key, whatever it is.
#include "he.h"

#include <cstdlib>
#include <cstring>

#include "input.h"

using namespace rlwe;

namespace {

constexpr size_t N = 64;
const std::vector<u64> PRIMES = {1125899906840833, 786433};  // 1 modulo 128

void answer(const Context &context, Input &input, const u64 *residues, size_t terms) {
    const size_t k = PRIMES.size(), words = k * 2 * N;
    const auto inputs = room<u64>(words * terms), weights = room<u64>(k * N * terms), product = room<u64>(words);
    const auto coefficients = input.buffer<int32_t>(terms * N);
    for (size_t i = 0; i < terms * N; i++) coefficients[i] %= 1 << 16;
    const auto select = room<int32_t>(terms);
    for (size_t i = 0; i < terms; i++) select[i] = static_cast<int32_t>(terms - 1 - i);
    context.load_inputs(residues, terms, inputs.get());
    context.load_weights(coefficients.get(), 1, terms, weights.get());
    context.multiply(weights.get(), inputs.get(), select.get(), 1, terms, terms, 1, product.get());
    const auto zero = room<u64>(words);
    context.load_inputs(residues, 1, zero.get());
    const size_t used = 1 + input.below(N);
    Finish finish;
    finish.ring_bits = 1 + static_cast<int>(input.below(20));
    finish.flood_bits = 1 + static_cast<int>(input.below(60));
    finish.kept = 1 + static_cast<int>(input.below(2));
    finish.drop_bits = finish.kept == 1 ? static_cast<int>(input.below(10)) : 0;
    const auto random = input.buffer<u64>(2 * N), flood = input.buffer<u64>(4 * used), masks = input.buffer<u64>(used);
    const auto positions = room<int32_t>(used);
    for (size_t i = 0; i < used; i++) {
        positions[i] = static_cast<int32_t>(input.below(N));
        masks[i] &= (u64{1} << finish.ring_bits) - 1;
    }
    size_t bytes = 0;
    for (int q = 0; q < finish.kept; q++) {
        const size_t bits = static_cast<size_t>(64 - __builtin_clzll(PRIMES[static_cast<size_t>(q)]));
        bytes += (N * bits + 7) / 8 + (used * (bits - static_cast<size_t>(finish.drop_bits)) + 7) / 8;
    }
    const auto out = room<uint8_t>(bytes);
    context.finish(finish, product.get(), zero.get(), random.get(), positions.get(), flood.get(), masks.get(), used,
                   out.get());
}

// Residues of an answer, decrypted by both engines, and a ciphertext of what comes out.
void receive(const Context *const engines[2], Input &input, const u64 *residues) {
    const size_t k = PRIMES.size(), kept = 1 + input.below(k), used = 1 + input.below(N);
    const int bits = 1 + static_cast<int>(input.below(64));
    const auto words = input.buffer<u64>(N), first = room<u64>(kept * used), second = room<u64>(kept * N);
    const auto positions = room<int32_t>(used);
    for (size_t i = 0; i < used; i++) positions[i] = static_cast<int32_t>(input.below(N));
    for (size_t q = 0; q < kept; q++) {
        for (size_t i = 0; i < used; i++) first[q * used + i] = residues[q * N + static_cast<size_t>(positions[i])];
        std::memcpy(second.get() + q * N, residues + (k + q) * N, N * sizeof(u64));
    }
    std::unique_ptr<u64[]> out[2], sent[2];
    for (size_t e = 0; e < 2; e++) {
        const auto secret = room<u64>(k * N), message = room<u64>(N);
        engines[e]->secret_key(words.get(), secret.get());
        out[e] = room<u64>(used);
        engines[e]->decrypt(secret.get(), kept, bits, first.get(), second.get(), positions.get(), used, out[e].get());
        for (size_t i = 0; i < N; i++) message[i] = out[e][i % used];
        sent[e] = room<u64>(k * N);
        std::memcpy(sent[e].get(), residues, k * N * sizeof(u64));
        engines[e]->encrypt(secret.get(), words.get(), message.get(), bits, sent[e].get());
        for (size_t i = 0; i < used; i++)
            if (bits < 64 && out[e][i] >> bits != 0) abort();
        for (size_t i = 0; i < k * N; i++)
            if (sent[e][i] >= PRIMES[i / N]) abort();
    }
    if (std::memcmp(out[0].get(), out[1].get(), used * sizeof(u64)) != 0) abort();
    if (std::memcmp(sent[0].get(), sent[1].get(), k * N * sizeof(u64)) != 0) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const Context portable(N, PRIMES, "portable");
    static const Context fast(N, PRIMES, ifma_available() ? "ifma" : "portable");
    Input input(data, size);
    const size_t terms = 1 + input.below(3), k = PRIMES.size();
    const auto key = input.buffer<uint8_t>(32);
    const auto expanded = room<u64>(k * N);
    expand(key.get(), PRIMES, N, expanded.get());
    const auto residues = input.buffer<u64>(terms * 2 * k * N);
    for (size_t t = 0; t < terms * 2; t++)
        for (size_t q = 0; q < k; q++)
            for (size_t i = 0; i < N; i++) {
                if (expanded[q * N + i] >= PRIMES[q]) abort();
                residues[(t * k + q) * N + i] %= PRIMES[q];
            }
    const Context *const engines[2] = {&portable, &fast};
    receive(engines, input, residues.get());
    answer(input.below(2) ? fast : portable, input, residues.get(), terms);
    return 0;
}

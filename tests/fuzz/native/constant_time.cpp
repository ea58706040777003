// The client's kernels on secrets that valgrind takes as uninitialised: a branch or an address that depends on one is an
// error (Langley's ctgrind, 2010). The engines that valgrind knows: it has no AVX-512.
#include <valgrind/memcheck.h>

#include "he.h"

using namespace rlwe;

namespace {

void hide(const std::vector<u64> &words) { VALGRIND_MAKE_MEM_UNDEFINED(words.data(), words.size() * sizeof(u64)); }

bool hidden(const std::vector<u64> &words) {
    u64 bits = 0;
    VALGRIND_GET_VBITS(words.data(), &bits, sizeof bits);
    return bits != 0;
}

// Whether valgrind followed the secrets to the end.
bool followed(const std::string &path) {
    constexpr size_t N = 1024;
    constexpr int BITS = 41;
    const std::vector<u64> primes = {1125899906826241, 134111233};  // 1 modulo 2048
    const Context context(N, primes, path);
    const size_t k = primes.size();
    std::vector<u64> random(N), errors(N), message(N), second(k * N), secret(k * N), out(N);
    std::vector<int32_t> positions(N);
    for (size_t i = 0; i < k * N; i++) second[i] = i * i * 0x9e3779b97f4a7c15 % primes[i / N];
    for (size_t i = 0; i < N; i++) {
        random[i] = i * 0x9e3779b97f4a7c15;
        message[i] = random[i] >> (64 - BITS);
        errors[i] = ~random[i];
        positions[i] = static_cast<int32_t>(N - 1 - i);
    }
    for (const auto *secrets : {&random, &message, &errors}) hide(*secrets);
    std::vector<u64> first = second;
    context.secret_key(random.data(), secret.data());
    context.encrypt(secret.data(), errors.data(), message.data(), BITS, first.data());
    const bool sees = hidden(secret) && hidden(first);
    VALGRIND_MAKE_MEM_DEFINED(first.data(), k * N * sizeof(u64));  // what is sent is public
    context.decrypt(secret.data(), k, BITS, first.data(), second.data(), positions.data(), N, out.data());
    return sees && hidden(out);
}

}  // namespace

int main() { return followed("portable") && (!fma_available() || followed("fma")) ? 0 : 1; }

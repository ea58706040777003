// Chooses the backend: the fastest this machine runs, or one by name.
#include <atomic>

#include "aes.h"

#if defined(PI_ARM) && defined(__linux__)
#include <sys/auxv.h>
#ifndef HWCAP_AES
#define HWCAP_AES (1 << 3)
#endif
#endif

namespace pi {
namespace {

struct Available {
    const Backend *list[5] = {};

    Available() {
        int n = 0;
#ifdef PI_X86
        __builtin_cpu_init();
        const bool aes = __builtin_cpu_supports("aes") && __builtin_cpu_supports("sse4.1");
        const bool wide = __builtin_cpu_supports("vaes") && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
                          __builtin_cpu_supports("bmi2");
        if (aes && wide) list[n++] = &vaes_backend;
        if (aes && __builtin_cpu_supports("vaes") && __builtin_cpu_supports("avx2")) list[n++] = &vaes256_backend;
        if (aes) list[n++] = &aesni_backend;
#endif
#if defined(PI_ARM) && defined(__linux__)
        if (getauxval(AT_HWCAP) & HWCAP_AES) list[n++] = &arm_backend;
#elif defined(PI_ARM) && defined(__APPLE__)
        list[n++] = &arm_backend;  // every 64-bit ARM machine of Apple has the instructions
#endif
        list[n] = &portable_backend;
    }
};

const Available &available() {
    static const Available found;
    return found;
}

const Backend *find(const char *name) {
    if (std::strcmp(name, "auto") == 0) return available().list[0];
    for (const Backend *b : available().list)
        if (b != nullptr && std::strcmp(b->name, name) == 0) return b;
    return nullptr;
}

std::atomic<const Backend *> &current() {
    static std::atomic<const Backend *> value{find("auto")};
    return value;
}

}  // namespace

const Backend &backend() { return *current().load(std::memory_order_relaxed); }

bool select_backend(const char *name) {
    const Backend *chosen = find(name);
    if (chosen != nullptr) current().store(chosen);
    return chosen != nullptr;
}

const Backend *const *available_backends() { return available().list; }

AesKey derive_key(const uint8_t *seed16, const char *label, const uint8_t *salt16) {
    const Backend &be = backend();
    uint8_t block[16] = {};
    std::memcpy(block, label, strnlen(label, 16));
    AesKey key;
    be.expand(seed16, key);
    be.ecb(key, block, block, 1);
    be.expand(block, key);
    be.ecb(key, salt16, block, 1);
    be.expand(block, key);
    return key;
}

}  // namespace pi

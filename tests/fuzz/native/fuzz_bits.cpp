// Packed elements: every message of ring elements is unpacked by these, whatever the backend.
#include <cstdlib>
#include <cstring>

#include "aes.h"
#include "input.h"
#include "pack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input input(data, size);
    const int bits = 1 + static_cast<int>(input.below(64));
    const auto packed = input.buffer<uint8_t>(static_cast<size_t>(bits) * 4);
    uint64_t first[32];
    for (const pi::Backend *const *b = pi::available_backends(); *b != nullptr; b++) {
        const auto values = room<uint64_t>(32);
        const auto again = room<uint8_t>(static_cast<size_t>(bits) * 4);
        (*b)->unpack(packed.get(), bits, values.get());
        for (size_t i = 0; i < 32; i++)
            if (values[i] & ~pi::low_mask(bits)) abort();
        if (b == pi::available_backends()) std::memcpy(first, values.get(), sizeof first);
        if (std::memcmp(first, values.get(), sizeof first) != 0) abort();
        (*b)->pack(values.get(), bits, again.get());
        if (std::memcmp(packed.get(), again.get(), static_cast<size_t>(bits) * 4) != 0) abort();
    }
    return 0;
}

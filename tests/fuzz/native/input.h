// Cuts a fuzzer's bytes into sizes and buffers. Buffers are their own heap blocks, exactly as large as the kernel is told:
// one byte read or written beyond is an error of AddressSanitizer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

class Input {
  public:
    Input(const uint8_t *data, size_t size) : at_(data), left_(size) {}

    // 0 .. limit - 1.
    size_t below(size_t limit) {
        size_t value = 0;
        for (size_t span = limit - 1; span > 0; span >>= 8) value = value << 8 | byte();
        return value % limit;
    }
    uint8_t byte() {
        if (left_ == 0) return 0;
        left_--;
        return *at_++;
    }
    // What the peer sends: the input's bytes, repeated with a change once they are used up.
    template <class T>
    std::unique_ptr<T[]> buffer(size_t count) {
        std::unique_ptr<T[]> out(new T[count]);
        uint8_t *bytes = reinterpret_cast<uint8_t *>(out.get()), fill = 0x9d;
        for (size_t i = 0; i < count * sizeof(T); i++) bytes[i] = left_ > 0 ? byte() : (fill = fill * 5 + 1);
        return out;
    }

  private:
    const uint8_t *at_;
    size_t left_;
};

template <class T>
std::unique_ptr<T[]> room(size_t count) {
    return std::unique_ptr<T[]>(new T[count]);
}

// Exact convolution in Z_2^32 and Z_2^64: the parts shared by all instruction sets.
//
// A convolution is computed as a matrix product (output channels) x (rows) x (pixels). The input is split once into
// words that a kernel can multiply (`Engine::split`), kept with its zero border, and copied block of pixels by block
// of pixels into a panel that fits the cache (im2col on the fly). An Engine says how words look and multiplies one
// tile; ConvPlan owns everything that does not depend on the instruction set.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace ringconv {

struct Geometry {
    int groups, cin, cout;  // cin and cout are per group
    int kh, kw, sh, sw, ph, pw;
};

// 64-byte aligned, zeroed memory.
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(size_t bytes);
    uint8_t *data() const { return ptr_.get(); }
    size_t size() const { return size_; }

  private:
    struct Free {
        void operator()(uint8_t *p) const { std::free(p); }
    };
    std::unique_ptr<uint8_t, Free> ptr_;
    size_t size_ = 0;
};

// How the words of one engine lie in memory.
struct Layout {
    int word_bytes;         // 4 or 8
    int channels_per_word;  // input channels packed side by side in one word
    int limbs;              // words needed for one ring element
    int row_align;          // rows of a panel are padded (with zeros) to a multiple of this
    int tile_channels;      // output channels of one tile
    int tile_pixels;        // pixels of one tile; a panel is [limb][row][tile_pixels] words
};

constexpr int kMaxTileChannels = 16, kMaxTilePixels = 16;

// What the multiplication loop needs to know about weights as integers.
enum class WeightRange { Int8, Int16, Full };

template <class T> class Engine {
  public:
    virtual ~Engine() = default;
    const Layout &layout() const { return layout_; }
    int rows() const { return rows_; }
    size_t weight_bytes() const { return weights_.size(); }
    // Bytes after the rows of a panel that `finish_panel` fills.
    virtual size_t panel_extra_bytes() const { return 0; }
    virtual void finish_panel(uint8_t *) const {}
    // Called once per thread around its tiles.
    virtual void enter() const {}
    virtual void leave() const {}
    // channels[i]: `count` ring elements of channel i of a word; limbs[j]: where word j of each goes.
    virtual void split(const T *const *channels, size_t count, uint8_t *const *limbs) const = 0;
    // dst[tile_channels][tile_pixels] = weights of tile `mt` of `group` times panel.
    virtual void tile(int group, int mt, const uint8_t *panel, T *dst) const = 0;

  protected:
    Engine(const Geometry &g, const Layout &layout)
        : layout_(layout), units_((g.cin + layout.channels_per_word - 1) / layout.channels_per_word),
          tiles_((g.cout + layout.tile_channels - 1) / layout.tile_channels) {
        int rows = g.kh * g.kw * units_;
        rows_ = (rows + layout.row_align - 1) / layout.row_align * layout.row_align;
    }
    // Calls put(group, tile, channel in tile, row, place in word, weight) for every weight.
    template <class Put> void each_weight(const Geometry &g, const T *w, Put put) const {
        const int mr = layout_.tile_channels, cw = layout_.channels_per_word;
        for (int oc = 0; oc < g.groups * g.cout; oc++)
            for (int ci = 0; ci < g.cin; ci++)
                for (int k = 0; k < g.kh * g.kw; k++) {
                    int m = oc % g.cout;
                    put(oc / g.cout, m / mr, m % mr, k * units_ + ci / cw, ci % cw,
                        w[(size_t(oc) * g.cin + ci) * g.kh * g.kw + k]);
                }
    }
    Layout layout_;
    int units_, tiles_, rows_;
    Buffer weights_;
};

struct Cpu {
    bool avx2, avx512, vnni, ifma, amx;
};
const Cpu &cpu();

template <class T> using EnginePtr = std::unique_ptr<Engine<T>>;
template <class T> EnginePtr<T> make_generic(const std::string &path, const Geometry &g, const T *w);
#if defined(__x86_64__)
EnginePtr<uint32_t> make_vnni(const Geometry &g, const uint32_t *w);
EnginePtr<uint64_t> make_ifma(const Geometry &g, const uint64_t *w);
template <class T> EnginePtr<T> make_amx(const Geometry &g, const T *w, WeightRange range);
#endif

// Weights of deep layers come from beyond a core's own cache and are used once a block of pixels. Asking for them this
// far ahead is what keeps the loops fed: measured up to 5 times faster than the hardware's own prefetching.
constexpr int kPrefetchBytes = 4096;

// A split input with its zero border: words [image][group][limb][unit][row][column].
struct Planes {
    int n, h, w, hp, wp;
    Buffer words;
};

template <class T> class ConvPlan {
  public:
    // path "" takes the fastest; throws std::invalid_argument for one this machine or these weights cannot use.
    ConvPlan(const Geometry &g, const T *w, const std::string &path);
    static std::vector<std::string> paths(WeightRange range);
    std::shared_ptr<Planes> prepare(const T *x, int n, int h, int w) const;
    // out: (n, c1 - c0, oh, ow), contiguous.
    void run(const Planes &in, T *out, int c0, int c1) const;
    const std::string &path() const { return path_; }
    WeightRange range() const { return range_; }
    const Geometry &geometry() const { return g_; }
    int out_h(int h) const { return (h + 2 * g_.ph - g_.kh) / g_.sh + 1; }
    int out_w(int w) const { return (w + 2 * g_.pw - g_.kw) / g_.sw + 1; }

  private:
    struct Job;
    void work(const Job &job) const;
    void work_group(const Job &job, int group, int m0, int m1, Buffer &panels) const;
    void pack_panel(const Planes &in, int group, long p0, uint8_t *panel) const;
    void store(const Job &job, int group, int mt, int m0, int m1, long p0, const T *tile) const;
    size_t panel_bytes() const;

    Geometry g_;
    WeightRange range_;
    std::string path_;
    EnginePtr<T> engine_;
};

}  // namespace ringconv

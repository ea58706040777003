// The parts of a convolution that do not depend on the instruction set: borders, panels, threads, storing.
#include "conv.h"
#include "conv_panel.h"
#include "parallel.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ringconv {
namespace {

// A group's weights above this do not stay in a core's own cache from one block of pixels to the next.
constexpr size_t kResidentWeightBytes = 256 << 10;
// Panels held at once while such weights pass by; about half of a 1 to 2 MB second-level cache.
constexpr size_t kPanelBytes = 640 << 10;
constexpr size_t kHugePage = 2 << 20;

template <class T> WeightRange weight_range(const T *w, size_t count) {
    using S = std::make_signed_t<T>;
    S low = 0, high = 0;
    for (size_t i = 0; i < count; i++) {
        low = std::min(low, S(w[i]));
        high = std::max(high, S(w[i]));
    }
    if (low >= -128 && high <= 127) return WeightRange::Int8;
    return low >= -32768 && high <= 32767 ? WeightRange::Int16 : WeightRange::Full;
}

template <class T> EnginePtr<T> make_engine(const std::string &path, const Geometry &g, const T *w, WeightRange r) {
#if defined(__x86_64__)
    if (path == "amx") return make_amx<T>(g, w, r);
    if constexpr (sizeof(T) == 4) {
        if (path == "vnni") return make_vnni(g, w);
    } else {
        if (path == "ifma") return make_ifma(g, w);
    }
#endif
    (void)r;
    return make_generic<T>(path, g, w);
}

// Wide tiles pay off only where a group fills a fair part of one.
std::string choose(const std::vector<std::string> &paths, const Geometry &g) {
    for (const std::string &path : paths) {
        const bool carrier = path == "portable" || path == "avx2" || path == "avx512";
        if (carrier || g.cout >= 8) return path;
    }
    return "portable";
}

}  // namespace

Buffer::Buffer(size_t bytes) : size_(bytes) {
    // Weights pass by once an inference: large pages keep the address translation from bounding that.
    const size_t align = bytes < kHugePage ? 64 : kHugePage;
    const size_t rounded = (std::max<size_t>(bytes, 1) + align - 1) / align * align;
    ptr_.reset(static_cast<uint8_t *>(std::aligned_alloc(align, rounded)));
    if (!ptr_) throw std::bad_alloc();
#if defined(__linux__)
    if (align == kHugePage) madvise(ptr_.get(), rounded, MADV_HUGEPAGE);
#endif
    std::memset(ptr_.get(), 0, rounded);
}

template <class T> std::vector<std::string> ConvPlan<T>::paths(WeightRange range) {
    std::vector<std::string> found;
    const Cpu &c = cpu();
    const bool small = range != WeightRange::Full;
    if (c.amx) found.push_back("amx");
    if (sizeof(T) == 4 && small && c.vnni) found.push_back("vnni");
    if (sizeof(T) == 8 && small && c.ifma) found.push_back("ifma");
    if (c.avx512) found.push_back("avx512");
    if (c.avx2) found.push_back("avx2");
    found.push_back("portable");
    return found;
}

template <class T>
ConvPlan<T>::ConvPlan(const Geometry &g, const T *w, const std::string &path)
    : g_(g), range_(weight_range(w, size_t(g.groups) * g.cout * g.cin * g.kh * g.kw)) {
    const auto usable = paths(range_);
    path_ = path.empty() ? choose(usable, g) : path;
    if (std::find(usable.begin(), usable.end(), path_) == usable.end())
        throw std::invalid_argument("path '" + path_ + "' cannot be used with this CPU and these weights");
    engine_ = make_engine<T>(path_, g, w, range_);
}

template <class T> size_t ConvPlan<T>::panel_bytes() const {
    const Layout &l = engine_->layout();
    const size_t bytes = size_t(l.limbs) * engine_->rows() * l.tile_pixels * l.word_bytes;
    return (bytes + engine_->panel_extra_bytes() + 63) / 64 * 64;
}

template <class T> std::shared_ptr<Planes> ConvPlan<T>::prepare(const T *x, int n, int h, int w) const {
    const Layout &l = engine_->layout();
    const int units = (g_.cin + l.channels_per_word - 1) / l.channels_per_word;
    auto planes = std::make_shared<Planes>();
    *planes = Planes{n, h, w, h + 2 * g_.ph, w + 2 * g_.pw, Buffer()};
    const size_t plane = size_t(planes->hp) * planes->wp * l.word_bytes;
    planes->words = Buffer(size_t(n) * g_.groups * l.limbs * units * plane);
    const std::vector<T> absent(size_t(h) * w, 0);
    const bool whole = g_.ph == 0 && g_.pw == 0;
    const int lines = whole ? 1 : h, length = whole ? h * w : w;
    const T *channels[8];
    uint8_t *limbs[8];
    for (size_t image = 0; image < size_t(n) * g_.groups; image++)
        for (int u = 0; u < units; u++)
            for (int line = 0; line < lines; line++) {
                for (int i = 0; i < l.channels_per_word; i++) {
                    const int c = u * l.channels_per_word + i;
                    const T *from = c < g_.cin ? x + (image * g_.cin + c) * h * w : absent.data();
                    channels[i] = from + size_t(line) * w;
                }
                const size_t at = (size_t(line + g_.ph) * planes->wp + g_.pw) * l.word_bytes;
                for (int j = 0; j < l.limbs; j++)
                    limbs[j] = planes->words.data() + ((image * l.limbs + j) * units + u) * plane + at;
                engine_->split(channels, length, limbs);
            }
    return planes;
}

template <class T> void ConvPlan<T>::pack_panel(const Planes &in, int group, long p0, uint8_t *panel) const {
    const Layout &l = engine_->layout();
    const int oh = out_h(in.h), ow = out_w(in.w);
    const int units = (g_.cin + l.channels_per_word - 1) / l.channels_per_word;
    const long per_image = long(g_.groups) * l.limbs * units * in.hp * in.wp, total = long(in.n) * oh * ow;
    long offset[kMaxTilePixels];
    long image = p0 / (long(oh) * ow), y = p0 / ow % oh, x = p0 % ow;
    for (int i = 0; i < l.tile_pixels; i++) {
        offset[i] = image * per_image + y * g_.sh * in.wp + x * g_.sw;
        if (p0 + i + 1 >= total) continue;  // pixels past the end repeat the last one; they are not stored
        if (++x == ow) x = 0, y++;
        if (y == oh) y = 0, image++;
    }
    const uint8_t *from = in.words.data() + size_t(group) * per_image / g_.groups * l.word_bytes;
    const Walk walk{&g_, l.limbs, units, engine_->rows(), l.tile_pixels, in.hp * in.wp, in.wp};
    if (l.word_bytes == 4)
        copy_rows<uint32_t>(walk, from, offset, panel);
    else
        copy_rows<uint64_t>(walk, from, offset, panel);
    engine_->finish_panel(panel);
}

// The share of one thread: output channels [c0, c1) and blocks of pixels [b0, b1).
template <class T> struct ConvPlan<T>::Job {
    const Planes *in;
    T *out;
    int out_c0, out_channels;
    int c0, c1;
    long b0, b1;
};

template <class T>
void ConvPlan<T>::store(const Job &job, int group, int mt, int m0, int m1, long p0, const T *tile) const {
    const Layout &l = engine_->layout();
    const long per_image = long(out_h(job.in->h)) * out_w(job.in->w), total = per_image * job.in->n;
    const long p1 = std::min(p0 + l.tile_pixels, total);
    const int first = std::max(m0, mt * l.tile_channels), last = std::min(m1, (mt + 1) * l.tile_channels);
    const long channel = group * long(g_.cout) - job.out_c0;
    for (long p = p0, run; p < p1; p += run) {
        const long image = p / per_image, in_image = p % per_image;
        run = std::min(p1 - p, per_image - in_image);
        T *out = job.out + (image * job.out_channels + channel) * per_image + in_image;
        const T *from = tile + (p - p0);
        for (int m = first; m < last; m++)
            std::memcpy(out + m * per_image, from + (m - mt * l.tile_channels) * l.tile_pixels, run * sizeof(T));
    }
}

// Output channels [m0, m1) of one group.
template <class T>
void ConvPlan<T>::work_group(const Job &job, int group, int m0, int m1, Buffer &panels) const {
    const Layout &l = engine_->layout();
    const size_t bytes = panel_bytes();
    const long held = long(panels.size() / bytes);
    alignas(64) T tile[kMaxTileChannels * kMaxTilePixels];
    for (long b = job.b0; b < job.b1; b += held) {
        const long count = std::min(held, job.b1 - b);
        for (long i = 0; i < count; i++)
            pack_panel(*job.in, group, (b + i) * l.tile_pixels, panels.data() + i * bytes);
        for (int mt = m0 / l.tile_channels; mt * l.tile_channels < m1; mt++)
            for (long i = 0; i < count; i++) {
                engine_->tile(group, mt, panels.data() + i * bytes, tile);
                store(job, group, mt, m0, m1, (b + i) * l.tile_pixels, tile);
            }
    }
}

template <class T> void ConvPlan<T>::work(const Job &job) const {
    const bool resident = engine_->weight_bytes() / g_.groups <= kResidentWeightBytes;
    const long held = resident ? 1 : std::max<long>(1, kPanelBytes / panel_bytes());
    Buffer panels(panel_bytes() * std::min(held, std::max(1L, job.b1 - job.b0)));
    engine_->enter();
    for (int group = job.c0 / g_.cout; group * g_.cout < job.c1; group++) {
        const int base = group * g_.cout;
        work_group(job, group, std::max(job.c0 - base, 0), std::min(job.c1 - base, g_.cout), panels);
    }
    engine_->leave();
}

template <class T> void ConvPlan<T>::run(const Planes &in, T *out, int c0, int c1) const {
    const Layout &l = engine_->layout();
    const long total = long(in.n) * out_h(in.h) * out_w(in.w);
    const long blocks = (total + l.tile_pixels - 1) / l.tile_pixels;
    const Job whole{&in, out, c0, c1 - c0, c0, c1, 0, blocks};
    if (c1 <= c0 || blocks == 0) return;
    const int threads = pi::threads();
    const bool by_pixels = blocks >= threads && engine_->weight_bytes() / g_.groups <= kResidentWeightBytes;
    const long units = by_pixels ? blocks : (c1 - c0 + l.tile_channels - 1) / l.tile_channels;
    const long parts = std::min<long>(threads, units);
    const auto share = [&](long part) {
        Job job = whole;
        const long low = units * part / parts, high = units * (part + 1) / parts;
        if (by_pixels) {
            job.b0 = low;
            job.b1 = high;
        } else {
            job.c0 = c0 + int(low) * l.tile_channels;
            job.c1 = std::min<int>(c1, c0 + int(high) * l.tile_channels);
        }
        work(job);
    };
    pi::parallel_for(size_t(parts), 1, [&](size_t begin, size_t end) {
        for (size_t part = begin; part < end; part++) share(long(part));
    });
}

template class ConvPlan<uint32_t>;
template class ConvPlan<uint64_t>;

}  // namespace ringconv

// Python bindings of the ring convolution; pi_system/kernels/conv.py is the checked, typed surface.
#include "conv.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using namespace nb::literals;
using ringconv::ConvPlan;
using ringconv::Geometry;
using ringconv::Planes;
using ringconv::WeightRange;

namespace {

template <class T> using In = nb::ndarray<const T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
template <class T> using Out = nb::ndarray<T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;

template <class T> void bind_plan(nb::module_ &m, const char *name) {
    using Plan = ConvPlan<T>;
    nb::class_<Plan>(m, name)
        .def(
            "__init__",
            [](Plan *self, const In<T> &w, int sh, int sw, int ph, int pw, int groups, const std::string &path) {
                const Geometry g{groups,          int(w.shape(1)), int(w.shape(0)) / groups, int(w.shape(2)),
                                 int(w.shape(3)), sh,              sw,                       ph,
                                 pw};
                nb::gil_scoped_release release;
                new (self) Plan(g, w.data(), path);
            },
            "weight"_a, "sh"_a, "sw"_a, "ph"_a, "pw"_a, "groups"_a, "path"_a)
        .def(
            "prepare",
            [](const Plan &self, const In<T> &x) {
                nb::gil_scoped_release release;
                return self.prepare(x.data(), int(x.shape(0)), int(x.shape(2)), int(x.shape(3)));
            },
            "x"_a)
        .def(
            "run",
            [](const Plan &self, const Planes &in, const Out<T> &out, int c0, int c1) {
                nb::gil_scoped_release release;
                self.run(in, out.data(), c0, c1);
            },
            "planes"_a, "out"_a, "c0"_a, "c1"_a)
        .def_prop_ro("path", &Plan::path)
        .def_prop_ro("small", [](const Plan &self) { return self.range() != WeightRange::Full; })
        .def_static(
            "paths", [](bool small) { return Plan::paths(small ? WeightRange::Int16 : WeightRange::Full); },
            "small"_a);
}

}  // namespace

void register_conv(nb::module_ &m) {
    nb::class_<Planes>(m, "ConvPlanes");
    bind_plan<uint32_t>(m, "ConvPlan32");
    bind_plan<uint64_t>(m, "ConvPlan64");
}

// The one extension module: every kernel file registers its own functions here.
#include <nanobind/nanobind.h>

#include "parallel.h"

namespace nb = nanobind;

void register_prg(nb::module_ &m);
void register_relu(nb::module_ &m);
void register_conv(nb::module_ &m);
void register_ot(nb::module_ &m);
void register_gmw(nb::module_ &m);
void register_gmw_value(nb::module_ &m);
void register_garble(nb::module_ &m);
void register_he(nb::module_ &m);

NB_MODULE(_native, m) {
    m.doc() = "Kernels of the secure runtime; see pi_system/kernels/__init__.py for the typed surface.";
    m.attr("MAX_THREADS") = pi::MAX_THREADS;
    m.def("threads", &pi::threads);
    m.def("set_threads", &pi::set_threads, nb::arg("count"));
    register_prg(m);
    register_relu(m);
    register_conv(m);
    register_ot(m);
    register_gmw(m);
    register_gmw_value(m);
    register_garble(m);
    register_he(m);
}

// Which instruction sets may be used, asked once at run time.
#include "conv.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace ringconv {

#if defined(__x86_64__)
namespace {

// AMX tiles need a CPU that has them and a kernel that grants their 8 KB of state to this process
// (Linux: Documentation/arch/x86/xstate.rst, arch_prctl ARCH_REQ_XCOMP_PERM for XTILEDATA).
bool amx_granted() {
#if defined(__linux__)
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    const bool tile = d & (1u << 24), int8 = d & (1u << 25);
    const long request_permission = 0x1023, tile_data = 18;
    return tile && int8 && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

Cpu detect() {
    Cpu c{};
    __builtin_cpu_init();
    c.avx2 = __builtin_cpu_supports("avx2");
    c.avx512 = c.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    c.vnni = c.avx512 && __builtin_cpu_supports("avx512vnni");
    c.ifma = c.avx512 && __builtin_cpu_supports("avx512ifma");
    c.amx = c.avx512 && amx_granted();
    return c;
}

}  // namespace
#else
namespace {
Cpu detect() { return Cpu{}; }
}  // namespace
#endif

const Cpu &cpu() {
    static const Cpu found = detect();
    return found;
}

}  // namespace ringconv

// Compiles one plain loop twice: for the baseline and for AVX-512, where the compiler vectorises it.
#pragma once

#include "aes.h"

#define PI_INLINE static inline __attribute__((always_inline))

// Defines NAME(be, ...) that calls BODY (PI_INLINE) in the copy that the backend allows.
#ifdef PI_X86
#define PI_BOTH(NAME, BODY, PARAMETERS, ARGUMENTS)                 \
    PI_TARGET_VAES void NAME##_wide PARAMETERS { BODY ARGUMENTS; } \
    void NAME##_plain PARAMETERS { BODY ARGUMENTS; }               \
    inline void NAME PARAMETERS { be.wide ? NAME##_wide ARGUMENTS : NAME##_plain ARGUMENTS; }
#else
#define PI_BOTH(NAME, BODY, PARAMETERS, ARGUMENTS) \
    inline void NAME PARAMETERS { BODY ARGUMENTS; }
#endif

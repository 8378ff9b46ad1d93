// OCTET_SIMD_CLONES before a function: the compiler vectorises it fully and builds it for AVX-512, AVX2 and the
// baseline; the loader takes the best that the CPU has.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define OCTET_SIMD_CLONES                                             \
  __attribute__((optimize("O3", "no-trapping-math", "no-math-errno"), \
                 target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define OCTET_SIMD_CLONES
#endif

// OCTET_SIMD_CLONES before a function: the compiler builds it for AVX-512, AVX2 and the baseline; the loader takes the
// best that the CPU has. CMakeLists.txt compiles *_cpu.cc so that their loops are vectorised.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define OCTET_SIMD_CLONES __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define OCTET_SIMD_CLONES
#endif

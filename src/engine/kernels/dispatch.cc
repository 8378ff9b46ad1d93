// The AVX-512 VNNI and AVX2 kernel sets, when the CPU and the operating system have them.
#include "engine/kernels/kernels.h"

#if defined(__x86_64__)
namespace octet::engine::avx512 {
void Conv(const ConvArgs&, int part, int parts);
void Depthwise(const ConvArgs&, int part, int parts);
void MaxPool(const PoolArgs&, int part, int parts);
void AveragePool(const PoolArgs&, int part, int parts);
void Sum(const SumArgs&, int part, int parts);
void Mul(const MulArgs&, int part, int parts);
void Lut(const LutArgs&, int part, int parts);
void Gather(const GatherArgs&, int part, int parts);
void Quantize(const QuantizeArgs&, int part, int parts);
void Dequantize(const DequantizeArgs&, int part, int parts);
void Gemm(const GemmArgs&, int part, int parts);
}  // namespace octet::engine::avx512
namespace octet::engine::avx2 {
void Pick(const PickArgs&, int part, int parts);
void FillKernels(KernelSet& kernels);  // those that are worth it; the rest stay the reference's
}  // namespace octet::engine::avx2
#endif

namespace octet::engine {

const KernelSet* Avx512VnniKernels() {
#if defined(__x86_64__)
  static const KernelSet kernels{"avx512_vnni",      "AVX-512 VNNI: 64 products an instruction, exact",
                                 avx512::Conv,       avx512::Depthwise,
                                 avx512::MaxPool,    avx512::AveragePool,
                                 avx512::Sum,        avx512::Mul,
                                 avx512::Lut,        avx512::Gather,
                                 avx2::Pick,         avx512::Quantize,
                                 avx512::Dequantize, avx512::Gemm};
  // GCC's checks include the operating system's support of the registers (XGETBV).
  static const bool available = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                                __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
  return available ? &kernels : nullptr;
#else
  return nullptr;
#endif
}

const KernelSet* PortableKernels() {
#if defined(__x86_64__)
  static const KernelSet kernels = [] {
    KernelSet set = ReferenceKernels();
    set.name = "portable";
    set.description = "AVX2: 16 products an instruction, exact";
    avx2::FillKernels(set);
    return set;
  }();
  static const bool available = __builtin_cpu_supports("avx2");
  return available ? &kernels : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace octet::engine

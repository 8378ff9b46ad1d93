#include "train/device.h"

#include <c10/core/CPUAllocator.h>
#include <dlfcn.h>
#include <malloc.h>

#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/error.h"
#include "base/huge_pages.h"
#include "quant/quantize.h"

namespace octet::train {
namespace {

constexpr double kDecay = 0.999;  // of quant::MovingAverage

// Activations of a step are as large as in the step before: keep the pages instead of returning them to the kernel,
// which would have to clear them again (a third of an elementwise operation's time).
void KeepFreedMemory() {
#ifdef __GLIBC__
  static const bool done = [] {
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_ARENA_MAX, 4);
    return true;
  }();
  (void)done;
#endif
}

// LibTorch's allocator, whose large tensors get large pages. LibTorch 2 dropped a const: two forms of one function.
template <bool kConst, typename Base>
struct HugePageAllocator : Base {
  explicit HugePageAllocator(Base* base) : base_(base) {}
  c10::DataPtr allocate(size_t n) { return Advised(base_->allocate(n), n); }
  c10::DeleterFnPtr raw_deleter() const { return base_->raw_deleter(); }
  void copy_data(void* to, const void* from, size_t n) const { std::memcpy(to, from, n); }

 protected:
  static c10::DataPtr Advised(c10::DataPtr p, size_t n) {
    AdviseHugePages(p.get(), n);
    return p;
  }
  Base* base_;
};
template <typename Base>
struct HugePageAllocator<true, Base> : HugePageAllocator<false, Base> {
  using HugePageAllocator<false, Base>::HugePageAllocator;
  c10::DataPtr allocate(size_t n) const { return this->Advised(this->base_->allocate(n), n); }
};

void UseHugePages() {
  static const bool done = [] {
    using Const = c10::DataPtr (c10::Allocator::*)(size_t) const;
    constexpr bool kConst = std::is_same<decltype(&c10::Allocator::allocate), Const>::value;
    // Never destroyed: tensors in static objects may outlive everything.
    c10::SetCPUAllocator(new HugePageAllocator<kConst, c10::Allocator>(c10::GetCPUAllocator()));
    return true;
  }();
  (void)done;
}

// OpenBLAS with threads of its own lets them spin for a while after each product, on the cores that LibTorch's threads
// need, and its sums depend on their number. The dense layers of a CNN are small: one thread does them.
void KeepBlasToOneThread() {
  static const bool done = [] {
    using SetThreads = void (*)(int);
    if (auto* set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set(1);
    return true;
  }();
  (void)done;
}

// What training simulates must be what the engine computes, and two runs of one seed must agree: no convolution in
// TF32 (11 significant bits), no algorithm whose sums depend on the order of threads.
void MakeCudaExact() {
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setDeterministicCuDNN(true);
}

}  // namespace

at::Device OpenDevice(const std::string& name) {
  KeepFreedMemory();
  UseHugePages();
  KeepBlasToOneThread();
  try {
    const at::Device device(name);
    if (device.is_cpu() || device.type() == at::DeviceType::PrivateUse1) return device;
    OCTET_REQUIRE(device.is_cuda(), "device '{}': expected cpu or cuda", name);
    const auto count = static_cast<int64_t>(torch::cuda::device_count());
    OCTET_REQUIRE(count > 0,
                  "device '{}': LibTorch {} sees no CUDA device; use device: cpu, or build octet with a CUDA LibTorch "
                  "(docs/gpu.md) and check that nvidia-smi lists a GPU",
                  name, TORCH_VERSION);
    OCTET_REQUIRE(!device.has_index() || device.index() < count,
                  "device '{}': there {} {} CUDA device{}; set gpu_ids to a number below {}", name,
                  count == 1 ? "is" : "are", count, count == 1 ? "" : "s", count);
    MakeCudaExact();
    return device;
  } catch (const c10::Error&) {
    OCTET_FAIL("device '{}' is not a device; expected cpu, cuda or cuda:<number>", name);
  }
}

DeviceAverage::DeviceAverage(const quant::MovingAverage& start, at::Device device)
    : mean_(at::full({}, start.raw(), at::TensorOptions().dtype(at::kDouble).device(device))), steps_(start.steps()) {}

// Two products and a sum, each rounded, as on the host: no fused multiply-add.
void DeviceAverage::Add(const at::Tensor& amax) {
  const at::NoGradGuard no_grad;
  mean_ = mean_ * kDecay + amax.reshape({}).to(at::kDouble) * (1.0 - kDecay);
  ++steps_;
}

at::Tensor DeviceAverage::Scale() const {
  const at::NoGradGuard no_grad;
  const at::Tensor start_up = at::full({}, 1.0 - std::pow(kDecay, static_cast<double>(steps_)), mean_.options());
  const at::Tensor amax = (steps_ == 0 ? mean_ : mean_ / start_up).to(at::kFloat);
  const at::Tensor range = at::where(amax < quant::kMinAmax, at::ones_like(amax), amax);
  return range / at::full({}, quant::kMaxCode, range.options());
}

quant::MovingAverage DeviceAverage::Read() const {
  return quant::MovingAverage(kDecay, mean_.item<double>(), steps_);
}

}  // namespace octet::train

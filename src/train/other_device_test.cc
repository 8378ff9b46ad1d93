// Training on a device that is not the CPU. A GPU is rarely there when tests run, so this file makes a device of its
// own (LibTorch's place for devices from outside, "privateuseone") that is as strict as one: its addresses fault when
// the host reads them, and an operator that gets tensors of two devices fails. The arithmetic is the CPU's.
#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <gtest/gtest.h>
#include <torch/library.h>
#include <torch/torch.h>

#include <cstdlib>

#include "train/test_graphs.h"
#include "train/trainer.h"

namespace octet::train {
namespace {

constexpr at::DeviceType kOther = at::DeviceType::PrivateUse1;

// ---- memory: a device address is a host address with a bit that no address of the host has
constexpr uintptr_t kDeviceBit = uintptr_t{1} << 62;

void* HostAddress(void* device) {
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(device) & ~kDeviceBit);
}

struct OtherMemory final : c10::Allocator {
  c10::DataPtr Allocate(size_t bytes) const {
    void* host = bytes == 0 ? nullptr : std::malloc(bytes);
    void* device = host == nullptr ? nullptr : reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(host) | kDeviceBit);
    return {device, host, &std::free, c10::Device(kOther, 0)};
  }
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 3)
  c10::DataPtr allocate(size_t bytes) override {
    return Allocate(bytes);
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(HostAddress(to), HostAddress(const_cast<void*>(from)), bytes);
  }
#else
  c10::DataPtr allocate(size_t bytes) const override {
    return Allocate(bytes);
  }
#endif
};

OtherMemory* Memory() {
  static OtherMemory memory;
  return &memory;
}

const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::Tensor Empty(at::IntArrayRef size, c10::optional<at::ScalarType> type, c10::optional<at::Layout>,
                 c10::optional<at::Device>, c10::optional<bool>, c10::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, Memory(), kKeys, type.value_or(at::kFloat), format);
}

at::Tensor EmptyStrided(at::IntArrayRef size, at::IntArrayRef stride, c10::optional<at::ScalarType> type,
                        c10::optional<at::Layout>, c10::optional<at::Device>, c10::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, Memory(), kKeys, type.value_or(at::kFloat));
}

// The same memory as a CPU tensor.
at::Tensor OnHost(const at::Tensor& t) {
  if (!t.defined() || t.device().type() != kOther) return t;
  const at::TensorOptions options = at::TensorOptions().dtype(t.scalar_type());
  if (t.numel() == 0) return at::empty_strided(t.sizes(), t.strides(), options);
  return at::from_blob(HostAddress(t.data_ptr()), t.sizes(), t.strides(), options);
}

at::Tensor ToOther(const at::Tensor& host) {
  if (!host.defined()) return host;
  at::Tensor t = EmptyStrided(host.sizes(), host.strides(), host.scalar_type(), {}, {}, {});
  OnHost(t).copy_(host);
  return t;
}

at::Tensor CopyFrom(const at::Tensor& from, const at::Tensor& to, bool) {
  OnHost(to).copy_(OnHost(from));
  return to;
}

// ---- operators: the CPU's, on the same memory

// Replaces device tensors by CPU tensors, remembering which was which.
class Arguments {
 public:
  void Replace(c10::IValue* v) {
    if (v->isTensor()) {
      *v = Host(v->toTensor());
    } else if (v->isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : v->toTensorVector()) list.push_back(Host(t));
      *v = list;
    } else if (v->isOptionalTensorList()) {
      c10::List<c10::optional<at::Tensor>> list;
      for (const c10::optional<at::Tensor>& t : v->toOptionalTensorVector()) {
        list.push_back(t.has_value() ? c10::optional<at::Tensor>(Host(*t)) : c10::nullopt);
      }
      *v = list;
    } else if (v->isDevice() && v->toDevice().type() == kOther) {
      *v = at::Device(at::kCPU);
    }
  }
  // A result that is an argument (in-place operators) is that argument again.
  void Return(c10::IValue* v) const {
    if (v->isTensor()) {
      *v = Device(v->toTensor());
    } else if (v->isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : v->toTensorVector()) list.push_back(Device(t));
      *v = list;
    }
  }
  // An operator may have given an empty argument ("out") its size.
  void Resize() const {
    for (const auto& [host, device] : pairs_) {
      if (host.sizes() == device.sizes()) continue;
      const at::Tensor grown = ToOther(host);
      c10::TensorImpl* impl = device.unsafeGetTensorImpl();
      impl->set_storage_keep_dtype(grown.storage());
      impl->set_sizes_and_strides(grown.sizes(), grown.strides());
    }
  }
  // A number may come from the host, as on a GPU; an array may not.
  bool mixed() const { return host_array_ && !pairs_.empty(); }

 private:
  at::Tensor Host(const at::Tensor& t) {
    if (!t.defined()) return t;
    if (t.device().type() != kOther) {
      host_array_ = host_array_ || t.dim() > 0;
      return t;
    }
    pairs_.emplace_back(OnHost(t), t);
    return pairs_.back().first;
  }
  at::Tensor Device(const at::Tensor& t) const {
    for (const auto& [host, device] : pairs_) {
      if (host.is_same(t)) return device;
    }
    return ToOther(t);
  }
  std::vector<std::pair<at::Tensor, at::Tensor>> pairs_;
  bool host_array_ = false;
};

int64_t g_host_reads = 0;  // of single numbers; each would make the host wait for a GPU

void RunOnHostMemory(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const size_t inputs = op.schema().arguments().size();
  Arguments arguments;
  for (size_t i = stack->size() - inputs; i < stack->size(); ++i) arguments.Replace(&(*stack)[i]);
  g_host_reads += op.schema().name() == "aten::_local_scalar_dense";
  TORCH_CHECK(!arguments.mixed(), op.schema().name(), ": expected all tensors on one device");
  op.callBoxed(stack);
  arguments.Resize();
  for (size_t i = stack->size() - op.schema().returns().size(); i < stack->size(); ++i) arguments.Return(&(*stack)[i]);
}

at::Tensor Convolution(const at::Tensor& x, const at::Tensor& w, const c10::optional<at::Tensor>& bias,
                       at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, int64_t groups) {
  const at::Tensor b = bias.has_value() ? OnHost(*bias) : at::Tensor();
  return ToOther(
      at::convolution(OnHost(x), OnHost(w), b, stride, padding, dilation, transposed, output_padding, groups));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ConvolutionBackward(const at::Tensor& dy, const at::Tensor& x,
                                                                   const at::Tensor& w, at::IntArrayRef stride,
                                                                   at::IntArrayRef padding, at::IntArrayRef dilation,
                                                                   bool transposed, at::IntArrayRef output_padding,
                                                                   int64_t groups, std::array<bool, 3> wanted) {
  const std::vector<int64_t> bias = {dy.size(1)};
  const auto [dx, dw, db] = at::convolution_backward(OnHost(dy), OnHost(x), OnHost(w), bias, stride, padding, dilation,
                                                     transposed, output_padding, groups, wanted);
  return {ToOther(dx), ToOther(dw), ToOther(db)};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", Empty);
  library.impl("empty_strided", EmptyStrided);
  library.impl("as_strided", at::native::as_strided_tensorimpl);
  library.impl("view", static_cast<at::Tensor (*)(const at::Tensor&, at::IntArrayRef)>(at::native::view));
  library.impl("_reshape_alias", at::native::_reshape_alias);
  library.impl("_copy_from", CopyFrom);
  library.impl("convolution_overrideable", Convolution);
  library.impl("convolution_backward_overrideable", ConvolutionBackward);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&RunOnHostMemory>());
}

const c10::impl::DeviceGuardImplRegistrar kGuard(kOther, new c10::impl::NoOpDeviceGuardImpl<kOther>);

// ---- the device itself

TEST(OtherDevice, RefusesTensorsOfTwoDevices) {
  const at::Tensor here = at::ones({3}), there = at::ones({3}).to(kOther);
  EXPECT_EQ(at::add(there, there).to(at::kCPU).sum().item<float>(), 6.0f);
  EXPECT_EQ(at::add(there, at::ones({})).to(at::kCPU).sum().item<float>(), 6.0f);
  EXPECT_THROW(at::add(there, here), c10::Error);
}

TEST(OtherDeviceDeathTest, ItsMemoryIsOutOfReach) {
  const at::Tensor there = at::ones({3}).to(kOther);
  EXPECT_DEATH({ std::printf("%f", static_cast<double>(*static_cast<volatile float*>(there.data_ptr()))); }, "");
}

// ---- training on it, and on a GPU where there is one

// Quantizers of every kind, batch norm, a residual, depthwise and strided convolutions, pools, dropout.
const char kNetwork[] = R"(graph "g" {
  input %x: f32[8,3,12,12]
  const %x.scale: f32[] = [0.01]
  const %zero: s8[] = [0]
  const %c.weight: f32[8,3,3,3] = blob
  const %c.weight.scale: f32[8] = [1,1,1,1,1,1,1,1]
  const %c.zero: s8[8] = [0,0,0,0,0,0,0,0]
  const %bn.scale: f32[8] = [1,1,1,1,1,1,1,1]
  const %bn.bias: f32[8] = [0,0.1,0,0.2,0,0.3,0,0]
  const %bn.mean: f32[8] = [0,0,0,0,0,0,0,0]
  const %bn.var: f32[8] = [1,1,1,1,1,1,1,1]
  const %lo: f32[] = [0]
  const %hi: f32[] = [6]
  const %r.scale: f32[] = [0.01]
  const %d.weight: f32[8,1,3,3] = blob
  const %d.weight.scale: f32[] = [1]
  const %d.bias: f32[8] = [0,0,0,0.1,0,0,0,0]
  const %a.scale: f32[] = [0.01]
  const %ratio: f32[] = [0.2]
  const %f.weight: f32[3,8] = blob
  const %f.bias: f32[3] = [0,0,0]
  %x.q: s8[8,3,12,12] = QuantizeLinear(%x, %x.scale, %zero) {observer="moving_average"} "xq"
  %x.dq: f32[8,3,12,12] = DequantizeLinear(%x.q, %x.scale, %zero) "xdq"
  %c.weight.q: s8[8,3,3,3] = QuantizeLinear(%c.weight, %c.weight.scale, %c.zero) {axis=0, observer="max_abs"} "wq"
  %c.weight.dq: f32[8,3,3,3] = DequantizeLinear(%c.weight.q, %c.weight.scale, %c.zero) {axis=0} "wdq"
  %c: f32[8,8,6,6] = Conv(%x.dq, %c.weight.dq) {pads=[1,1,1,1], strides=[2,2]} "c"
  %bn: f32[8,8,6,6] = BatchNormalization(%c, %bn.scale, %bn.bias, %bn.mean, %bn.var) "bn"
  %r: f32[8,8,6,6] = Clip(%bn, %lo, %hi) "r"
  %r.q: s8[8,8,6,6] = QuantizeLinear(%r, %r.scale, %zero) {observer="moving_average"} "rq"
  %r.dq: f32[8,8,6,6] = DequantizeLinear(%r.q, %r.scale, %zero) "rdq"
  %d.weight.q: s8[8,1,3,3] = QuantizeLinear(%d.weight, %d.weight.scale, %zero) {observer="max_abs"} "dwq"
  %d.weight.dq: f32[8,1,3,3] = DequantizeLinear(%d.weight.q, %d.weight.scale, %zero) "dwdq"
  %d: f32[8,8,6,6] = Conv(%r.dq, %d.weight.dq, %d.bias) {group=8, pads=[1,1,1,1]} "d"
  %s: f32[8,8,6,6] = Add(%d, %r.dq) "s"
  %a: f32[8,8,6,6] = Relu(%s) "a"
  %a.q: s8[8,8,6,6] = QuantizeLinear(%a, %a.scale, %zero) {observer="moving_average"} "aq"
  %a.dq: f32[8,8,6,6] = DequantizeLinear(%a.q, %a.scale, %zero) "adq"
  %m: f32[8,8,3,3] = MaxPool(%a.dq) {kernel_shape=[3,3], pads=[0,0,1,1], strides=[2,2]} "m"
  %p: f32[8,8,1,1] = GlobalAveragePool(%m) "p"
  %l: f32[8,8] = Flatten(%p) "l"
  %o: f32[8,8] = Dropout(%l, %ratio) "o"
  %logits: f32[8,3] = Gemm(%o, %f.weight, %f.bias) {transB=1} "f"
  output %logits
})";

Batch MakeBatch(uint64_t seed) {
  Batch batch;
  batch.inputs = {RandomTensor({8, 3, 12, 12}, seed)};
  batch.targets = {Tensor::From<int64_t>({8}, {0, 1, 2, 0, 1, 2, 0, 1})};
  batch.size = 8;
  return batch;
}

// Autograd of a LibTorch with CUDA takes every device that is not the CPU for a CUDA device.
bool StandInHasAutograd() {
  return !at::Context::hasCUDART();
}

class Devices : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) == "cuda" && !torch::cuda::is_available()) GTEST_SKIP() << "skipped: no CUDA device";
    if (device() == "privateuseone" && !StandInHasAutograd()) GTEST_SKIP() << "skipped: this LibTorch has CUDA";
  }
  std::string device() const { return GetParam(); }
};

TEST_P(Devices, OneStepHasTheLossAndTheGradientsOfTheCpu) {
  const ir::Graph graph = MakeGraph(kNetwork);
  const Tensor x = RandomTensor({8, 3, 12, 12}, 3), seed = RandomTensor({8, 3}, 4);
  Tensor expected_y, y;
  GraphModule cpu(graph), other(graph, device());
  for (GraphModule* m : {&cpu, &other}) {
    m->SetTraining(true);
    m->SetRandomKey(1, 2, 3);
  }
  const auto expected = cpu.Gradients({{"x", x}}, "logits", seed, &expected_y);
  const auto got = other.Gradients({{"x", x}}, "logits", seed, &y);
  EXPECT_LE(LargestDifference(y, expected_y), 1e-5);
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [name, gradient] : expected) {
    double size = 1;
    for (const double g : gradient.ToVector<double>()) size = std::max(size, std::fabs(g));
    EXPECT_LE(LargestDifference(got.at(name), gradient), 1e-4 * size) << name;
  }
  // Ranges and running statistics moved alike.
  const ir::Graph a = cpu.WriteBack(), b = other.WriteBack();
  for (const ir::ValueId id : a.constants()) {
    if (a.value(id).type.dtype != DType::kF32) continue;
    EXPECT_LE(LargestDifference(a.value(id).constant, b.value(b.Find(a.value(id).name)).constant), 1e-6)
        << a.value(id).name;
  }
}

TEST_P(Devices, EveryOptimizerFollowsTheCpuAndResumes) {
  const ir::Graph graph = MakeGraph(kNetwork);
  for (const char* optimizer : {"sgd", "adam", "rmsprop"}) {
    TrainerOptions options;
    options.optimizer.optimizer = optimizer;
    options.optimizer.nesterov = true;
    options.optimizer.weight_decay = 1e-3;
    options.optimizer.epsilon = 1e-3;
    options.schedule.learning_rate = 0.01;
    options.steps_per_epoch = 4;
    GraphModule cpu(graph), other(graph, device());
    Trainer on_cpu(cpu, SoftmaxCrossEntropy(0.1), options), on_other(other, SoftmaxCrossEntropy(0.1), options);
    EXPECT_NEAR(on_other.Step(MakeBatch(1)).loss, on_cpu.Step(MakeBatch(1)).loss, 1e-5) << optimizer;
    EXPECT_NEAR(on_other.Step(MakeBatch(2)).loss, on_cpu.Step(MakeBatch(2)).loss, 1e-3) << optimizer;
    // A checkpoint of one device goes on at another.
    ir::Model checkpoint;
    on_cpu.Save(checkpoint);
    const ir::Model loaded = ir::DeserializeModel(ir::SerializeModel(checkpoint), "memory");
    GraphModule resumed(loaded.graph, device());
    Trainer second(resumed, SoftmaxCrossEntropy(0.1), options);
    second.Restore(loaded);
    ir::Model again;
    second.Save(again);
    EXPECT_EQ(again.graph, checkpoint.graph) << optimizer;
    EXPECT_EQ(again.state, checkpoint.state) << optimizer;
    EXPECT_NEAR(second.Step(MakeBatch(3)).loss, on_cpu.Step(MakeBatch(3)).loss, 1e-5) << optimizer;
  }
}

TEST_P(Devices, CodesAreThoseOfTheCpu) {
  const ir::Graph graph = MakeGraph(kNetwork);
  const Tensor x = RandomTensor({8, 3, 12, 12}, 9);
  GraphModule cpu(graph), other(graph, device());
  // Inputs of the first convolution are equal bits, so its codes are equal too; further on sums may differ in order.
  for (const char* name : {"x.q", "c.weight.q", "d.weight.q"}) {
    EXPECT_EQ(other.Evaluate({{"x", x}}, {name})[0], cpu.Evaluate({{"x", x}}, {name})[0]) << name;
  }
  const std::vector<float> a = cpu.Evaluate({{"x", x}}, {"a.q"})[0].ToVector<float>();
  const std::vector<float> b = other.Evaluate({{"x", x}}, {"a.q"})[0].ToVector<float>();
  size_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_LE(std::fabs(a[i] - b[i]), 1.0f);
    different += a[i] != b[i];
  }
  EXPECT_LE(different, a.size() / 1000);
}

INSTANTIATE_TEST_SUITE_P(All, Devices, testing::Values("privateuseone", "cuda"),
                         [](const testing::TestParamInfo<const char*>& info) { return std::string(info.param); });

TEST(OtherDevice, AStepReadsNoNumberBackForAQuantizer) {
  if (!StandInHasAutograd()) GTEST_SKIP() << "skipped: this LibTorch has CUDA";
  GraphModule module(MakeGraph(kNetwork), "privateuseone");
  Trainer trainer(module, SoftmaxCrossEntropy(0.1), TrainerOptions());
  trainer.Step(MakeBatch(1));
  g_host_reads = 0;
  trainer.Step(MakeBatch(2));
  EXPECT_EQ(g_host_reads, 2);  // the loss and the number of hits
}

TEST(OtherDevice, CudaWithoutAGpuIsOneClearError) {
  if (torch::cuda::is_available()) GTEST_SKIP() << "skipped: there is a CUDA device";
  try {
    GraphModule module(MakeGraph(kNetwork), "cuda");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("no CUDA device"), std::string::npos) << e.what();
    EXPECT_EQ(e.exit_code(), 1);
  }
}

}  // namespace

std::vector<std::string> TestDevices() {
  std::vector<std::string> devices = {"cpu", "privateuseone"};
  if (torch::cuda::is_available()) devices.push_back("cuda");
  return devices;
}

}  // namespace octet::train

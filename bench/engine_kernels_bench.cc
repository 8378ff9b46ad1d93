// The INT8 convolution kernels on the layer shapes of ResNet-18 and MobileNetV2 at 224x224, one thread. `of_peak`
// compares with the rate of bare vpdpbusd instructions on the same machine, measured first (peak_gmacs).
#include <benchmark/benchmark.h>

#include <chrono>
#include <random>

#include "engine/kernels/kernels.h"

namespace octet::engine {
namespace {

struct Layer {
  int64_t in_c, out_c, size, kernel, stride;
  bool depthwise;
};

// Products a second of a kernel on operands in the first-level cache: the 1x1 convolution with the longest sums.
double PeakGmacs();

struct Problem {
  std::vector<uint8_t> in, out;
  std::vector<int8_t> weights;
  std::vector<float> mul, bias;
  std::vector<int64_t> offsets;
  PackedConv packed;
  PackedDepthwise packed_depthwise;
  ConvArgs args;
  double macs = 0;

  explicit Problem(const Layer& l) {
    std::mt19937 random(1);
    const int64_t pad = l.kernel / 2;
    const int64_t out_size = (l.size + 2 * pad - l.kernel) / l.stride + 1;
    const int64_t in_pixel = l.in_c <= 4 ? 4 : (l.in_c + 15) / 16 * 16;
    const int64_t out_pixel = (l.out_c + 15) / 16 * 16;
    const int64_t width = l.size + 2 * pad;
    in.resize(width * width * in_pixel + 256);
    out.resize(out_size * out_size * out_pixel + 256);
    for (uint8_t& b : in) b = static_cast<uint8_t>(random());
    const int64_t group_in = l.depthwise ? 1 : l.in_c;
    weights.resize(l.out_c * group_in * l.kernel * l.kernel);
    for (int8_t& w : weights) w = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
    for (int64_t k = 0; k < l.out_c; ++k) {
      mul.push_back(1e-4f * static_cast<float>(1 + random() % 10));
      bias.push_back(0.1f);
    }
    args.in_c = group_in;
    args.groups = l.depthwise ? l.in_c : 1;
    args.out_c = l.out_c;
    args.out_h = args.out_w = out_size;
    args.kernel_h = args.kernel_w = l.kernel;
    args.stride_h = args.stride_w = l.stride;
    args.in = {in.data(), 0, width * in_pixel, in_pixel};
    args.out = {out.data(), 0, out_size * out_pixel, out_pixel};
    args.quantizer = MakeQuantizer(0.05f, 0.0f, 6.0f);
    args.weights = weights.data();
    args.mul = mul.data();
    args.bias = bias.data();
    macs = static_cast<double>(out_size * out_size * l.out_c) * group_in * l.kernel * l.kernel;
    if (l.depthwise) {
      packed_depthwise = PackDepthwise(weights.data(), mul.data(), bias.data(), l.out_c, l.kernel * l.kernel, 0.05f);
      offsets.assign(packed_depthwise.quads * 4, 0);
      for (int64_t tap = 0; tap < l.kernel * l.kernel; ++tap) {
        offsets[tap] = tap / l.kernel * args.in.row + tap % l.kernel * in_pixel;
      }
      args.packed_depthwise = &packed_depthwise;
    } else {
      packed = PackConv(weights.data(), mul.data(), bias.data(), l.out_c, l.in_c, l.kernel * l.kernel, 0.05f, 0.0f);
      const bool rows = packed.steps * 4 == in_pixel;
      for (int64_t kh = 0; kh < l.kernel; ++kh) {
        for (int64_t kw = 0; kw < (rows ? 1 : l.kernel); ++kw) {
          offsets.push_back(kh * args.in.row + kw * in_pixel);
        }
      }
      args.packed = &packed;
      args.runs = static_cast<int64_t>(offsets.size());
      args.run_steps = rows ? l.kernel * packed.steps : packed.steps;
    }
    args.offsets = offsets.data();
  }
  void Run(const KernelSet& kernels) {
    (args.packed ? kernels.conv : kernels.depthwise)(args, 0, 1);
    benchmark::ClobberMemory();
  }
};

double PeakGmacs() {
  static const double peak = [] {
    Problem problem({4096, 64, 6, 1, 1, false});
    double best = 0;
    for (int round = 0; round < 20; ++round) {
      const auto start = std::chrono::steady_clock::now();
      for (int i = 0; i < 20; ++i) problem.Run(SelectKernels());
      const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
      best = std::max(best, 20 * problem.macs / passed.count() * 1e-9);
    }
    return best;
  }();
  return peak;
}

void Conv(benchmark::State& state, const Layer& layer) {
  Problem problem(layer);
  for (auto _ : state) problem.Run(SelectKernels());
  const double peak = PeakGmacs();
  const double total = problem.macs * static_cast<double>(state.iterations()) * 1e-9;
  state.counters["gmacs"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(total / peak, benchmark::Counter::kIsRate);
  state.SetLabel(SelectKernels().name);
}

const std::pair<const char*, Layer> kLayers[] = {
    {"resnet18/conv1_7x7s2_3_64", {3, 64, 224, 7, 2, false}},
    {"resnet18/layer1_3x3_64", {64, 64, 56, 3, 1, false}},
    {"resnet18/layer2_3x3s2_64_128", {64, 128, 56, 3, 2, false}},
    {"resnet18/layer2_3x3_128", {128, 128, 28, 3, 1, false}},
    {"resnet18/layer2_1x1s2_64_128", {64, 128, 56, 1, 2, false}},
    {"resnet18/layer3_3x3_256", {256, 256, 14, 3, 1, false}},
    {"resnet18/layer4_3x3_512", {512, 512, 7, 3, 1, false}},
    {"mobilenetv2/conv1_3x3s2_3_32", {3, 32, 224, 3, 2, false}},
    {"mobilenetv2/dw_3x3_32_112", {32, 32, 112, 3, 1, true}},
    {"mobilenetv2/1x1_32_16_112", {32, 16, 112, 1, 1, false}},
    {"mobilenetv2/1x1_16_96_112", {16, 96, 112, 1, 1, false}},
    {"mobilenetv2/dw_3x3s2_96_112", {96, 96, 112, 3, 2, true}},
    {"mobilenetv2/1x1_24_144_56", {24, 144, 56, 1, 1, false}},
    {"mobilenetv2/dw_3x3_144_56", {144, 144, 56, 3, 1, true}},
    {"mobilenetv2/1x1_144_24_56", {144, 24, 56, 1, 1, false}},
    {"mobilenetv2/1x1_64_384_14", {64, 384, 14, 1, 1, false}},
    {"mobilenetv2/dw_3x3_384_14", {384, 384, 14, 3, 1, true}},
    {"mobilenetv2/1x1_960_160_7", {960, 160, 7, 1, 1, false}},
    {"mobilenetv2/1x1_320_1280_7", {320, 1280, 7, 1, 1, false}},
};

}  // namespace
}  // namespace octet::engine

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const auto& [name, layer] : octet::engine::kLayers) {
    benchmark::RegisterBenchmark(name, octet::engine::Conv, layer)->Unit(benchmark::kMicrosecond);
  }
  benchmark::AddCustomContext("peak_gmacs", std::to_string(octet::engine::PeakGmacs()));
  benchmark::RunSpecifiedBenchmarks();
}

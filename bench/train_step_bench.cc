// Training images/s of octet on the networks of the zoo, to hold against bench/train_step.py (PyTorch) with the same
// network, batch, size and threads: train_step_bench NETWORK BATCH SIZE [STEPS] [THREADS] [fp32|qat|integer] [profile]
// "cifar_resnet_20", "cifar_resnet_56", ...: the form for 32x32 images of He et al., Deep Residual Learning, 4.2.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <random>
#include <string>

#include "ops/install.h"
#include "passes/pipelines.h"
#include "train/detection_loss.h"
#include "train/step_profile.h"
#include "train/trainer.h"
#include "zoo/efficientdet.h"
#include "zoo/layers.h"
#include "zoo/zoo.h"

namespace {

// A line of /proc/self/status in MiB: VmRSS, VmHWM.
double StatusMib(const std::string& key) {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    if (line.compare(0, key.size() + 1, key + ":") == 0) return std::atof(line.c_str() + key.size() + 1) / 1024;
  }
  return 0;
}

octet::ir::Graph ClassifierGraph(const std::string& network, int64_t size) {
  octet::zoo::NetworkOptions net;
  net.backbone = network;
  net.num_classes = 100;
  net.input_height = net.input_width = size;
  return octet::zoo::BuildNetwork(net);
}

// 6n + 2 layers of 16, 32 and 64 channels, with a projection where the size changes.
octet::ir::Graph CifarResNet(int depth, int64_t size) {
  using octet::ir::ValueId;
  octet::ir::Graph graph("cifar_resnet");
  octet::zoo::Layers l(graph, {});
  const auto conv = [&l](const std::string& name, ValueId x, int64_t channels, int64_t kernel, int64_t stride) {
    octet::zoo::Layers::ConvOptions o;
    o.out_channels = channels;
    o.kernel = kernel;
    o.stride = stride;
    return l.BatchNorm(name + "_bn", l.Conv(name, x, o));
  };
  const ValueId image = graph.AddInput("input_1", {octet::DType::kF32, {-1, 3, size, size}});
  ValueId x = l.Activation("relu", conv("conv1", image, 16, 3, 1));
  for (int stage = 0; stage < 3; ++stage) {
    for (int i = 0; i < (depth - 2) / 6; ++i) {
      const std::string name = "block_" + std::to_string(stage + 1) + "_" + std::to_string(i);
      const int64_t channels = int64_t{16} << stage, stride = stage > 0 && i == 0 ? 2 : 1;
      const ValueId shortcut = stride == 1 ? x : conv(name + "_shortcut", x, channels, 1, stride);
      const ValueId y = l.Activation(name + "_relu_1", conv(name + "_1", x, channels, 3, stride));
      x = l.Activation(name + "_relu", l.Add(name + "_add", conv(name + "_2", y, channels, 3, 1), shortcut));
    }
  }
  l.ClassifierHead(x, 100);
  return graph;
}

octet::ir::Graph DetectorGraph(const std::string& network, int64_t size) {
  octet::zoo::EfficientDetOptions net;
  net.name = network;
  net.num_classes = 10;
  net.input_height = net.input_width = size;
  return octet::zoo::BuildEfficientDet(net);
}

// One anchor in a thousand has a box, as on photos.
std::vector<octet::Tensor> DetectionTargets(const octet::ir::Graph& graph, int64_t batch, std::mt19937& random) {
  using octet::DType;
  const int64_t anchors = graph.value(graph.outputs()[0]).type.shape[1];
  octet::Tensor classes(DType::kS64, {batch, anchors}), codes(DType::kF32, {batch, anchors, 4});
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < classes.size(); ++i) {
    const bool boxed = random() % 1000 == 0;
    classes.mutable_data<int64_t>()[i] = boxed ? static_cast<int64_t>(random() % 9) : -1;
    for (int64_t k = 0; k < 4; ++k) codes.mutable_data<float>()[4 * i + k] = boxed ? normal(random) : 0.0f;
  }
  return {classes, codes};
}

}  // namespace

int main(int argc, char** argv) {
  using namespace octet;
  const std::string network = argc > 1 ? argv[1] : "resnet_18";
  const int64_t batch_size = argc > 2 ? std::atoll(argv[2]) : 16;
  const int64_t size = argc > 3 ? std::atoll(argv[3]) : 224;
  const int steps = argc > 4 ? std::atoi(argv[4]) : 5;
  const int threads = argc > 5 ? std::atoi(argv[5]) : 0;
  const std::string mode = argc > 6 ? argv[6] : "fp32";
  const bool qat = mode != "fp32";
  try {
    ops::InstallOps();
    const bool detector = network.rfind("efficientdet", 0) == 0;
    const std::string cifar = "cifar_resnet_";
    ir::Graph graph = detector                       ? DetectorGraph(network, size)
                      : network.rfind(cifar, 0) == 0 ? CifarResNet(std::atoi(network.c_str() + cifar.size()), size)
                                                     : ClassifierGraph(network, size);
    if (qat) graph = passes::PrepareForQat(graph);
    train::GraphModule module(graph);
    train::TrainerOptions options;
    options.threads = threads;
    options.epochs = 1;
    options.steps_per_epoch = 1000;
    options.integer = mode == "integer";
    if (options.integer) std::printf("%s\n", module.IntegerTraining().summary.c_str());
    options.schedule.learning_rate = 0.01;
    train::DetectionLossOptions detection;
    train::Trainer trainer(module, detector ? train::DetectionLoss(detection) : train::SoftmaxCrossEntropy(0.1),
                           options);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    train::Batch batch;
    Tensor x(DType::kF32, {batch_size, 3, size, size});
    for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = normal(random);
    batch.inputs = {x};
    if (detector) {
      batch.targets = DetectionTargets(graph, batch_size, random);
    } else {
      Tensor label(DType::kS64, {batch_size});
      for (int64_t i = 0; i < batch_size; ++i) label.mutable_data<int64_t>()[i] = static_cast<int64_t>(random() % 100);
      batch.targets = {label};
    }
    batch.size = batch_size;
    double best = 1e9, best_cpu = 1e9, all_cpu = 0, loss = 0;
    std::vector<double> seconds;
    const double before = StatusMib("VmRSS");
    const bool profile = argc > 7 && std::string(argv[7]) == "profile";
    for (int i = 0; i < steps; ++i) {
      if (i == 1) train::StepProfile::Enable(profile);  // the first step compiles
      const std::clock_t cpu = std::clock();
      const auto start = std::chrono::steady_clock::now();
      loss = trainer.Step(batch).loss;
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      best = std::min(best, seconds.back());
      const double used = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
      best_cpu = std::min(best_cpu, used);
      if (i > 0) all_cpu += used;
    }
    double rest = 0, rest_cpu = all_cpu;
    for (size_t i = 1; i < seconds.size(); ++i) rest += seconds[i];
    for (const auto& [part, sum] : train::StepProfile::Take()) {
      std::printf("  %-20s %7.1f ms a step, CPU %7.1f ms\n", part.c_str(), sum.wall / (steps - 1) * 1e3,
                  sum.cpu / (steps - 1) * 1e3);
      rest -= sum.wall;
      rest_cpu -= sum.cpu;
    }
    if (profile) {
      std::printf("  %-20s %7.1f ms a step, CPU %7.1f ms\n", "everything else", rest / (steps - 1) * 1e3,
                  rest_cpu / (steps - 1) * 1e3);
    }
    std::sort(seconds.begin(), seconds.end());
    double parameters = 0;  // MiB
    for (const train::Parameter& p : module.parameters()) {
      if (p.trainable) parameters += static_cast<double>(p.size) * sizeof(float) / (1 << 20);
    }
    const double grown = StatusMib("VmHWM") - before;
    std::printf(
        "octet %s %s batch %ld size %ld: %.1f images/s, %.1f ms a step (median %.1f), CPU %.1f ms, memory %.0f MiB, "
        "without gradients and momentum of parameters %.0f MiB, loss %.4f\n",
        network.c_str(), mode.c_str(), static_cast<long>(batch_size), static_cast<long>(size), batch_size / best,
        best * 1e3, seconds[seconds.size() / 2] * 1e3, best_cpu * 1e3, grown, grown - 2 * parameters, loss);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return e.exit_code();
  }
  return 0;
}

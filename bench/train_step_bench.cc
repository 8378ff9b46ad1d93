// Training images/s of octet on the networks of the zoo, to hold against bench/train_step.py (PyTorch) with the same
// network, batch, size and threads: train_step_bench NETWORK BATCH SIZE [STEPS] [THREADS] [qat] [profile]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>

#include "ops/install.h"
#include "passes/pipelines.h"
#include "train/trainer.h"
#include "zoo/zoo.h"

int main(int argc, char** argv) {
  using namespace octet;
  const std::string network = argc > 1 ? argv[1] : "resnet_18";
  const int64_t batch_size = argc > 2 ? std::atoll(argv[2]) : 16;
  const int64_t size = argc > 3 ? std::atoll(argv[3]) : 224;
  const int steps = argc > 4 ? std::atoi(argv[4]) : 5;
  const int threads = argc > 5 ? std::atoi(argv[5]) : 0;
  const bool qat = argc > 6 && std::string(argv[6]) == "qat";
  try {
    ops::InstallOps();
    zoo::NetworkOptions net;
    net.backbone = network;
    net.num_classes = 100;
    net.input_height = net.input_width = size;
    ir::Graph graph = zoo::BuildNetwork(net);
    if (qat) graph = passes::PrepareForQat(graph);
    train::GraphModule module(graph);
    train::TrainerOptions options;
    options.threads = threads;
    options.epochs = 1;
    options.steps_per_epoch = 1000;
    options.schedule.learning_rate = 0.01;
    train::Trainer trainer(module, train::SoftmaxCrossEntropy(0.1), options);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    train::Batch batch;
    Tensor x(DType::kF32, {batch_size, 3, size, size});
    Tensor label(DType::kS64, {batch_size});
    for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = normal(random);
    for (int64_t i = 0; i < batch_size; ++i) label.mutable_data<int64_t>()[i] = static_cast<int64_t>(random() % 100);
    batch.inputs = {x};
    batch.targets = {label};
    batch.size = batch_size;
    double best = 1e9, best_cpu = 1e9, loss = 0;
    for (int i = 0; i < steps; ++i) {
      const std::clock_t cpu = std::clock();
      const auto start = std::chrono::steady_clock::now();
      loss = trainer.Step(batch).loss;
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      best_cpu = std::min(best_cpu, static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC);
    }
    std::printf("octet %s%s batch %ld size %ld: %.1f images/s, %.1f ms a step, CPU %.1f ms, loss %.4f\n",
                network.c_str(), qat ? " qat" : "", static_cast<long>(batch_size), static_cast<long>(size),
                batch_size / best, best * 1e3, best_cpu * 1e3, loss);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return e.exit_code();
  }
  return 0;
}

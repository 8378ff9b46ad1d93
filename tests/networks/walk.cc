#include "walk.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/plan.h"
#include "ir/op_def.h"
#include "onnx/onnx_export.h"
#include "onnx/onnx_import.h"
#include "passes/classifier_head.h"
#include "passes/insert_qdq.h"
#include "passes/lower_for_engine.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"
#include "report/npy.h"
#include "task/calibrate.h"
#include "tensorrt/calibration_cache.h"
#include "train/loss.h"
#include "train/trainer.h"

namespace octet {
namespace {

using ir::Graph;
using ir::ValueId;

Tensor Images(Shape shape, int64_t batch, uint32_t seed) {
  shape[0] = batch;
  Tensor x(DType::kF32, shape);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<float>()[i] = normal(random);
  return x;
}

class Walk {
 public:
  Walk(const Graph& network, const WalkOptions& options) : options_(options) {
    input_ = network.value(network.inputs().at(0)).name;
    logits_ = network.value(passes::LogitsOf(network)).name;
    images_ = Images(network.value(network.inputs()[0]).type.shape, options.batch, 3);
    classes_ = network.value(passes::LogitsOf(network)).type.shape.at(1);
    OCTET_REQUIRE(classes_ > 1, "the classes are not known: {}", classes_);
  }

  WalkResult Run(const Graph& network) {
    Graph trained = TrainSteps(network, {});
    CompareParameters(network, trained);
    Time("train");
    ExportFloat(trained);
    for (const std::string& recipe : options_.recipes) Quantized(trained, recipe);
    return std::move(result_);
  }

 private:
  std::string File(const std::string& name) const { return options_.folder + "/" + name; }

  // Two steps; the graph with the weights after them.
  Graph TrainSteps(const Graph& graph, const std::map<std::string, Tensor>& state) {
    train::GraphModule module(graph);
    if (!state.empty()) module.LoadState(state);
    train::TrainerOptions options;
    // Adam moves a parameter however small its gradient is: those of a deep untrained network fade.
    options.optimizer.optimizer = "adam";
    options.optimizer.beta_1 = 0.9;
    options.optimizer.beta_2 = 0.999;
    options.optimizer.epsilon = 1e-20;
    options.schedule.learning_rate = 1e-4;
    options.schedule.soft_start = 0;
    options.epochs = 1;
    options.steps_per_epoch = 2;
    train::Trainer trainer(module, train::SoftmaxCrossEntropy(0.1, logits_), options);
    std::vector<int64_t> labels(static_cast<size_t>(options_.batch));
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int64_t>(i) % classes_;
    train::Batch batch;
    batch.inputs = {images_};
    batch.targets = {Tensor::From<int64_t>({options_.batch}, labels)};
    batch.size = options_.batch;
    for (int step = 0; step < 2; ++step) {
      const double loss = trainer.Step(batch).loss;
      OCTET_REQUIRE(std::isfinite(loss) && loss > 0, "the loss of step {} is {}", step + 1, loss);
    }
    return module.WriteBack();
  }

  void CompareParameters(const Graph& before, const Graph& after) {
    const train::GraphModule module(before);
    std::vector<std::string> same;
    for (const train::Parameter& p : module.parameters()) {
      const bool moved = before.value(before.Find(p.name)).constant != after.value(after.Find(p.name)).constant;
      if (moved) {
        ++result_.trained;
      } else {
        same.push_back(p.name);
      }
    }
    // A ReLU that is off for the whole batch stops a few gradients; a disconnected network stops most.
    OCTET_REQUIRE(result_.trained > 0 &&
                      static_cast<double>(same.size()) <= static_cast<double>(result_.trained) * options_.still,
                  "{} of {} parameters did not move in two steps, the first is '{}'", same.size(),
                  module.parameters().size(), same.empty() ? "" : same[0]);
  }

  // The graph with its scores as a second output: the softmax would hide differences. Returns what the file reads back
  // as.
  Graph Write(const std::string& kind, Graph graph, const std::string& name, const Tensor& expected,
              const std::map<std::string, Tensor>& codes = {}) {
    graph.MarkOutput(graph.Find(logits_));
    const std::string bytes = onnx::ExportOnnxBytes(graph, name);
    Graph back = onnx::ImportOnnxBytes(bytes, name);
    OCTET_REQUIRE(back.node_count() == graph.node_count(), "'{}' reads back with {} nodes instead of {}", name,
                  back.node_count(), graph.node_count());
    Time("export and import " + name);
    if (options_.write_files) {
      WriteFileAtomic(File(name + ".onnx"), bytes);
      report::WriteNpy(File(name + ".y.npy"), expected);
      const std::map<std::string, std::string> names = onnx::ExportNames(graph);
      std::string index;
      int count = 0;
      for (const auto& [tensor, values] : codes) {
        const std::string file = File(fmt::format("{}.codes/{}.npy", name, count++));
        report::WriteNpy(file, values);
        index += names.at(tensor) + " " + file + "\n";
      }
      if (!codes.empty()) WriteFileAtomic(File(name + ".codes/index.txt"), index);
      result_.manifest.push_back(fmt::format("{} {} {} {} {} {}", kind, File(name + ".onnx"), names.at(logits_),
                                             File("x.npy"), File(name + ".y.npy"),
                                             codes.empty() ? "-" : File(name + ".codes/index.txt")));
      Time("write " + name);
    }
    return back;
  }

  void Time(const std::string& what) {
    const auto now = std::chrono::steady_clock::now();
    LogDebug("walk: {:.2f} s {}", std::chrono::duration<double>(now - last_).count(), what);
    last_ = now;
  }

  void ExportFloat(const Graph& trained) {
    if (options_.write_files) report::WriteNpy(File("x.npy"), images_);
    const Tensor logits = train::GraphModule(trained).Evaluate({{input_, images_}}, {logits_}).at(0);
    for (const float v : logits.ToVector<float>()) OCTET_REQUIRE(std::isfinite(v), "a score is {}", v);
    Time("evaluate");
    Write("fp32", passes::PrepareForExport(trained), "fp32", logits);
  }

  // Ranges of the new quantizers from the batch.
  std::map<std::string, Tensor> Calibrate(Graph* g) const {
    task::CalibrationOptions calibration;
    calibration.method = quant::CalibrationMethod::kMax;
    bool given = false;
    const auto amax = task::Calibrate(
        passes::StripQdq(*g),
        [&](Tensor& out) {
          out = images_;
          return !std::exchange(given, true);
        },
        calibration);
    std::map<std::string, Tensor> state;
    for (const ir::NodeId id : g->Order()) {
      const ir::Node& node = g->node(id);
      if (node.op != "QuantizeLinear" || node.attr_string("observer", "") != "moving_average") continue;
      const float range = amax.at(g->value(node.input(0)).name);
      g->set_constant(node.input(1), Tensor::Scalar(quant::ScaleOfAmax(range)));
      const std::string key = "observer/" + g->value(node.input(1)).name;
      state[key + "/mean"] = Tensor::Scalar(range * (1.0 - std::pow(0.999, 1.0)));
      state[key + "/count"] = Tensor::Scalar(int64_t{1});
    }
    return state;
  }

  void Quantized(const Graph& trained, const std::string& recipe) {
    Graph qat = passes::PrepareForQat(trained, {}, recipe);
    const std::map<std::string, Tensor> state = Calibrate(&qat);
    Time(recipe + " calibrate");
    qat = TrainSteps(qat, state);
    Time(recipe + " train");
    const passes::QuantizerCounts counts = passes::CountQuantizers(qat);
    OCTET_REQUIRE(counts.activations > 0 && counts.weights > 0, "recipe {}: {} activation and {} weight quantizers",
                  recipe, counts.activations, counts.weights);
    if (recipe == "fused") {
      result_.activations = counts.activations;
      result_.weights = counts.weights;
    }
    const Graph folded = passes::PrepareForExport(qat);
    CheckCache(folded, recipe);
    const Graph lowered = passes::PrepareForEngine(qat);
    // Through a plan, as a deployment does.
    engine::Plan plan;
    plan.graph = lowered;
    const engine::Engine engine =
        engine::Engine::FromGraph(engine::DeserializePlan(engine::SerializePlan(plan), "plan").graph);
    Time(recipe + " plan");
    const Tensor probabilities = CompareWithLibTorch(engine, lowered, recipe);
    Time(recipe + " engine and LibTorch");
    std::map<std::string, Tensor> codes;
    const Tensor logits = train::GraphModule(folded)
                              .Evaluate({{input_, images_}}, {logits_},
                                        [&](const std::string& name, const Tensor& value) {
                                          if (value.dtype() == DType::kS8) codes[name] = value;
                                          return Tensor();
                                        })
                              .at(0);
    // The Q/DQ file makes the same plan: the same integers, so the same output.
    Graph back = Write("qdq", folded, recipe + ".qdq", logits, codes);
    back.RemoveOutput(1);
    const Tensor again = engine::Engine::FromGraph(passes::PrepareForEngine(back))
                             .NewContext({options_.batch, 2, false})
                             ->Run({{input_, images_}})
                             .at(0);
    Time(recipe + " plan of the Q/DQ file");
    for (int64_t i = 0; i < again.size(); ++i) {
      OCTET_REQUIRE(again.data<float>()[i] == probabilities.data<float>()[i],
                    "recipe {}: the plan of the Q/DQ file gives {} for output {}, that of the model {}", recipe,
                    again.data<float>()[i], i, probabilities.data<float>()[i]);
    }
  }

  void CheckCache(const Graph& folded, const std::string& recipe) const {
    const Graph plain = passes::StripQdq(folded);
    const std::map<std::string, std::string> names = onnx::ExportNames(plain);
    tensorrt::CalibrationCache cache;
    cache.version = tensorrt::VersionInteger("8.6.1");
    for (const auto& [name, scale] : passes::CollectScales(folded)) {
      OCTET_REQUIRE(names.count(name) != 0, "recipe {}: the cache's '{}' is no tensor of the FP32 file", recipe, name);
      OCTET_REQUIRE(scale > 0 && std::isfinite(scale), "recipe {}: scale {} of '{}'", recipe, scale, name);
      cache.entries.push_back({names.at(name), scale});
    }
    if (!options_.write_files) return;
    tensorrt::WriteCalibrationCache(File(recipe + ".calib.cache"), cache);
    OCTET_REQUIRE(tensorrt::ReadCalibrationCache(File(recipe + ".calib.cache")).entries.size() == cache.entries.size(),
                  "recipe {}: the cache reads back with other entries", recipe);
  }

  // Returns the engine's output.
  Tensor CompareWithLibTorch(const engine::Engine& engine, const Graph& lowered, const std::string& recipe) {
    const auto context = engine.NewContext({options_.batch, 2, true});
    const Tensor expected = context->Run({{input_, images_}}).at(0);
    std::map<std::string, Tensor> codes;
    for (const std::string& name : context->intermediate_names()) {
      const Tensor value = context->Intermediate(name);
      if (value.dtype() == DType::kS8) codes[name] = value;
    }
    if (recipe == "fused") {
      for (const std::string& name : context->fallback_nodes()) {
        const auto is = [&](ir::NodeId id) { return lowered.node(id).name == name; };
        const std::vector<ir::NodeId> order = lowered.Order();
        ++result_.fallbacks[lowered.node(*std::find_if(order.begin(), order.end(), is)).op];
      }
    }
    int64_t compared = 0;
    // Each quantizer gets the engine's codes as its input, so that a float operator whose sum differs in the last bit
    // (an average, a sigmoid) cannot make everything behind it differ.
    int64_t different = 0;
    train::GraphModule module(lowered);
    module.Evaluate({{input_, images_}}, {}, [&](const std::string& name, const Tensor& value) {
      const auto it = codes.find(name);
      if (it == codes.end()) return Tensor();
      OCTET_REQUIRE(value.shape() == it->second.shape(), "recipe {}: '{}' is {} and {}", recipe, name,
                    ToString(value.shape()), ToString(it->second.shape()));
      for (int64_t i = 0; i < value.size(); ++i) {
        const int gap = std::abs(value.data<int8_t>()[i] - it->second.data<int8_t>()[i]);
        OCTET_REQUIRE(gap <= 1, "recipe {}: '{}' differs by {} between LibTorch and the engine", recipe, name, gap);
        different += gap;
      }
      compared += value.size();
      return it->second;
    });
    OCTET_REQUIRE(compared > 0 && different <= 1 + compared / options_.codes_per_tie,
                  "recipe {}: {} of {} codes differ between LibTorch and the engine", recipe, different, compared);
    result_.codes += compared;
    return expected;
  }

  const WalkOptions& options_;
  std::string input_, logits_;
  int64_t classes_ = 0;
  Tensor images_;
  WalkResult result_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace

WalkResult WalkNetwork(const Graph& network, const WalkOptions& options) {
  return Walk(network, options).Run(network);
}

}  // namespace octet

// Detectors as others see them: ONNX Runtime finds octet's boxes in the exported files; the engine, LibTorch and the
// training graph compute the same integers.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/files.h"
#include "base/strings.h"
#include "data/detection_loader.h"
#include "detection/detections.h"
#include "engine/engine.h"
#include "ir/op_def.h"
#include "onnx/onnx_export.h"
#include "onnx/onnx_import.h"
#include "ops/install.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"
#include "report/npy.h"
#include "task/calibrate.h"
#include "task/efficientdet/finish_detector.h"
#include "train/graph_module.h"
#include "zoo/efficientdet.h"

namespace octet {
namespace {

constexpr int64_t kSize = 128;
constexpr int64_t kImages = 2;

std::string Python() {
  const char* env = std::getenv("OCTET_PYTHON");
  return env != nullptr ? env : OCTET_SOURCE_DIR "/.venv/bin/python";
}

// Smooth blobs, normalised.
Tensor Images(uint32_t seed) {
  Tensor x(DType::kF32, {kImages, 3, kSize, kSize});
  std::mt19937 random(seed);
  float* out = x.mutable_data<float>();
  for (int64_t plane = 0; plane < kImages * 3; ++plane) {
    const float fx = 1.0f + static_cast<float>(random() % 7), fy = 1.0f + static_cast<float>(random() % 7);
    const float phase = static_cast<float>(random() % 100);
    for (int64_t i = 0; i < kSize * kSize; ++i) {
      const float px = static_cast<float>(i % kSize) / kSize, py = static_cast<float>(i / kSize) / kSize;
      out[plane * kSize * kSize + i] =
          1.5f * std::sin(6 * (fx * px + fy * py) + phase) + static_cast<float>(random() % 1000) * 0.0004f - 0.2f;
    }
  }
  return x;
}

// A detector whose batch norms know the images and whose class scores are spread, as if it were trained.
ir::Graph Detector() {
  zoo::EfficientDetOptions options;
  options.num_classes = 3;
  options.input_height = options.input_width = kSize;
  options.bn_momentum = 0.5f;
  const Tensor images = Images(1);
  train::GraphModule module(zoo::BuildEfficientDet(options));
  module.SetTraining(true);
  const ir::Graph& shape = module.graph();
  Shape logits = shape.value(shape.Find("class_logits")).type.shape;
  logits[0] = kImages;
  for (int i = 0; i < 6; ++i) module.Gradients({{"input", images}}, "class_logits", Tensor(DType::kF32, logits));
  ir::Graph g = module.WriteBack();

  // Logits with mean -4 and deviation 1.5; boxes a little beside their anchors.
  const std::vector<Tensor> raw = train::GraphModule(g).Evaluate({{"input", images}}, {"class_logits", "box_codes"});
  const auto deviation = [](const Tensor& t) {
    double sum = 0, squares = 0;
    for (const float v : t.ToVector<float>()) sum += v, squares += static_cast<double>(v) * v;
    const auto n = static_cast<double>(t.size());
    return std::sqrt(squares / n - sum / n * sum / n);
  };
  const double stretch[] = {1.5 / deviation(raw[0]), 0.3 / deviation(raw[1])};
  std::set<ir::ValueId> done;
  for (const ir::NodeId id : g.Order()) {
    const ir::Node node = g.node(id);
    const bool boxes = StartsWith(node.name, "box-predict");
    if (node.op != "Conv" || (!boxes && !StartsWith(node.name, "class-predict"))) continue;
    if (node.attr_int("group", 1) != 1 || !done.insert(node.inputs[1]).second) continue;
    Tensor w = g.value(node.inputs[1]).constant;
    for (int64_t i = 0; i < w.size(); ++i) w.mutable_data<float>()[i] *= static_cast<float>(stretch[boxes ? 1 : 0]);
    g.set_constant(node.inputs[1], w);
    if (boxes || node.inputs.size() < 3) continue;
    Tensor b = g.value(node.inputs[2]).constant;
    for (int64_t i = 0; i < b.size(); ++i) b.mutable_data<float>()[i] = -4.0f;
    g.set_constant(node.inputs[2], b);
  }
  return g;
}

ir::Graph Quantized(const ir::Graph& g, const std::string& recipe) {
  passes::InsertQdqOptions options;
  options.keep_fp32 = recipe == "inputs" ? zoo::LayersTaoLeavesFloat(g) : zoo::PredictionLayers(g);
  ir::Graph q = passes::PrepareForQat(g, options, recipe);
  bool given = false;
  const auto amax = task::Calibrate(passes::StripQdq(q),
                                    [&](Tensor& out) {
                                      out = Images(1);
                                      return !std::exchange(given, true);
                                    },
                                    {});
  for (const ir::NodeId id : q.Order()) {
    const ir::Node& node = q.node(id);
    if (node.op != "QuantizeLinear" || node.attr_string("observer", "") != "moving_average") continue;
    q.set_constant(node.input(1), Tensor::Scalar(quant::ScaleOfAmax(amax.at(q.value(node.input(0)).name))));
  }
  return q;
}

// Rows image, label, score, x1, y1, x2, y2.
Tensor Detections(const Tensor& logits, const Tensor& codes, const task::efficientdet::FinishOptions& o) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < kImages; ++i) ids.push_back(i);
  std::vector<float> rows;
  const auto found = detection::PostProcess(logits, codes, detection::MakeAnchors(o.anchors), kSize, kSize, ids,
                                            std::vector<float>(kImages, 1.0f), o.detections);
  for (const detection::Detection& d : found) {
    rows.insert(rows.end(),
                {static_cast<float>(d.image_id), static_cast<float>(d.label), d.score, d.x1, d.y1, d.x2, d.y2});
  }
  return Tensor::From<float>({static_cast<int64_t>(found.size()), 7}, rows);
}

// f32 [N,H,W,3] from 0 to 255, as TAO's files read them.
Tensor TaoInput(const Tensor& images) {
  Tensor out(DType::kF32, {kImages, kSize, kSize, 3});
  const int64_t plane = kSize * kSize;
  for (int64_t n = 0; n < kImages; ++n) {
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t i = 0; i < plane; ++i) {
        out.mutable_data<float>()[(n * plane + i) * 3 + c] =
            (images.data<float>()[(n * 3 + c) * plane + i] * data::kDetectionDeviation[c] + data::kDetectionMean[c]) *
            255;
      }
    }
  }
  return out;
}

class DetectorWitness : public ::testing::Test {
 protected:
  void SetUp() override {
    ops::InstallOps();
    folder_ = ::testing::TempDir() + fmt::format("octet_detector_witness_{}", ::getpid());
    MakeDirectories(folder_);
    finish_.anchors.height = finish_.anchors.width = kSize;
    finish_.detections.score_threshold = 0.05f;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string File(const std::string& name) const { return folder_ + "/" + name; }
  void Run(const std::string& script, const std::string& arguments) const {
    const std::string command = fmt::format("{} {}/tests/witness/{} {}", Python(), OCTET_SOURCE_DIR, script, arguments);
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }

  std::string folder_;
  task::efficientdet::FinishOptions finish_;
};

TEST_F(DetectorWitness, OnnxRuntimeFindsTheSameBoxes) {
  if (!FileExists(Python())) GTEST_SKIP() << "no " << Python() << "; run scripts/make_venv.sh";
  const ir::Graph trained = Detector();
  const Tensor images = Images(2);
  report::WriteNpy(File("x.npy"), images);
  report::WriteNpy(File("tao.npy"), TaoInput(images));

  const ir::Graph fp32 = passes::PrepareForExport(trained);
  const std::vector<Tensor> raw = train::GraphModule(fp32).Evaluate({{"input", images}}, {"class_logits", "box_codes"});
  report::WriteNpy(File("logits.npy"), raw[0]);
  report::WriteNpy(File("codes.npy"), raw[1]);
  const Tensor found = Detections(raw[0], raw[1], finish_);
  ASSERT_GT(found.dim(0), 100) << "the test needs something to compare";
  report::WriteNpy(File("found.npy"), found);
  onnx::ExportOnnx(fp32, File("raw.onnx"));
  Run("compare_ort.py",
      File("raw.onnx") + " --output class_logits --input " + File("x.npy") + " --expect " + File("logits.npy"));
  Run("compare_ort.py",
      File("raw.onnx") + " --output box_codes --input " + File("x.npy") + " --expect " + File("codes.npy"));
  finish_.postprocess = "nms";
  onnx::ExportOnnx(FinishDetector(fp32, finish_), File("nms.onnx"));
  Run("check_detections.py", File("nms.onnx") + " --input " + File("x.npy") + " --expect " + File("found.npy"));
  finish_.tao_input = true;
  onnx::ExportOnnx(FinishDetector(fp32, finish_), File("tao.onnx"));
  Run("check_detections.py", File("tao.onnx") + " --input " + File("tao.npy") + " --expect " + File("found.npy"));

  // Quantized: each quantizer of ONNX Runtime yields octet's codes, and the same scores and boxes come out. A quantizer
  // hands octet's codes on: a near-tie that rounds the other way would grow in a network that was never trained.
  const ir::Graph qdq = passes::PrepareForExport(Quantized(trained, "fused"));
  std::string index;
  int64_t count = 0;
  const std::vector<Tensor> heads = train::GraphModule(qdq).Evaluate(
      {{"input", images}}, {"class_logits", "box_codes"}, [&](const std::string& name, const Tensor& value) {
        if (value.dtype() != DType::kS8) return Tensor();
        const std::string file = File(fmt::format("codes_{}.npy", count++));
        report::WriteNpy(file, value);
        index += name + " " + file + "\n";
        return Tensor();
      });
  EXPECT_GT(count, 200);
  report::WriteNpy(File("qdq_logits.npy"), heads[0]);
  report::WriteNpy(File("qdq_codes.npy"), heads[1]);
  WriteFileAtomic(File("index.txt"), index);
  onnx::ExportOnnx(qdq, File("qdq.onnx"));
  WriteFileAtomic(File("manifest.txt"),
                  fmt::format("qdq {0} class_logits {1} {2} {3}\nqdq {0} box_codes {1} {4} {3}\n", File("qdq.onnx"),
                              File("x.npy"), File("qdq_logits.npy"), File("index.txt"), File("qdq_codes.npy")));
  Run("check_walk.py", File("manifest.txt"));
}

// What octet reads back of its own files is what it wrote.
TEST_F(DetectorWitness, ExportedFormsAreReadBack) {
  const ir::Graph fp32 = passes::PrepareForExport(Detector());
  for (const char* form : {"nms", "efficient_nms"}) {
    finish_.postprocess = form;
    finish_.tao_input = std::string(form) == "nms";
    const ir::Graph finished = FinishDetector(fp32, finish_);
    onnx::ExportOnnx(finished, File("finished.onnx"));
    EXPECT_TRUE(onnx::ImportOnnx(File("finished.onnx")) == finished) << form;
  }
  // The plugin's four outputs, by its reference, are octet's detections.
  finish_.detections.clip = false;
  const Tensor images = Images(2);
  const std::vector<Tensor> raw = train::GraphModule(fp32).Evaluate({{"input", images}}, {"class_logits", "box_codes"});
  const Tensor want = Detections(raw[0], raw[1], finish_);
  ir::Graph heads("heads");
  for (const auto& [name, value] : {std::pair{"class_logits", raw[0]}, {"box_codes", raw[1]}}) {
    heads.MarkOutput(heads.AddInput(name, {DType::kF32, value.shape()}));
  }
  finish_.postprocess = "efficient_nms";
  finish_.tao_input = false;
  const ir::Graph plugin = FinishDetector(heads, finish_);
  ASSERT_EQ(plugin.outputs().size(), 4U);
  const std::vector<Tensor> got =
      ir::RunReference(plugin, {{"class_logits", raw[0]}, {"box_codes", raw[1]}}, plugin.outputs());
  int64_t row = 0;
  for (int64_t n = 0; n < kImages; ++n) {
    for (int32_t k = 0; k < got[0].data<int32_t>()[n]; ++k, ++row) {
      ASSERT_LT(row, want.dim(0));
      const float* w = want.data<float>() + 7 * row;
      const int64_t at = n * got[2].dim(1) + k;
      EXPECT_EQ(w[0], static_cast<float>(n));
      EXPECT_EQ(w[1], static_cast<float>(got[3].data<int32_t>()[at]));
      EXPECT_EQ(w[2], got[2].data<float>()[at]);
      EXPECT_EQ(w[3], got[1].data<float>()[4 * at + 1]);
      EXPECT_EQ(w[4], got[1].data<float>()[4 * at]);
    }
  }
  EXPECT_EQ(row, want.dim(0));
}

// docs/numerics.md: engine and LibTorch agree on every code of the lowered graph; the graph that trains agrees but for
// near-ties, when each quantizer gets the engine's codes as input.
void ExpectTheSameIntegers(const std::string& recipe) {
  const Tensor images = Images(2);
  const ir::Graph qat = Quantized(Detector(), recipe);
  const ir::Graph lowered = passes::PrepareForEngine(qat);
  const auto context = engine::Engine::FromGraph(lowered).NewContext({kImages, 2, true});
  context->Run({{"input", images}});
  std::map<std::string, Tensor> codes;
  for (const std::string& name : context->intermediate_names()) {
    const Tensor value = context->Intermediate(name);
    if (value.dtype() == DType::kS8) codes[name] = value;
  }
  EXPECT_GT(codes.size(), 100U) << recipe;
  struct {
    const char* name;
    ir::Graph graph;
    double bar;  // share of codes that may differ
  } const others[] = {{"LibTorch on the lowered graph", lowered, 0},
                      {"the training graph, folded", passes::PrepareForExport(qat), 1e-5},
                      {"the training graph", qat, 1e-5}};
  for (const auto& other : others) {
    int64_t compared = 0, different = 0, means = 0, different_means = 0;
    int largest = 0;
    train::GraphModule module(other.graph);
    module.Evaluate({{"input", images}}, {}, [&](const std::string& name, const Tensor& v) {
      const auto it = codes.find(name);
      if (it == codes.end() || v.dtype() != DType::kS8) return Tensor();
      EXPECT_EQ(v.shape(), it->second.shape()) << name;
      const ir::Node* producer = lowered.producer(lowered.Find(name));
      const bool mean = producer != nullptr && producer->op == "QGlobalAveragePool";
      int64_t here = 0;
      for (int64_t i = 0; i < v.size(); ++i) {
        const int gap = std::abs(v.data<int8_t>()[i] - it->second.data<int8_t>()[i]);
        largest = std::max(largest, gap);
        here += gap != 0 ? 1 : 0;
      }
      if (here * 1000 > v.size() && !mean)
        std::printf("  %s: %ld of %ld\n", name.c_str(), static_cast<long>(here), static_cast<long>(v.size()));
      (mean ? means : compared) += v.size();
      (mean ? different_means : different) += here;
      return it->second;
    });
    std::printf("%s, engine against %s: %ld codes, %ld differ, by %d at most; of %ld means %ld\n", recipe.c_str(),
                other.name, static_cast<long>(compared), static_cast<long>(different), largest,
                static_cast<long>(means), static_cast<long>(different_means));
    EXPECT_GT(compared, 1000000);
    EXPECT_LE(largest, 1);
    EXPECT_LE(static_cast<double>(different), static_cast<double>(compared) * other.bar);
    if (other.bar == 0) {
      EXPECT_EQ(different_means, 0);
    }
  }
}

TEST_F(DetectorWitness, TheSameIntegersEverywhere) {
  ExpectTheSameIntegers("fused");
}

using SlowDetectorWitness = DetectorWitness;
TEST_F(SlowDetectorWitness, TheSameIntegersWithRecipeInputs) {
  ExpectTheSameIntegers("inputs");
}

}  // namespace
}  // namespace octet

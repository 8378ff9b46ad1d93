// The promise of docs/numerics.md on whole networks and images: reference kernels, LibTorch and the INT8 engine compute
// the same integers, and the fake-quantized training graph agrees with them but for near-ties.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/files.h"
#include "data/data_loader.h"
#include "data/synthetic.h"
#include "engine/engine.h"
#include "ir/op_def.h"
#include "ops/install.h"
#include "passes/insert_qdq.h"
#include "passes/lower_for_engine.h"
#include "passes/pipelines.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"
#include "task/calibrate.h"
#include "train/graph_module.h"
#include "zoo/zoo.h"

namespace octet {
namespace {

constexpr int kSize = 64;
constexpr int64_t kImages = 64;

std::string SharedData() {
  const char* env = std::getenv("OCTET_SHARED_DATA");
  return env != nullptr ? env : std::string(OCTET_SOURCE_DIR) + "/../shared/data";
}

data::PreprocessOptions Preprocess() {
  data::PreprocessOptions p;
  p.width = p.height = kSize;
  p.mode = data::PreprocessMode::kTorch;
  return p;
}

// f32 [kImages,3,64,64]: photos where the shared data is there, else drawn shapes.
Tensor Images(bool* real) {
  const std::string folder = SharedData() + "/clothing192/val";
  *real = IsDirectory(folder);
  Tensor out(DType::kF32, {kImages, 3, kSize, kSize});
  if (!*real) {
    const data::Preprocessor preprocessor(Preprocess());
    for (int64_t i = 0; i < kImages; ++i) {
      preprocessor.ForEvaluation(data::MakeSyntheticImage(static_cast<int>(i % 10), 0, i, kSize, 1),
                                 out.mutable_data<float>() + i * 3 * kSize * kSize);
    }
    return out;
  }
  data::ImageFolder all = data::ScanImageFolder(folder);
  std::vector<data::ImageFile> files;
  for (int64_t i = 0; i < kImages; ++i) files.push_back(all.files[static_cast<size_t>(i) * all.files.size() / kImages]);
  data::ImageSetOptions options;
  options.show_progress = false;
  data::LoaderOptions loader_options;
  loader_options.batch_size = static_cast<int>(kImages);
  data::DataLoader loader(std::make_shared<data::ImageSet>(files, options), Preprocess(), loader_options);
  loader.StartEpoch(0);
  data::Batch batch;
  EXPECT_TRUE(loader.Next(&batch));
  return batch.images;
}

Tensor Slice(const Tensor& t, int64_t begin, int64_t count) {
  Shape shape = t.shape();
  const int64_t inner = t.size() / shape[0];
  shape[0] = count;
  Tensor out(t.dtype(), shape);
  std::memcpy(out.mutable_raw(), static_cast<const char*>(t.raw()) + begin * inner * SizeOf(t.dtype()), out.bytes());
  return out;
}

// A quantized network whose batch norms know the images and whose ranges are calibrated, as at the start of QAT.
ir::Graph QuantizedNetwork(const std::string& backbone, const std::string& recipe, const Tensor& images) {
  zoo::NetworkOptions options;
  options.backbone = backbone;
  options.input_height = options.input_width = kSize;
  options.bn_momentum = 0.5f;
  train::GraphModule module(zoo::BuildNetwork(options));
  module.SetTraining(true);
  const Tensor seed(DType::kF32, {16, 10});
  for (int i = 0; i < 8; ++i) module.Gradients({{"input_1", Slice(images, i % 4 * 16, 16)}}, "logits", seed);
  ir::Graph g = passes::PrepareForQat(module.WriteBack(), {}, recipe);

  task::CalibrationOptions calibration;
  calibration.method = quant::CalibrationMethod::kMax;
  bool given = false;
  const auto amax = task::Calibrate(
      passes::StripQdq(g),
      [&](Tensor& out) {
        out = images;
        return !std::exchange(given, true);
      },
      calibration);
  for (const ir::NodeId id : g.Order()) {
    const ir::Node& node = g.node(id);
    if (node.op == "QuantizeLinear" && node.attr_string("observer", "") == "moving_average") {
      g.set_constant(node.input(1), Tensor::Scalar(quant::ScaleOfAmax(amax.at(g.value(node.input(0)).name))));
    }
  }
  return g;
}

struct Difference {
  int64_t codes = 0;
  int64_t different = 0;
  int largest = 0;
};

void Compare(const Tensor& a, const Tensor& b, Difference* d) {
  ASSERT_EQ(a.shape(), b.shape());
  const auto* x = a.data<int8_t>();
  const auto* y = b.data<int8_t>();
  for (int64_t i = 0; i < a.size(); ++i) {
    const int gap = std::abs(x[i] - y[i]);
    d->different += gap != 0 ? 1 : 0;
    d->largest = std::max(d->largest, gap);
  }
  d->codes += a.size();
}

struct Case {
  const char* backbone;
  const char* recipe;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.backbone << " " << c.recipe;
}

class Exactness : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    ops::InstallOps();
    bool real = false;
    images_ = Images(&real);
    if (!real) std::printf("skipped: no shared data; drawn shapes take the place of photos\n");
    qat_ = QuantizedNetwork(GetParam().backbone, GetParam().recipe, images_);
    lowered_ = passes::PrepareForEngine(qat_);
    context_ = engine::Engine::FromGraph(lowered_).NewContext({kImages, 2, true});
    predictions_ = context_->Run({{"input_1", images_}}).at(0);
    for (const std::string& name : context_->intermediate_names()) {
      const Tensor value = context_->Intermediate(name);
      if (value.dtype() == DType::kS8) codes_[name] = value;
    }
    ASSERT_GT(codes_.size(), 20U);
  }

  Tensor images_;
  ir::Graph qat_;
  ir::Graph lowered_;
  std::unique_ptr<engine::Context> context_;
  Tensor predictions_;
  std::map<std::string, Tensor> codes_;
};

TEST_P(Exactness, EngineEqualsLibTorchOnEveryCode) {
  Difference d;
  train::GraphModule module(lowered_);
  const Tensor result = module.Evaluate({{"input_1", images_}}, {}, [&](const std::string& name, const Tensor& value) {
    const auto it = codes_.find(name);
    if (it != codes_.end()) Compare(value, it->second, &d);
    return Tensor();
  })[0];
  std::printf("%s: engine against LibTorch: %ld codes, %ld differ\n", GetParam().backbone, static_cast<long>(d.codes),
              static_cast<long>(d.different));
  EXPECT_GT(d.codes, 5000000);
  EXPECT_EQ(d.different, 0);
  for (int64_t i = 0; i < result.size(); ++i)
    ASSERT_NEAR(result.data<float>()[i], predictions_.data<float>()[i], 1e-5f);
}

TEST_P(Exactness, EngineEqualsReferenceKernels) {
  std::vector<ir::ValueId> wanted;
  std::vector<std::string> names;
  for (const auto& [name, value] : codes_) {
    if (lowered_.Find(name) == ir::kNoValue) continue;
    wanted.push_back(lowered_.Find(name));
    names.push_back(name);
  }
  const std::vector<Tensor> reference = ir::RunReference(lowered_, {{"input_1", Slice(images_, 0, 1)}}, wanted);
  Difference d;
  for (size_t i = 0; i < names.size(); ++i) Compare(reference[i], Slice(codes_.at(names[i]), 0, 1), &d);
  EXPECT_EQ(d.different, 0) << "of " << d.codes;
}

TEST_P(Exactness, ThreadsAndBatchSplitDoNotMatter) {
  const engine::Engine engine = engine::Engine::FromGraph(lowered_);
  const auto one = engine.NewContext({7, 1, true});
  one->Run({{"input_1", Slice(images_, 21, 7)}});
  Difference d;
  for (const auto& [name, value] : codes_) Compare(one->Intermediate(name), Slice(value, 21, 7), &d);
  EXPECT_EQ(d.different, 0) << "of " << d.codes;
}

// The graph that trains: batch norm not folded, float sums in another order. Each quantizer gets the engine's codes as
// input, so that every difference is its own. Means of few codes are apart: when a map of 2x2 saturates, sum / count /
// scale is a multiple of 1/4, so a part of all values are ties to the last bit, and how the sum was rounded decides.
TEST_P(Exactness, FakeQuantizedTrainingGraphAgrees) {
  for (const bool folded : {true, false}) {
    Difference d, means;
    train::GraphModule module(folded ? passes::PrepareForExport(qat_) : qat_);
    module.Evaluate({{"input_1", images_}}, {}, [&](const std::string& name, const Tensor& value) {
      const auto it = codes_.find(name);
      if (it == codes_.end() || value.dtype() != DType::kS8) return Tensor();
      const bool mean = lowered_.producer(lowered_.Find(name))->op == "QGlobalAveragePool";
      Compare(value, it->second, mean ? &means : &d);
      return it->second;
    });
    std::printf(
        "%s: fake-quantized graph (%s) against the engine: %ld codes, %ld differ, by %d at most; of %ld means %ld\n",
        GetParam().backbone, folded ? "folded" : "training form", static_cast<long>(d.codes),
        static_cast<long>(d.different), d.largest, static_cast<long>(means.codes), static_cast<long>(means.different));
    EXPECT_GT(d.codes, 5000000);
    EXPECT_LE(d.largest, 1);
    EXPECT_LE(means.largest, 1);
    EXPECT_LE(static_cast<double>(d.different), static_cast<double>(d.codes) / 100000);
    EXPECT_LE(static_cast<double>(means.different), static_cast<double>(means.codes) / 50);
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, Exactness,
                         ::testing::Values(Case{"resnet_18", "fused"}, Case{"mobilenet_v2", "fused"},
                                           Case{"efficientnet-b0", "fused"}, Case{"mobilenet_v3_small", "fused"},
                                           Case{"squeezenet", "fused"}, Case{"efficientnet-b0", "inputs"},
                                           Case{"cspdarknet_19", "inputs"}),
                         [](const ::testing::TestParamInfo<Case>& info) {
                           std::string name = std::string(info.param.backbone) + "_" + info.param.recipe;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace octet

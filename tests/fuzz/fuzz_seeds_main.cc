// octet_fuzz_seeds FOLDER: tiny valid files of every kind that octet reads, for the fuzzers to begin with:
// FOLDER/{onnx,cache,model,spec,plan,coco,records,safetensors,npy}. Tiny, because a fuzzer's speed is that of its
// files.
#include <cstdio>

#include "base/error.h"
#include "base/files.h"
#include "data/tf_example.h"
#include "engine/plan.h"
#include "engine/random_lowered.h"
#include "ir/model_file.h"
#include "ir/text.h"
#include "onnx/onnx_export.h"
#include "ops/install.h"
#include "passes/pipelines.h"
#include "report/npy.h"
#include "spec/samples.h"
#include "tensorrt/calibration_cache.h"

namespace octet {
namespace {

// Operators that move, choose and resize, which the network of passes/testdata has not.
ir::Graph MovingOperators() {
  ir::Graph g("moving");
  const ir::ValueId x = g.AddInput("x", {DType::kF32, {1, 4, 6, 6}});
  const auto add = [&g](const char* op, std::vector<ir::ValueId> inputs, ir::Attrs attrs = {}) {
    return g.node(g.AddNode(op, op, std::move(inputs), {op}, std::move(attrs))).output();
  };
  const auto ints = [&g](const char* name, std::vector<int64_t> values) {
    return g.AddConstant(name, Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values));
  };
  const auto attr = [](std::vector<int64_t> values) { return values; };
  const ir::ValueId padded = add("Pad", {x, ints("pads", {0, 0, 1, 1, 0, 0, 1, 1})});
  const ir::ValueId sliced =
      add("Slice", {padded, ints("starts", {0, 1}), ints("ends", {6, 7}), ints("axes", {2, 3}), ints("steps", {1, 1})});
  const ir::ValueId turned = add("Transpose", {sliced}, {{"perm", attr({0, 2, 3, 1})}});
  const ir::ValueId shaped = add("Reshape", {turned, ints("shape", {1, 4, 6, -1})});
  const ir::ValueId joined = add("Concat", {shaped, sliced}, {{"axis", int64_t{1}}});
  const ir::ValueId up =
      add("Resize", {joined, ir::kNoValue, g.AddConstant("scales", Tensor::From<float>({4}, {1, 1, 2, 2}))});
  const ir::ValueId pooled =
      add("AveragePool", {up}, {{"kernel_shape", attr({3, 3})}, {"strides", attr({2, 2})}, {"ceil_mode", int64_t{1}}});
  const ir::ValueId picked =
      add("Gather", {pooled, g.AddConstant("rows", Tensor::From<int64_t>({2}, {0, 3}))}, {{"axis", int64_t{1}}});
  const ir::ValueId narrow = add("ReduceMean", {picked}, {{"axes", attr({3})}, {"keepdims", int64_t{0}}});
  g.MarkOutput(add("Softmax", {narrow}, {{"axis", int64_t{-1}}}));
  const ir::ValueId table = g.AddConstant("table", Tensor(DType::kF32, {4, 2, 2, 2}));
  g.MarkOutput(add("ConvTranspose", {sliced, table}, {{"strides", attr({2, 2})}}));
  ir::InferTypes(g);
  return g;
}

constexpr char kCoco[] = R"({"images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
 "annotations": [
  {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2.5, 10, 8], "area": 80, "iscrowd": 0,
   "segmentation": [[1, 2, 11, 2, 11, 10]]},
  {"id": 2, "image_id": 1, "category_id": 2, "bbox": [1, 2, 4, 4], "iscrowd": 1,
   "segmentation": {"counts": [4, 4, 8], "size": [4, 4]}},
  {"id": 3, "image_id": 1, "category_id": 2, "bbox": [1, 2, 4, 4],
   "segmentation": {"counts": "448", "size": [4, 4]}}],
 "categories": [{"id": 2, "name": "cat"}]})";

void WriteDataSeeds(const std::string& folder) {
  WriteFileAtomic(folder + "/coco/small.json", kCoco);
  data::TfExample example;
  example["image/encoded"] = data::Bytes({"no image"});
  example["image/source_id"] = data::Bytes({"17"});
  for (const char* name : {"image/width", "image/height"}) example[name] = data::Ints({40});
  for (const char* name : {"xmin", "ymin"}) example[std::string("image/object/bbox/") + name] = data::Floats({0.1f, 0});
  for (const char* name : {"xmax", "ymax"}) example[std::string("image/object/bbox/") + name] = data::Floats({0.5f, 1});
  example["image/object/class/label"] = data::Ints({1, 3});
  example["image/object/class/text"] = data::Bytes({"cat", "dog"});
  example["image/object/is_crowd"] = data::Ints({0, 1});
  WriteFileAtomic(folder + "/records/small.example", data::EncodeExample(example));
  const std::string header = R"({"a": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},)"
                             R"( "b": {"dtype": "BF16", "shape": [2], "data_offsets": [8, 12]}})";
  std::string safetensors(8, '\0');
  safetensors[0] = static_cast<char>(header.size());
  WriteFileAtomic(folder + "/safetensors/small.safetensors", safetensors + header + std::string(12, 'x'));
  report::WriteNpy(folder + "/npy/small.npy", Tensor::From<float>({2, 2}, {1, 2, 3, 4}));
}

}  // namespace

void WriteSeeds(const std::string& folder) {
  ops::InstallOps();
  const std::string small = ReadFile(OCTET_SOURCE_DIR "/src/passes/testdata/small.txt");
  const ir::Graph network = ir::Parse(small, {}, /*zero_blobs=*/true);
  const std::map<std::string, ir::Graph> graphs = {
      {"small", network},
      {"quantized", passes::PrepareForExport(passes::PrepareForQat(network))},
      {"moving", MovingOperators()}};
  for (const auto& [name, graph] : graphs) {
    onnx::ExportOnnx(graph, folder + "/onnx/" + name + ".onnx");
    ir::WriteModel(folder + "/model/" + name + ".octet", {graph, {{"task", "classification"}}, {}});
    engine::WritePlan(folder + "/plan/" + name + ".plan", {passes::PrepareForEngine(graph), {}});
  }
  for (unsigned seed = 1; seed <= 8; ++seed) {
    const ir::Graph random = engine::LoweredGraphMaker(seed).Make(3, 3, 6, 6);
    engine::WritePlan(fmt::format("{}/plan/random{}.plan", folder, seed), {random, {}});
  }
  tensorrt::CalibrationCache cache;
  cache.version = 8601;
  cache.entries = {{"input_1", 0.01f}, {"conv1:0", 0.5f}, {"a b", 1e-3f}};
  tensorrt::WriteCalibrationCache(folder + "/cache/small.cache", cache);
  spec::WriteSamples("classification", folder + "/spec");
  spec::WriteSamples("efficientdet", folder + "/spec/efficientdet");
  WriteDataSeeds(folder);
}

}  // namespace octet

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: octet_fuzz_seeds FOLDER\n"), 2;
  try {
    octet::WriteSeeds(argv[1]);
  } catch (const octet::Error& e) {
    return std::fprintf(stderr, "error: %s\n", e.what()), e.exit_code();
  }
  return 0;
}

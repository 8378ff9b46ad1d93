// make_networks FOLDER RECIPE BACKBONE...: writes BACKBONE.fp32.onnx, BACKBONE.qdq.onnx and BACKBONE.plan of zoo
// networks with fresh weights, for comparisons of speed (time hardly depends on the values), and says which steps of
// the plan still work on floats. SIZE (environment OCTET_BENCH_SIZE; 224, of a detector its own) is the input's height
// and width. BACKBONE may be a detector, up to its raw outputs; `all`: the zoo's classifiers.
#include <fmt/format.h>

#include <cstdlib>
#include <map>

#include "base/error.h"
#include "engine/plan.h"
#include "ir/op_def.h"
#include "onnx/onnx_export.h"
#include "ops/install.h"
#include "passes/pipelines.h"
#include "zoo/efficientdet.h"
#include "zoo/zoo.h"

namespace octet {
namespace {

// size 0: the network's own.
ir::Graph Build(const std::string& name, int64_t size, const std::string& recipe, passes::InsertQdqOptions& qat) {
  for (const zoo::EfficientDetVariant& v : zoo::EfficientDetVariants()) {
    if (v.name != name) continue;
    zoo::EfficientDetOptions options;
    options.name = name;
    options.input_height = options.input_width = size > 0 ? size : v.native_size;
    const ir::Graph graph = zoo::BuildEfficientDet(options);
    qat.keep_fp32 = recipe == "inputs" ? zoo::LayersTaoLeavesFloat(graph) : zoo::PredictionLayers(graph);
    return graph;
  }
  zoo::NetworkOptions options;
  options.backbone = name;
  options.num_classes = 1000;
  options.input_height = options.input_width = size > 0 ? size : 224;
  return zoo::BuildNetwork(options);
}

void Write(const std::string& folder, const std::string& recipe, const std::string& backbone, int64_t size) {
  passes::InsertQdqOptions qat;
  const ir::Graph fp32 = Build(backbone, size, recipe, qat);
  const ir::Graph quantized = passes::PrepareForQat(fp32, qat, recipe);
  onnx::ExportOnnx(passes::PrepareForExport(fp32), folder + "/" + backbone + ".fp32.onnx");
  onnx::ExportOnnx(passes::PrepareForExport(quantized), folder + "/" + backbone + ".qdq.onnx");
  const ir::Graph lowered = passes::PrepareForEngine(quantized);
  engine::WritePlan(folder + "/" + backbone + ".plan", {lowered, {{"network", backbone}}});
  std::map<std::string, int> floats;
  for (const ir::NodeId id : lowered.Order()) {
    const ir::Node& node = lowered.node(id);
    const ir::ValueId out = node.output();
    if (lowered.value(out).type.dtype == DType::kF32) ++floats[node.op];
  }
  fmt::print("{:<28} {} steps; f32 results:", backbone, lowered.node_count());
  for (const auto& [op, count] : floats) fmt::print(" {} {}", count, op);
  fmt::print("\n");
}

}  // namespace
}  // namespace octet

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "usage: make_networks FOLDER fused|inputs BACKBONE...|all\n");
    return 1;
  }
  const char* size = std::getenv("OCTET_BENCH_SIZE");
  try {
    octet::ops::InstallOps();
    std::vector<std::string> names(argv + 3, argv + argc);
    if (names.front() == "all") names = octet::zoo::BackboneNames();
    for (const std::string& name : names) octet::Write(argv[1], argv[2], name, size ? std::atoll(size) : 0);
  } catch (const octet::Error& e) {
    fmt::print(stderr, "make_networks: {}\n", e.what());
    return e.exit_code();
  }
  return 0;
}

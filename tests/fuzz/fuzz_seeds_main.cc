// octet_fuzz_seeds FOLDER: small valid files of every kind that octet reads, for the fuzzers to begin with:
// FOLDER/{onnx,cache,model,spec}.
#include <cstdio>

#include "base/error.h"
#include "base/files.h"
#include "ir/model_file.h"
#include "onnx/onnx_export.h"
#include "ops/install.h"
#include "passes/pipelines.h"
#include "spec/samples.h"
#include "tensorrt/calibration_cache.h"
#include "zoo/zoo.h"

namespace octet {

void WriteSeeds(const std::string& folder) {
  ops::InstallOps();
  for (const char* backbone : {"squeezenet", "mobilenet_v2"}) {
    zoo::NetworkOptions options;
    options.backbone = backbone;
    options.width_multiplier = 0.1f;
    options.input_height = options.input_width = 32;
    options.num_classes = 2;
    const ir::Graph network = zoo::BuildNetwork(options);
    const ir::Graph quantized = passes::PrepareForExport(passes::PrepareForQat(network));
    onnx::ExportOnnx(network, folder + "/onnx/" + backbone + ".onnx");
    onnx::ExportOnnx(quantized, folder + "/onnx/" + backbone + ".qdq.onnx");
    ir::WriteModel(folder + "/model/" + backbone + ".octet", {network, {{"task", "classification"}}, {}});
  }
  tensorrt::CalibrationCache cache;
  cache.version = 8601;
  cache.entries = {{"input_1", 0.01f}, {"conv1:0", 0.5f}, {"a b", 1e-3f}};
  tensorrt::WriteCalibrationCache(folder + "/cache/small.cache", cache);
  spec::WriteSamples("classification", folder + "/spec");
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

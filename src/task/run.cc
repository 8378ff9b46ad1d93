#include "task/run.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/strings.h"

namespace octet::task {

std::string ResultsFolder(const spec::Spec& spec, const std::string& command) {
  const std::string section = command == "build" ? "gen_trt_engine" : command;
  const std::string own = spec.GetString(section + ".results_dir");
  return own.empty() ? spec.Require("results_dir") + "/" + command : own;
}

// TAO's specs list GPUs; say so when they are not used.
static void WarnOfUnusedGpus(const spec::Spec& spec) {
  const std::vector<int64_t> ids = spec.GetInts("gpu_ids");
  if (spec.GetString("device") != "cpu") {
    if (ids.size() > 1)
      LogWarning("{}: gpu_ids lists {} GPUs; octet uses one, {}", spec.Where("gpu_ids"), ids.size(), ids[0]);
  } else if (ids != std::vector<int64_t>{0}) {
    LogWarning("{}: gpu_ids has no effect with device: cpu", spec.Where("gpu_ids"));
  }
}

void WithReport(const spec::Spec& spec, const std::string& command,
                const std::function<void(report::RunReport& report)>& body) {
  report::RunReport report(ResultsFolder(spec, command), spec.table().task, command, spec.ToYaml());
  try {
    WarnOfUnusedGpus(spec);
    body(report);
  } catch (const std::exception& e) {
    report.Failure(e.what());
    throw;
  }
}

int DataWorkers(const spec::Spec& spec, const std::string& key) {
  return static_cast<int>(std::clamp<int64_t>(spec.GetInt(key), 1, HardwareThreads()));
}

int ComputeThreads(const spec::Spec& spec) {
  const int64_t wanted = spec.GetInt("train.threads");
  return wanted <= 0 ? HardwareThreads() : static_cast<int>(std::min<int64_t>(wanted, HardwareThreads()));
}

std::string DeviceFromSpec(const spec::Spec& spec) {
  const std::string device = spec.GetString("device");
  const std::vector<int64_t> ids = spec.GetInts("gpu_ids");
  return device == "cpu" || ids.empty() ? device : fmt::format("{}:{}", device, ids[0]);
}

std::string NetworkFile(const spec::Spec& spec, const std::string& section) {
  const std::string plan = spec.GetString(section + ".trt_engine");
  return plan.empty() ? spec.RequireFile(section + ".checkpoint") : spec.RequireFile(section + ".trt_engine");
}

std::string PathOr(const spec::Spec& spec, const std::string& key, const std::string& fallback) {
  const std::string path = spec.GetString(key);
  return path.empty() ? fallback : path;
}

std::string OnnxPathOr(const spec::Spec& spec, const std::string& key, const std::string& fallback) {
  const std::string path = PathOr(spec, key, fallback);
  OCTET_REQUIRE(path.size() > 5 && EndsWith(path, ".onnx"), "{}: {} is '{}'; it must end in .onnx", spec.Where(key),
                key, path);
  return path;
}

void RequireInput(const ir::Graph& graph, int64_t channels, int64_t height, int64_t width, const std::string& where) {
  const Shape& shape = graph.value(graph.inputs().at(0)).type.shape;
  OCTET_REQUIRE(shape.size() == 4, "{}: the network reads {}, not images [N,C,H,W]", where, octet::ToString(shape));
  std::vector<std::string> keys;
  if (shape[1] != channels) keys.push_back("model.input_channels");
  if (shape[2] != height) keys.push_back("model.input_height");
  if (shape[3] != width) keys.push_back("model.input_width");
  OCTET_REQUIRE(keys.empty(),
                "{}: the network reads images {}, but the spec makes [N,{},{},{}]; set {} to the network's", where,
                octet::ToString(shape), channels, height, width, Join(keys, ", "));
}

}  // namespace octet::task

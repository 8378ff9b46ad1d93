#include "task/ptq/choose_ranges.h"

#include <cmath>
#include <memory>
#include <set>

#include "passes/extract_subgraph.h"
#include "passes/fusion_regions.h"
#include "quant/quantize.h"
#include "train/graph_module.h"

namespace octet::task {
namespace {

using quant::CalibrationMethod;

// One proposal for one tensor.
struct Candidate {
  CalibrationMethod method;
  float amax;
  double error = 0;
};

// What reads a tensor, to be run by itself.
struct Reader {
  std::unique_ptr<train::GraphModule> module;
  std::vector<std::string> inputs;
  std::string output;
};

// Proposals that differ by less than a code's rounding are one.
std::vector<Candidate> Proposals(const quant::Observer& observer) {
  std::vector<Candidate> proposals;
  for (const CalibrationMethod method : quant::kRangeMethods) {
    const auto amax = static_cast<float>(observer.Amax(method));
    bool known = !(amax > 0);
    for (const Candidate& c : proposals) known = known || std::fabs(c.amax - amax) <= 0.002f * amax;
    if (!known) proposals.push_back({method, amax});
  }
  return proposals;
}

Reader MakeReader(const ir::Graph& g, const std::vector<ir::NodeId>& nodes, ir::ValueId output,
                  const std::string& device) {
  const ir::Graph part = passes::ExtractSubgraph(g, nodes, {output});
  Reader reader;
  reader.module = std::make_unique<train::GraphModule>(part, device);
  for (const ir::ValueId in : part.inputs()) reader.inputs.push_back(part.value(in).name);
  reader.output = g.value(output).name;
  return reader;
}

std::vector<Reader> ReadersOf(const ir::Graph& g, const passes::FusionRegions& regions, ir::ValueId tensor,
                              const std::string& device) {
  std::vector<Reader> readers;
  std::set<size_t> done;
  for (const ir::NodeId user : g.value(tensor).consumers) {
    const auto region = regions.region_of.find(user);
    if (region != regions.region_of.end()) {
      const passes::FusionRegion& r = regions.regions[region->second];
      if (done.insert(region->second).second) readers.push_back(MakeReader(g, r.nodes, r.output, device));
    } else if (g.value(g.node(user).output()).type.dtype == DType::kF32) {
      readers.push_back(MakeReader(g, {user}, g.node(user).output(), device));
    }
  }
  return readers;
}

double RelativeError(const Tensor& got, const Tensor& want) {
  const float* a = got.data<float>();
  const float* b = want.data<float>();
  double error = 0, power = 0;
  for (int64_t i = 0; i < want.size(); ++i) {
    error += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    power += static_cast<double>(b[i]) * b[i];
  }
  return power > 0 ? error / power : error;
}

// The float value of every tensor for one batch.
std::map<std::string, Tensor> AllValues(train::GraphModule& module, const std::set<std::string>& names,
                                        const Tensor& images) {
  std::map<std::string, Tensor> values;
  const ir::Graph& g = module.graph();
  module.Evaluate({{g.value(g.inputs()[0]).name, images}}, {}, [&](const std::string& name, const Tensor& value) {
    if (names.count(name) != 0) values[name] = value;
    return Tensor();
  });
  return values;
}

}  // namespace

Tensor FakeQuantized(const Tensor& x, float scale) {
  Tensor y(DType::kF32, x.shape());
  const float* from = x.data<float>();
  auto* to = y.mutable_data<float>();
  for (int64_t i = 0; i < x.size(); ++i) to[i] = quant::Dequantize(quant::QuantizeToS8(from[i], scale), scale);
  return y;
}

std::map<std::string, ChosenRange> ChooseRanges(const ir::Graph& graph, const Observations& seen,
                                                CalibrationMethod method, const std::vector<std::string>& measured,
                                                const std::vector<Tensor>& probes, const std::string& device) {
  std::map<std::string, ChosenRange> chosen;
  for (const auto& [name, observer] : seen.tensors) {
    const CalibrationMethod own = method == CalibrationMethod::kAuto ? CalibrationMethod::kMse : method;
    chosen[name] = {own, static_cast<float>(observer.Amax(own)), -1};
  }
  if (method != CalibrationMethod::kAuto || probes.empty()) return chosen;

  struct Trial {
    std::vector<Candidate> candidates;
    std::vector<Reader> readers;
  };
  const passes::FusionRegions regions = passes::FindFusionRegions(graph);
  std::map<std::string, Trial> trials;
  std::set<std::string> wanted;
  for (const std::string& name : measured) {
    const auto observer = seen.tensors.find(name);
    const ir::ValueId tensor = graph.Find(name);
    if (observer == seen.tensors.end() || tensor == ir::kNoValue) continue;
    Trial trial{Proposals(observer->second), {}};
    if (trial.candidates.size() < 2) continue;
    trial.readers = ReadersOf(graph, regions, tensor, device);
    if (trial.readers.empty()) continue;
    for (const Reader& reader : trial.readers) {
      wanted.insert(reader.inputs.begin(), reader.inputs.end());
      wanted.insert(reader.output);
    }
    trials.emplace(name, std::move(trial));
  }
  train::GraphModule module(graph, device);
  for (const Tensor& images : probes) {
    std::map<std::string, Tensor> values = AllValues(module, wanted, images);
    for (auto& [name, trial] : trials) {
      for (Candidate& candidate : trial.candidates) {
        const Tensor rounded = FakeQuantized(values.at(name), quant::ScaleOfAmax(candidate.amax));
        for (const Reader& reader : trial.readers) {
          std::map<std::string, Tensor> feeds;
          for (const std::string& in : reader.inputs) feeds[in] = in == name ? rounded : values.at(in);
          candidate.error += RelativeError(reader.module->Evaluate(feeds).at(0), values.at(reader.output));
        }
      }
    }
  }
  for (const auto& [name, trial] : trials) {
    const Candidate* best = &trial.candidates[0];
    for (const Candidate& c : trial.candidates) best = c.error < best->error ? &c : best;
    chosen[name] = {best->method, best->amax, best->error / static_cast<double>(probes.size())};
  }
  return chosen;
}

}  // namespace octet::task

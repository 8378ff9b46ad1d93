#include "task/ptq/full_coverage.h"

#include <algorithm>
#include <map>
#include <set>

#include "passes/fusion_regions.h"
#include "passes/strip_qdq.h"
#include "quant/quantize.h"

namespace octet::task {
namespace {

using ir::Graph;
using ir::Node;
using ir::ValueId;

// Results of the network that no node of it reads.
bool OnlyLeaves(const Graph& g, const std::string& name) {
  const ValueId id = g.Find(name);
  return g.is_output(id) && g.value(id).consumers.empty();
}

// One scale around every Concat, the largest, unless QAT decided.
void UnifyConcats(const Graph& g, const std::set<std::string>& learned, std::map<std::string, float>* scales) {
  const auto order = g.Order();
  // Backwards, so that a Concat of Concats passes its scale on.
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& node = g.node(*it);
    if (node.op != "Concat") continue;
    std::vector<std::string> around = {g.value(node.output()).name};
    for (const ValueId in : node.inputs) {
      if (!g.value(in).is_constant()) around.push_back(g.value(in).name);
    }
    float largest = 0;
    for (const std::string& name : around) {
      const auto found = scales->find(name);
      if (found != scales->end()) largest = std::max(largest, found->second);
    }
    for (const std::string& name : around) {
      const auto found = scales->find(name);
      if (found != scales->end() && learned.count(name) == 0) found->second = largest;
    }
  }
}

}  // namespace

CoveredScales CoverEveryTensor(const Graph& folded, const Graph& plain, const ImageSource& images,
                               CalibrationOptions calibration) {
  std::map<std::string, float> scales;
  std::set<std::string> learned;
  for (const auto& [name, scale] : passes::CollectScales(folded)) {
    scales[name] = scale;
    learned.insert(name);
  }
  calibration.tensors.clear();
  for (const std::string& name : CalibratedTensors(plain)) {
    if (learned.count(name) == 0 && !OnlyLeaves(plain, name)) calibration.tensors.insert(name);
  }
  if (!calibration.tensors.empty()) {
    for (const auto& [name, observer] : Observe(plain, images, calibration).tensors) {
      scales[name] = quant::ScaleOfAmax(static_cast<float>(observer.Amax()));
    }
  }
  UnifyConcats(plain, learned, &scales);
  for (const ir::NodeId id : plain.Order()) {
    const Node& node = plain.node(id);
    if (node.input(0) == ir::kNoValue || !passes::RuleOf(node).Commutes(node)) continue;
    const auto in = scales.find(plain.value(node.input(0)).name);
    if (in == scales.end()) continue;
    for (const ValueId out : node.outputs) {
      const std::string name = out == ir::kNoValue ? "" : plain.value(out).name;
      if (learned.count(name) == 0 && scales.count(name) != 0) scales[name] = in->second;
    }
  }
  CoveredScales covered;
  for (const std::string& name : CalibratedTensors(plain)) {
    const auto it = scales.find(name);
    if (it == scales.end()) continue;
    covered.scales.emplace_back(name, it->second);
    ++(learned.count(name) != 0 ? covered.learned : covered.calibrated);
  }
  return covered;
}

}  // namespace octet::task

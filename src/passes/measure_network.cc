#include "passes/measure_network.h"

#include <algorithm>
#include <set>

#include "ir/op_def.h"

namespace octet::passes {

NetworkSize MeasureNetwork(const ir::Graph& g) {
  NetworkSize size;
  std::set<ir::ValueId> seen;
  for (const ir::NodeId id : g.Order()) {
    const ir::Node& node = g.node(id);
    const ir::OpDef& op = ir::GetOp(node);
    std::vector<const ir::Value*> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::ValueId in = node.inputs[i];
      inputs.push_back(in == ir::kNoValue ? nullptr : &g.value(in));
      const ir::InputRole role = op.role(i);
      // A quantized weight is the constant that its quantizer reads, in a data input.
      const bool quantizer = node.attr_string("observer", "") == "max_abs" && i == 0;
      const bool parameter = role == ir::InputRole::kWeight || role == ir::InputRole::kParam || quantizer;
      if (in == ir::kNoValue || !g.value(in).is_constant() || !(parameter || role == ir::InputRole::kBuffer)) continue;
      if (!seen.insert(in).second) continue;
      (parameter ? size.parameters : size.statistics) += g.value(in).constant.size();
    }
    if (op.macs) size.macs += std::max<int64_t>(0, op.macs(node, inputs, g.value(node.output())));
  }
  return size;
}

}  // namespace octet::passes

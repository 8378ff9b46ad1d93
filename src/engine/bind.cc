#include "engine/bind.h"

#include "base/error.h"
#include "ir/op_def.h"

namespace octet::engine {

Step BindNode(Session& session, ir::NodeId id) {
  const ir::Node& node = session.graph().node(id);
  Step step;
  step.node = id;
  if (session.is_view(id)) {
    step.parallel = false;
    step.run = [](int, int) {};
    return step;
  }
  for (const auto bind : {BindQuantized, BindCopies, BindFloat, BindNorm, BindMove}) {
    if (bind(session, id, step)) return step;
  }
  step.parallel = false;
  step.fallback = true;
  const ir::OpDef* def = &ir::GetOp(node);
  step.run = [&session, &node, def](int, int) {
    std::vector<Tensor> inputs;
    for (const ir::ValueId in : node.inputs) inputs.push_back(in == ir::kNoValue ? Tensor() : session.ReadTensor(in));
    const std::vector<Tensor> outputs = def->reference(node, inputs);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == ir::kNoValue) continue;
      session.WriteTensor(node.outputs[i], outputs.at(i));
      const Place& p = session.place(node.outputs[i]);
      if (p.codes) FillBorder(p.view, p.nchw.n, p.nchw.h, p.nchw.w, p.top, p.bottom, p.left, p.right);
    }
  };
  return step;
}

}  // namespace octet::engine

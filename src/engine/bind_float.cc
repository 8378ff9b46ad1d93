// Steps of the few FP32 operators that stand at a classifier's end.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "engine/bind.h"

namespace octet::engine {
namespace {

using ir::Node;

void BindGemm(Session& session, ir::NodeId id, Step& step) {
  const Node& node = session.graph().node(id);
  const Place& x = session.place(node.input(0));
  const Place& y = session.place(node.output());
  const PackedGemm& packed = session.network().gemm.at(id);
  GemmArgs a;
  a.rows = y.nchw.n;
  a.packed = &packed;
  step.macs = 0;
  step.run = [a, &x, &y, run = session.network().kernels->gemm](int part, int parts) {
    GemmArgs args = a;
    args.x = reinterpret_cast<const float*>(x.dense);
    args.y = reinterpret_cast<float*>(y.dense);
    run(args, part, parts);
  };
}

void BindSoftmax(const Place& x, const Place& y, Step& step) {
  step.parallel = false;
  const int64_t count = y.type.shape.back();
  const int64_t rows = NumElements(y.type.shape) / count;
  step.run = [&x, &y, rows, count](int, int) {
    for (int64_t r = 0; r < rows; ++r) {
      const float* in = reinterpret_cast<const float*>(x.dense) + r * count;
      float* out = reinterpret_cast<float*>(y.dense) + r * count;
      const float top = *std::max_element(in, in + count);
      float sum = 0.0f;
      for (int64_t i = 0; i < count; ++i) {
        out[i] = std::exp(in[i] - top);
        sum += out[i];
      }
      for (int64_t i = 0; i < count; ++i) out[i] /= sum;
    }
  };
}

}  // namespace

bool BindFloat(Session& session, ir::NodeId id, Step& step) {
  const Node& node = session.graph().node(id);
  const ir::Graph& graph = session.graph();
  if (graph.value(node.input(0)).is_constant()) return false;
  const Place& x = session.place(node.input(0));
  const Place& y = session.place(node.output());
  if (x.codes || y.codes || x.type.dtype != DType::kF32 || y.type.dtype != DType::kF32) return false;
  if (session.network().gemm.count(id) != 0) {
    BindGemm(session, id, step);
    return true;
  }
  if (node.op == "Softmax") {
    const int64_t rank = static_cast<int64_t>(y.type.shape.size());
    const int64_t axis = node.attr_int("axis", -1);
    if (rank == 0 || (axis != -1 && axis != rank - 1)) return false;
    BindSoftmax(x, y, step);
    return true;
  }
  if (node.op == "Flatten" || node.op == "Reshape" || node.op == "Identity" || node.op == "Squeeze" ||
      node.op == "Unsqueeze") {
    step.parallel = false;
    step.run = [&x, &y](int, int) { std::memcpy(y.dense, x.dense, y.bytes); };
    return true;
  }
  return false;
}

}  // namespace octet::engine

// Steps of operators that move codes and compute nothing: Concat, Flatten, Reshape, nearest Resize.
#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "engine/bind.h"
#include "ir/op_def.h"

namespace octet::engine {
namespace {

using ir::kNoValue;
using ir::Node;
using ir::ValueId;

GatherArgs CopyOf(const Place& x, const std::vector<int64_t>& numbers) {
  GatherArgs a;
  a.batch = x.nchw.n;
  a.channels = x.nchw.c;
  a.h = x.nchw.h;
  a.w = x.nchw.w;
  a.rows = a.columns = numbers.data();
  a.in = x.view;
  return a;
}

std::vector<int64_t> Numbers(int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  return numbers;
}

// Flatten, Reshape, ... of codes. Where an image is one pixel on both sides, the bytes stay in order.
bool BindReshape(Session& session, const Node& node, Step& step) {
  const Place& x = session.place(node.input(0));
  const Place& y = session.place(node.output());
  const bool same = x.nchw.n == y.nchw.n && x.nchw.c == y.nchw.c && x.nchw.h == y.nchw.h && x.nchw.w == y.nchw.w;
  const bool pixels = x.nchw.h * x.nchw.w == 1 && y.nchw.h * y.nchw.w == 1 && x.nchw.n == y.nchw.n;
  if (!same && !pixels) return false;
  auto numbers = std::make_shared<const std::vector<int64_t>>(Numbers(std::max(x.nchw.h, x.nchw.w)));
  GatherArgs a = CopyOf(x, *numbers);
  a.out = y.view;
  step.run = [a, numbers, &y, run = session.network().kernels->gather](int part, int parts) {
    if (part == 0) Fill(y);
    run(a, part, parts);
  };
  return true;
}

bool BindConcat(Session& session, const Node& node, Step& step) {
  const Place& y = session.place(node.output());
  const int64_t axis = node.attr_int("axis", 0);
  if (y.type.shape.size() != 4 || (axis != 1 && axis != -3)) return false;
  auto numbers = std::make_shared<const std::vector<int64_t>>(Numbers(std::max(y.nchw.h, y.nchw.w)));
  std::vector<GatherArgs> copies;
  Codes to = y.view;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const Place& x = CodesInput(session, node, i);
    copies.push_back(CopyOf(x, *numbers));
    copies.back().out = to;
    to.data += x.nchw.c;
  }
  step.run = [copies, numbers, &y, run = session.network().kernels->gather](int part, int parts) {
    if (part == 0) Fill(y);
    for (const GatherArgs& a : copies) run(a, part, parts);
  };
  return true;
}

// Which input row each output row of a nearest Resize reads, and the same for columns: the operator's reference kernel
// tells, run on one column (row) of numbers.
bool NearestMap(Session& session, const Node& node, bool rows, std::vector<int64_t>* map) {
  const ir::Graph& graph = session.graph();
  const Place& x = session.place(node.input(0));
  const Place& y = session.place(node.output());
  const int64_t in = rows ? x.nchw.h : x.nchw.w, out = rows ? y.nchw.h : y.nchw.w;
  Tensor numbers(DType::kF32, {1, 1, x.nchw.h, x.nchw.w});
  for (int64_t i = 0; i < numbers.size(); ++i) {
    numbers.mutable_data<float>()[i] = static_cast<float>(rows ? i / x.nchw.w : i % x.nchw.w);
  }
  Node one = node;
  std::vector<Tensor> inputs = {numbers};
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    if (id == kNoValue) {
      inputs.emplace_back();
    } else if (!graph.value(id).is_constant()) {
      return false;
    } else {
      inputs.push_back(graph.value(id).constant);
    }
  }
  if (inputs.size() > 3 && inputs[3].defined() && inputs[3].size() == 4) {
    inputs[3] = Tensor::From<int64_t>({4}, {1, 1, y.nchw.h, y.nchw.w});
  }
  const std::vector<Tensor> result = ir::GetOp(node).reference(one, inputs);
  if (result.at(0).shape() != Shape{1, 1, y.nchw.h, y.nchw.w}) return false;
  for (int64_t i = 0; i < out; ++i) {
    const auto from = static_cast<int64_t>(result[0].data<float>()[rows ? i * y.nchw.w : i]);
    if (from < 0 || from >= in) return false;
    map->push_back(from);
  }
  return true;
}

bool BindResize(Session& session, const Node& node, Step& step) {
  const Place& x = CodesInput(session, node, 0);
  const Place& y = session.place(node.output());
  if (x.type.shape.size() != 4 || x.nchw.n != y.nchw.n || x.nchw.c != y.nchw.c ||
      node.attr_string("mode", "nearest") != "nearest") {
    return false;
  }
  auto rows = std::make_shared<std::vector<int64_t>>(), columns = std::make_shared<std::vector<int64_t>>();
  if (!NearestMap(session, node, true, rows.get()) || !NearestMap(session, node, false, columns.get())) return false;
  GatherArgs a = CopyOf(y, *rows);
  a.rows = rows->data();
  a.columns = columns->data();
  a.in = x.view;
  a.out = y.view;
  step.run = [a, rows, columns, &y, run = session.network().kernels->gather](int part, int parts) {
    if (part == 0) Fill(y);
    run(a, part, parts);
  };
  return true;
}

}  // namespace

bool BindCopies(Session& session, ir::NodeId id, Step& step) {
  const Node& node = session.graph().node(id);
  if (node.outputs.size() != 1 || !session.place(node.output()).codes) return false;
  if (node.op == "Concat") return BindConcat(session, node, step);
  if (session.graph().value(node.input(0)).is_constant() || !session.place(node.input(0)).codes) return false;
  if (node.op == "Resize") return BindResize(session, node, step);
  if (node.op == "Flatten" || node.op == "Reshape" || node.op == "Identity" || node.op == "Squeeze" ||
      node.op == "Unsqueeze") {
    return BindReshape(session, node, step);
  }
  return false;
}

}  // namespace octet::engine

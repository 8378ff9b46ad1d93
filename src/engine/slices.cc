#include "engine/slices.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "engine/network.h"

namespace octet::engine {
namespace {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::ValueId;

// Measured: a layer's input, output and weights then mostly stay in the second-level cache of each thread's core.
constexpr double kCachedBytes = 4 << 20;
constexpr int64_t kMostImages = 8;  // for each thread

bool Constant(const Graph& graph, ValueId id) {
  return id == kNoValue || graph.value(id).is_constant();
}

// Whether image n of the output depends on image n of the inputs alone, and by the same operations in any batch, where
// SameButForBatch holds of all values: what broadcasts, reshapes or sums along the batch gives away itself by a size.
// FloatConv computes image by image, as oneDNN may choose another order of summation for another batch.
bool KeepsImagesApart(const Graph& graph, const Node& node) {
  static const std::set<std::string> kAlways = {"QQuantize",
                                                "QDequantize",
                                                "QConv",
                                                "QMaxPool",
                                                "QAveragePool",
                                                "QGlobalAveragePool",
                                                "QAdd",
                                                "QSum",
                                                "QMul",
                                                "QLut",
                                                "Add",
                                                "Sub",
                                                "Mul",
                                                "Div",
                                                "Relu",
                                                "Clip",
                                                "LeakyRelu",
                                                "Sigmoid",
                                                "HardSigmoid",
                                                "HardSwish",
                                                "Tanh",
                                                "AveragePool",
                                                "MaxPool",
                                                "Flatten",
                                                "Reshape",
                                                "Identity",
                                                "Squeeze",
                                                "Unsqueeze",
                                                "GlobalAveragePool"};
  // A second output may count across images: MaxPool's indices.
  if (node.inputs.empty() || node.outputs.size() != 1) return false;
  if (kAlways.count(node.op) != 0) return true;
  const auto rank = static_cast<int64_t>(graph.value(node.input(0)).type.shape.size());
  if (node.op == "Conv") return Constant(graph, node.input(1)) && Constant(graph, node.input(2));
  if (node.op == "Concat" || node.op == "Softmax" || node.op == "LogSoftmax") {
    const int64_t axis = node.attr_int("axis", node.op == "Concat" ? 0 : -1);
    return axis != 0 && axis != -rank;
  }
  if (node.op == "Transpose") {
    const std::vector<int64_t> perm = node.attr_ints("perm", {});
    return !perm.empty() && perm[0] == 0;
  }
  if (node.op == "Gemm") return node.attr_int("transA", 0) == 0 && Constant(graph, node.input(1));
  if (node.op == "BatchNormalization") return node.attr_int("training_mode", 0) == 0;
  if (node.op == "Resize") {
    const ValueId scales = node.input(2);
    if (scales == kNoValue || !Constant(graph, scales) || !Constant(graph, node.input(1))) return false;
    const Tensor& t = graph.value(scales).constant;
    return t.dtype() == DType::kF32 && t.size() == rank && rank > 0 && t.data<float>()[0] == 1.0f &&
           node.attr_ints("axes", {}).empty() && node.attr_string("mode", "nearest") == "nearest" &&
           node.attr_string("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize";
  }
  return false;
}

// Every input, output and computed value.
template <typename F>
bool All(const Graph& graph, F&& holds) {
  const auto every = [&](const std::vector<ValueId>& ids) {
    return std::all_of(ids.begin(), ids.end(), [&](ValueId id) { return id == kNoValue || holds(id); });
  };
  if (!every(graph.inputs()) || !every(graph.outputs())) return false;
  for (const ir::NodeId id : graph.Order()) {
    if (!every(graph.node(id).outputs)) return false;
  }
  return true;
}

// Whether all values have their batch first, and are otherwise the same in both.
bool SameButForBatch(const Graph& whole, int64_t batch, const Graph& slice, int64_t images) {
  return All(whole, [&](ValueId id) {
    const ir::Value& a = whole.value(id);
    const ir::Value& b = slice.value(id);
    if (a.is_constant() || a.type.dtype != b.type.dtype || a.type.shape.size() != b.type.shape.size()) return false;
    if (a.type.shape.empty() || a.type.shape[0] != batch || b.type.shape[0] != images) return false;
    return std::equal(a.type.shape.begin() + 1, a.type.shape.end(), b.type.shape.begin() + 1);
  });
}

bool CanSlice(const Graph& graph, const Graph& whole, int64_t batch, const std::set<int64_t>& sizes) {
  for (const ir::NodeId id : graph.Order()) {
    if (!KeepsImagesApart(whole, graph.node(id))) return false;
  }
  for (const int64_t images : sizes) {
    try {
      if (!SameButForBatch(whole, batch, WithBatch(graph, images), images)) return false;
    } catch (const Error&) {  // sizes in the graph that fit the whole batch only
      return false;
    }
  }
  return true;
}

int64_t ImagesInCache(const Graph& whole, int threads) {
  double largest = 1;  // in double: nothing overflows
  All(whole, [&](ValueId id) {
    const ir::TensorType& type = whole.value(id).type;
    if (type.dtype != DType::kS8) return true;
    const Nchw s = AsNchw(type.shape);
    const double channels = static_cast<double>((s.c + 15) / 16 * 16);
    largest = std::max(largest, channels * static_cast<double>(s.h) * static_cast<double>(s.w));
    return true;
  });
  const auto images = static_cast<int64_t>(kCachedBytes * threads / largest);
  return std::clamp(images, int64_t{threads}, kMostImages * threads);  // each thread has work in every layer
}

}  // namespace

std::vector<int64_t> SliceBatch(const Graph& graph, const Graph& whole, const ContextOptions& options) {
  OCTET_REQUIRE(options.slice >= 0, "engine: slices of {} images make no sense", options.slice);
  const int64_t batch = options.batch;
  if (batch == 1 || options.keep_intermediates) return {batch};
  const int64_t most = options.slice > 0 ? options.slice : ImagesInCache(whole, std::max(1, options.threads));
  if (batch <= most) return {batch};
  // Equal sizes: a last slice of one image would read all weights for that image.
  const int64_t count = (batch + most - 1) / most;
  std::vector<int64_t> sizes(static_cast<size_t>(count), batch / count);
  for (int64_t i = 0; i < batch % count; ++i) ++sizes[static_cast<size_t>(i)];
  if (!CanSlice(graph, whole, batch, {sizes.front(), sizes.back()})) return {batch};
  return sizes;
}

}  // namespace octet::engine

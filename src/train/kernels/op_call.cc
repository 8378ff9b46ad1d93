// The kernel table and what kernels share.
#include "train/kernels/op_call.h"

#include <unordered_map>

#include "train/tensor_bridge.h"

namespace octet::train {

const at::Tensor& OpCall::input(size_t i) const {
  OCTET_REQUIRE(has(i), "node '{}' ({}): input {} is missing", node.name, node.op, i);
  return inputs[i];
}

std::vector<int64_t> OpCall::Ints(size_t i) const {
  const ir::ValueId id = node.input(i);
  if (id == ir::kNoValue) return {};
  if (graph.value(id).is_constant()) return graph.value(id).constant.ToVector<int64_t>();
  return CopyToTensor(input(i), DType::kS64).ToVector<int64_t>();
}

double OpCall::Scalar(size_t i, double absent) const {
  const ir::ValueId id = node.input(i);
  if (id == ir::kNoValue) return absent;
  const std::vector<double> values = graph.value(id).is_constant()
                                         ? graph.value(id).constant.ToVector<double>()
                                         : CopyToTensor(input(i), DType::kF64).ToVector<double>();
  OCTET_REQUIRE(values.size() == 1, "node '{}' ({}): input {} has {} elements; expected one", node.name, node.op, i,
                values.size());
  return values[0];
}

OpKernel FindKernel(const std::string& op) {
  static const auto* table = [] {
    auto* result = new std::unordered_map<std::string, OpKernel>;
    for (const auto& list : {ConvKernels(), ElementwiseKernels(), NormPoolKernels(), ShapeKernels(), QuantizeKernels(),
                             QuantizedKernels()}) {
      for (const NamedKernel& k : list) (*result)[k.op] = k.kernel;
    }
    return result;
  }();
  const auto it = table->find(op);
  return it == table->end() ? &RunReferenceKernel : it->second;
}

Window ReadWindow(const OpCall& call, const at::Tensor& x, const std::vector<int64_t>& kernel) {
  const size_t spatial = kernel.size();
  OCTET_REQUIRE(x.dim() == static_cast<int64_t>(spatial) + 2, "node '{}' ({}): input of rank {}; expected {}",
                call.node.name, call.node.op, x.dim(), spatial + 2);
  Window w;
  w.kernel = kernel;
  w.strides = call.IntList("strides", std::vector<int64_t>(spatial, 1));
  w.dilations = call.IntList("dilations", std::vector<int64_t>(spatial, 1));
  const std::vector<int64_t> pads = call.IntList("pads", std::vector<int64_t>(2 * spatial, 0));
  OCTET_REQUIRE(w.strides.size() == spatial && w.dilations.size() == spatial && pads.size() == 2 * spatial,
                "node '{}' ({}): strides, dilations and pads must have {}, {} and {} entries", call.node.name,
                call.node.op, spatial, spatial, 2 * spatial);
  w.begin.assign(pads.begin(), pads.begin() + spatial);
  w.end.assign(pads.begin() + spatial, pads.end());
  const std::string auto_pad = call.String("auto_pad", "NOTSET");
  if (auto_pad == "VALID") {
    w.begin.assign(spatial, 0);
    w.end.assign(spatial, 0);
  } else if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
    for (size_t i = 0; i < spatial; ++i) {
      const int64_t size = x.size(i + 2);
      const int64_t out = (size + w.strides[i] - 1) / w.strides[i];
      const int64_t reach = (w.kernel[i] - 1) * w.dilations[i] + 1;
      const int64_t total = std::max<int64_t>(0, (out - 1) * w.strides[i] + reach - size);
      w.begin[i] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      w.end[i] = total - w.begin[i];
    }
  }
  return w;
}

at::Tensor PadSpatial(const at::Tensor& x, const Window& window, double value) {
  std::vector<int64_t> pads;  // last dimension first, (begin, end) each
  for (size_t i = window.begin.size(); i-- > 0;) {
    pads.push_back(window.begin[i]);
    pads.push_back(window.end[i]);
  }
  return at::constant_pad_nd(x, pads, value);
}

at::Tensor ChannelsLast(const at::Tensor& x) {
  return x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x.contiguous();
}

}  // namespace octet::train

// What ONNX Runtime's CPU kernels like in a Q/DQ model.
#include "lint/lint.h"

namespace octet::lint {

void CheckOnnxRuntime(Context* c) {
  const ModelView& view = c->view;
  int signed_activations = 0, unsigned_weights = 0;
  std::string first_signed, first_unsigned;
  for (const onnx::RawNode& node : view.nodes()) {
    if (!IsQuantize(&node) && !(IsDequantize(&node) && view.Constant(InputOf(node, 0)) != nullptr)) continue;
    const Tensor* zero = view.Constant(InputOf(node, 2));
    if (zero == nullptr) continue;
    const bool weights = view.Weights(InputOf(node, 0)) != nullptr;
    if (!weights && zero->dtype() == DType::kS8 && signed_activations++ == 0) first_signed = node.where();
    if (weights && zero->dtype() == DType::kU8 && unsigned_weights++ == 0) first_unsigned = node.where();
  }
  if (signed_activations > 0) {
    c->Note("signed-activations", first_signed,
            fmt::format("{} activations are int8; on x86-64 ONNX Runtime is faster with uint8", signed_activations),
            "Same scale, zero point 128, uint8: the integers shift by 128 and the results stay.");
  }
  if (unsigned_weights > 0) {
    c->Warn(
        "unsigned-weights", first_unsigned,
        fmt::format("{} weights are uint8; on x86-64 without VNNI sums of uint8 products saturate", unsigned_weights),
        "Use int8 weights.");
  }
}

}  // namespace octet::lint

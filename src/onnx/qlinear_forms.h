// Operators on codes (QLinearConv, QLinearMatMul, and ONNX Runtime's QLinearAdd, QLinearConcat, ...) as what they stand
// for: DequantizeLinear in front, the float operator, QuantizeLinear behind. octet's passes then see an ordinary
// quantized network.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "onnx/opset_forms.h"

namespace octet::onnx {

bool IsQLinear(const std::string& op);

// `window`: the rule for Conv and pools (auto_pad and the like), applied to the float operator. Throws a user Error
// that names the node when scales are computed while the network runs.
std::vector<RawNode> SplitQLinear(
    const RawNode& node, const FormContext& context,
    const std::function<std::vector<RawNode>(RawNode node, const FormContext& context)>& window);

}  // namespace octet::onnx

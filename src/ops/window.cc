#include "ops/window.h"

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "ops/rules.h"

namespace octet::ops {
namespace {

std::vector<int64_t> PerAxis(const ir::Node& node, const char* key, size_t count, int64_t fallback) {
  const auto values = node.attr_ints(key, std::vector<int64_t>(count, fallback));
  if (values.empty()) return std::vector<int64_t>(count, fallback);
  OCTET_REQUIRE(values.size() == count, "{}: attribute {} has {} numbers, expected {} (one per spatial axis)",
                Label(node), key, values.size(), count);
  for (const int64_t v : values) {
    OCTET_REQUIRE(v >= fallback, "{}: attribute {} holds {}, expected at least {}", Label(node), key, v, fallback);
  }
  return values;
}

std::string AutoPad(const ir::Node& node) {
  const std::string mode = node.attr_string("auto_pad", "NOTSET");
  OCTET_REQUIRE(mode.empty() || mode == "NOTSET" || mode == "VALID" || mode == "SAME_UPPER" || mode == "SAME_LOWER",
                "{}: attribute auto_pad is '{}', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER", Label(node), mode);
  return mode.empty() ? "NOTSET" : mode;
}

Window ReadWindow(const ir::Node& node, const std::vector<int64_t>& kernel, size_t axes) {
  OCTET_REQUIRE(kernel.size() == axes, "{}: the kernel has {} sizes, expected {} (one per spatial axis)", Label(node),
                kernel.size(), axes);
  Window w;
  w.kernel = kernel;
  for (const int64_t k : kernel) OCTET_REQUIRE(k >= 1, "{}: kernel size {}, expected at least 1", Label(node), k);
  w.strides = PerAxis(node, "strides", axes, 1);
  w.dilations = PerAxis(node, "dilations", axes, 1);
  const auto pads = AutoPad(node) == "NOTSET" ? PerAxis(node, "pads", 2 * axes, 0) : std::vector<int64_t>(2 * axes, 0);
  w.begin.assign(pads.begin(), pads.begin() + axes);
  w.end.assign(pads.begin() + axes, pads.end());
  w.out.assign(axes, kDynamic);
  return w;
}

}  // namespace

Window ResolveWindow(const ir::Node& node, const Shape& in, const std::vector<int64_t>& kernel) {
  Window w = ReadWindow(node, kernel, in.size());
  const std::string auto_pad = AutoPad(node);
  const bool ceil_mode = node.attr_int("ceil_mode", 0) != 0;
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i] < 0) continue;
    const int64_t span = (w.kernel[i] - 1) * w.dilations[i] + 1;
    const int64_t stride = w.strides[i];
    if (StartsWith(auto_pad, "SAME")) {
      w.out[i] = (in[i] + stride - 1) / stride;
      const int64_t total = std::max<int64_t>((w.out[i] - 1) * stride + span - in[i], 0);
      w.begin[i] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      w.end[i] = total - w.begin[i];
      continue;
    }
    const int64_t room = in[i] + w.begin[i] + w.end[i] - span;
    OCTET_REQUIRE(room >= 0,
                  "{}: a window of {} (kernel {}, dilation {}) is larger than the input size {} with padding {}+{} on "
                  "spatial axis "
                  "{}: the image is too small for this network",
                  Label(node), span, w.kernel[i], w.dilations[i], in[i], w.begin[i], w.end[i], i);
    w.out[i] = (ceil_mode ? room + stride - 1 : room) / stride + 1;
    // A window that would start in the padding behind the input is dropped.
    if (ceil_mode && (w.out[i] - 1) * stride >= in[i] + w.begin[i]) --w.out[i];
  }
  return w;
}

Window ResolveTransposedWindow(const ir::Node& node, const Shape& in, const std::vector<int64_t>& kernel) {
  Window w = ReadWindow(node, kernel, in.size());
  const std::string auto_pad = AutoPad(node);
  const auto output_padding = PerAxis(node, "output_padding", in.size(), 0);
  auto wanted = node.attr_ints("output_shape", {});
  if (wanted.size() == in.size() + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);
  OCTET_REQUIRE(wanted.empty() || wanted.size() == in.size(),
                "{}: attribute output_shape has {} numbers, expected {} (one per spatial axis)", Label(node),
                wanted.size(), in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i] < 0) continue;
    const int64_t span = (w.kernel[i] - 1) * w.dilations[i] + 1;
    const int64_t full = w.strides[i] * (in[i] - 1) + output_padding[i] + span;
    if (!wanted.empty() || StartsWith(auto_pad, "SAME")) {
      w.out[i] = wanted.empty() ? in[i] * w.strides[i] : wanted[i];
      const int64_t total = std::max<int64_t>(full - w.out[i], 0);
      w.begin[i] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      w.end[i] = total - w.begin[i];
    } else {
      w.out[i] = full - w.begin[i] - w.end[i];
    }
    OCTET_REQUIRE(w.out[i] > 0, "{}: output size {} on spatial axis {}: padding {}+{} is larger than {}", Label(node),
                  w.out[i], i, w.begin[i], w.end[i], full);
  }
  return w;
}

Window3 ToWindow3(const Window& w, const Shape& in) {
  OCTET_CHECK(in.size() <= 3 && Known(in), "spatial shape {}", octet::ToString(in));
  Window3 r{};
  const size_t lead = 3 - in.size();
  for (size_t a = 0; a < 3; ++a) {
    const bool real = a >= lead;
    const size_t i = a - lead;
    r.in[a] = real ? in[i] : 1;
    r.out[a] = real ? w.out[i] : 1;
    r.kernel[a] = real ? w.kernel[i] : 1;
    r.stride[a] = real ? w.strides[i] : 1;
    r.dilation[a] = real ? w.dilations[i] : 1;
    r.begin[a] = real ? w.begin[i] : 0;
    r.end[a] = real ? w.end[i] : 0;
  }
  return r;
}

Range InsideRange(int64_t in, int64_t out, int64_t stride, int64_t offset) {
  // o*stride + offset >= 0  and  o*stride + offset <= in - 1
  const int64_t first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const int64_t room = in - 1 - offset;
  const int64_t last = room < 0 ? 0 : room / stride + 1;
  return {std::min(first, out), std::max(std::min(last, out), std::min(first, out))};
}

}  // namespace octet::ops

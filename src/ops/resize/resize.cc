// Definition of Resize: sizes and coordinates.
#include "ops/resize/resize.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace octet::ops {
namespace {

using ir::InputRole;

// The axes that scales / sizes / roi speak of.
std::vector<int64_t> ResizedAxes(const Node& node, size_t rank) {
  std::vector<int64_t> axes = node.attr_ints("axes", {});
  if (axes.empty()) {
    for (size_t a = 0; a < rank; ++a) axes.push_back(static_cast<int64_t>(a));
  }
  for (int64_t& a : axes) a = NormalAxis(node, a, static_cast<int64_t>(rank));
  return axes;
}

void CheckModes(const Node& node) {
  const auto check = [&](const char* key, const char* fallback, std::initializer_list<const char*> allowed) {
    const std::string value = node.attr_string(key, fallback);
    std::string list;
    for (const char* a : allowed) {
      if (value == a) return;
      list += (list.empty() ? "" : ", ") + std::string(a);
    }
    OCTET_FAIL("{}: attribute {} is '{}', expected one of {}", Label(node), key, value, list);
  };
  check("mode", "nearest", {"nearest", "linear", "cubic"});
  check("coordinate_transformation_mode", "half_pixel",
        {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
         "tf_half_pixel_for_nn", "tf_crop_and_resize"});
  check("nearest_mode", "round_prefer_floor", {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"});
  check("keep_aspect_ratio_policy", "stretch", {"stretch", "not_larger", "not_smaller"});
}

bool IsEmpty(const Inputs& inputs, size_t i) {
  return !Has(inputs, i) || NumElements(inputs[i]->type.shape) == 0;
}

// An unknown size stays unknown when its scale is 1 or the size given, else the size given.
Types InferResize(const Node& node, const Inputs& inputs) {
  CheckModes(node);
  const Shape& in = ShapeAt(node, inputs, 0);
  const bool by_scales = !IsEmpty(inputs, 2), by_sizes = !IsEmpty(inputs, 3);
  OCTET_REQUIRE(by_scales != by_sizes, "{}: expected either scales or sizes", Label(node));
  std::vector<float> scales;
  std::vector<int64_t> sizes;
  if (by_sizes) {
    sizes = RequireConstInts(node, inputs, 3, "sizes");
  } else {
    RequireConstInts(node, inputs, 2, "scales");
    scales = *ConstFloats(inputs, 2);
  }
  // Resolve with a stand-in for what is unknown, then put the unknown back.
  Shape concrete = in;
  const std::vector<int64_t> axes = ResizedAxes(node, in.size());
  for (size_t a = 0; a < in.size(); ++a) {
    if (in[a] >= 0) continue;
    concrete[a] = 1;
    for (size_t i = 0; i < axes.size() && i < sizes.size(); ++i) {
      if (axes[i] == static_cast<int64_t>(a)) concrete[a] = sizes[i];
    }
  }
  const std::vector<ResizeAxis> resolved = ResolveResize(node, concrete, {}, scales, sizes);
  Shape out;
  for (size_t a = 0; a < in.size(); ++a) {
    out.push_back(in[a] < 0 && by_scales ? kDynamic : resolved[a].out);
  }
  return One(inputs[0]->type.dtype, out);
}

// Spatial resizing. `sizes` must list every axis, so that its element 1 is the number of channels.
ir::ChannelFlow ResizeFlow(const Node& node, const Inputs& inputs) {
  const Shape& in = ShapeAt(node, inputs, 0);
  const Shape out = InferResize(node, inputs)[0].shape;
  const bool spatial = in.size() > 2 && out[0] == in[0] && out[1] == in[1] &&
                       (IsEmpty(inputs, 3) || node.attr_ints("axes", {}).empty()) &&
                       node.attr_string("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize";
  return spatial ? ir::ChannelFlow::kThrough : ir::ChannelFlow::kBarrier;
}

}  // namespace

std::vector<ResizeAxis> ResolveResize(const Node& node, const Shape& shape, const std::vector<float>& roi,
                                      const std::vector<float>& scales, const std::vector<int64_t>& sizes) {
  const std::vector<int64_t> axes = ResizedAxes(node, shape.size());
  const size_t given = scales.empty() ? sizes.size() : scales.size();
  OCTET_REQUIRE(given == axes.size(), "{}: {} {} for {} axes", Label(node), given, scales.empty() ? "sizes" : "scales",
                axes.size());
  std::vector<ResizeAxis> out;
  for (const int64_t d : shape) out.push_back({d, d, 1.0});
  const bool crop = node.attr_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize";
  OCTET_REQUIRE(!crop || roi.empty() || roi.size() == 2 * axes.size(), "{}: roi has {} numbers, expected {}",
                Label(node), roi.size(), 2 * axes.size());
  const std::string policy = node.attr_string("keep_aspect_ratio_policy", "stretch");
  double common = 0;
  for (size_t i = 0; i < axes.size() && scales.empty(); ++i) {
    const double scale = static_cast<double>(sizes[i]) / static_cast<double>(shape[axes[i]]);
    common = i == 0 ? scale : (policy == "not_larger" ? std::min(common, scale) : std::max(common, scale));
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    ResizeAxis& a = out[axes[i]];
    if (!scales.empty()) {
      OCTET_REQUIRE(scales[i] > 0 && scales[i] <= 0x1p20f, "{}: scale {} on axis {}", Label(node), scales[i], axes[i]);
      a.scale = scales[i];
      a.out = static_cast<int64_t>(std::floor(static_cast<double>(a.in) * a.scale));
    } else if (policy == "stretch") {
      OCTET_REQUIRE(sizes[i] > 0, "{}: size {} on axis {}", Label(node), sizes[i], axes[i]);
      a.out = sizes[i];
      a.scale = static_cast<double>(a.out) / static_cast<double>(a.in);
    } else {
      a.scale = common;
      a.out = static_cast<int64_t>(std::floor(common * static_cast<double>(a.in) + 0.5));
    }
    if (crop && !roi.empty()) {
      a.roi_begin = roi[i];
      a.roi_end = roi[axes.size() + i];
    }
  }
  return out;
}

double SourcePosition(const std::string& mode, const ResizeAxis& a, int64_t at) {
  const double x = static_cast<double>(at), in = static_cast<double>(a.in), out = static_cast<double>(a.out);
  if (mode == "align_corners") {
    // The length is the unrounded one, as the ONNX reference has it.
    const double length = in * a.scale;
    return a.out == 1 ? 0 : x * (in - 1) / (length - 1);
  }
  if (mode == "asymmetric") return x / a.scale;
  if (mode == "tf_half_pixel_for_nn") return (x + 0.5) / a.scale;
  if (mode == "tf_crop_and_resize") {
    if (a.out == 1) return 0.5 * (a.roi_begin + a.roi_end) * (in - 1);
    return a.roi_begin * (in - 1) + x * (a.roi_end - a.roi_begin) * (in - 1) / (out - 1);
  }
  if (mode == "pytorch_half_pixel" && a.out == 1) return -0.5;
  if (mode == "half_pixel_symmetric") {
    const double offset = in / 2 * (1 - out / (in * a.scale));
    return offset + (x + 0.5) / a.scale - 0.5;
  }
  return (x + 0.5) / a.scale - 0.5;
}

int64_t NearestIndex(const std::string& mode, double x, int64_t in) {
  double index = 0;
  if (mode == "floor")
    index = std::floor(x);
  else if (mode == "ceil")
    index = std::ceil(x);
  else if (mode == "round_prefer_ceil")
    index = std::floor(x + 0.5);
  else
    index = std::ceil(x - 0.5);
  return std::max<int64_t>(0, std::min(static_cast<int64_t>(index), in - 1));
}

void InstallResize() {
  OpDef def;
  def.name = "Resize";
  def.max_inputs = 4;
  def.roles = {InputRole::kData, InputRole::kConst};
  def.attrs = {Int("antialias", 0),
               Ints("axes"),
               String("coordinate_transformation_mode", "half_pixel"),
               Float("cubic_coeff_a", -0.75f),
               Int("exclude_outside", 0),
               Float("extrapolation_value", 0),
               String("keep_aspect_ratio_policy", "stretch"),
               String("mode", "nearest"),
               String("nearest_mode", "round_prefer_floor")};
  def.quant.commutes = true;
  def.quant.commutes_when = [](const Node& node) {
    return node.attr_string("mode", "nearest") == "nearest" &&
           node.attr_string("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize";
  };
  def.prune.flow = ResizeFlow;
  def.prune.shape_input = 3;
  def.infer = InferResize;
  def.reference = ResizeReference;
  ir::RegisterOp(def);
}

}  // namespace octet::ops

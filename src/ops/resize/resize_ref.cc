// Nearest is an index map; linear and cubic are weighted taps, one axis after the other in double.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/copy.h"
#include "ops/dispatch.h"
#include "ops/resize/resize.h"

namespace octet::ops {
namespace {

double Triangle(double x) {
  return std::max(0.0, 1.0 - std::fabs(x));
}

// Keys' cubic convolution kernel with parameter a.
double Cubic(double x, double a) {
  x = std::fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

std::string CoordinateMode(const Node& node) {
  return node.attr_string("coordinate_transformation_mode", "half_pixel");
}

bool Outside(const Node& node, const ResizeAxis& axis, double position) {
  return CoordinateMode(node) == "tf_crop_and_resize" && (position < 0 || position > static_cast<double>(axis.in - 1));
}

bool Untouched(const Node& node, const ResizeAxis& a) {
  return a.in == a.out && a.scale == 1.0 &&
         (CoordinateMode(node) != "tf_crop_and_resize" || (a.roi_begin == 0 && a.roi_end == 1));
}

// x with `axis` replaced by weighted sums; where a list of taps is empty, `fill`.
std::vector<double> ApplyTaps(const std::vector<double>& x, const Shape& shape, size_t axis,
                              const std::vector<std::vector<ResizeTap>>& taps, double fill) {
  const int64_t outer = Product(shape, 0, axis), in = shape[axis], inner = Product(shape, axis + 1, shape.size());
  const auto out = static_cast<int64_t>(taps.size());
  std::vector<double> y(static_cast<size_t>(outer * out * inner), 0.0);
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < out; ++i) {
      double* to = y.data() + (o * out + i) * inner;
      if (taps[i].empty()) std::fill(to, to + inner, fill);
      for (const ResizeTap& tap : taps[i]) {
        const double* from = x.data() + (o * in + tap.index) * inner;
        for (int64_t k = 0; k < inner; ++k) to[k] += tap.weight * from[k];
      }
    }
  }
  return y;
}

Tensor Nearest(const Node& node, const Tensor& x, const std::vector<ResizeAxis>& axes) {
  const std::string mode = CoordinateMode(node), nearest = node.attr_string("nearest_mode", "round_prefer_floor");
  std::vector<std::vector<int64_t>> map(axes.size());
  for (size_t a = 0; a < axes.size(); ++a) {
    for (int64_t i = 0; i < axes[a].out; ++i) {
      const double position = Untouched(node, axes[a]) ? static_cast<double>(i) : SourcePosition(mode, axes[a], i);
      map[a].push_back(Outside(node, axes[a], position) ? -1 : NearestIndex(nearest, position, axes[a].in));
    }
  }
  Tensor fill(x.dtype(), {});
  const float value = node.attr_float("extrapolation_value", 0);
  DispatchNumeric(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    fill.mutable_data<T>()[0] = static_cast<T>(value);
  });
  return MapAxes(x, map, fill);
}

}  // namespace

std::vector<std::vector<ResizeTap>> ResizeTaps(const Node& node, const ResizeAxis& axis) {
  const std::string mode = CoordinateMode(node);
  const bool cubic = node.attr_string("mode", "nearest") == "cubic";
  const double a = node.attr_float("cubic_coeff_a", -0.75f);
  const bool antialias = node.attr_int("antialias", 0) != 0, exclude = node.attr_int("exclude_outside", 0) != 0;
  // Antialiasing widens the kernel when the image shrinks.
  const double width = antialias ? std::min(1.0, axis.scale) : 1.0;
  const auto reach = static_cast<int64_t>(std::ceil((cubic ? 2 : 1) / width));
  std::vector<std::vector<ResizeTap>> taps(static_cast<size_t>(axis.out));
  for (int64_t i = 0; i < axis.out; ++i) {
    const double position = SourcePosition(mode, axis, i);
    if (Outside(node, axis, position)) continue;
    const auto center = static_cast<int64_t>(std::floor(position));
    double sum = 0;
    for (int64_t k = center - reach; k <= center + reach + 1; ++k) {
      const double d = (static_cast<double>(k) - position) * width;
      const double weight = cubic ? Cubic(d, a) : Triangle(d);
      if (weight == 0 || (exclude && (k < 0 || k >= axis.in))) continue;
      taps[i].push_back({std::max<int64_t>(0, std::min(k, axis.in - 1)), weight});
      sum += weight;
    }
    if (antialias || exclude) {
      for (ResizeTap& tap : taps[i]) tap.weight /= sum;
    }
  }
  return taps;
}

Tensors ResizeReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  TypesOf(node, inputs);  // checks the attributes
  const auto floats = [&](size_t i) { return Has(inputs, i) ? inputs[i].ToVector<float>() : std::vector<float>(); };
  const auto sizes = Has(inputs, 3) ? inputs[3].ToVector<int64_t>() : std::vector<int64_t>();
  const std::vector<ResizeAxis> axes = ResolveResize(node, x.shape(), floats(1), floats(2), sizes);
  if (node.attr_string("mode", "nearest") == "nearest") return {Nearest(node, x, axes)};
  std::vector<double> values = x.ToVector<double>();
  Shape shape = x.shape();
  for (size_t a = 0; a < axes.size(); ++a) {
    if (Untouched(node, axes[a])) continue;
    values = ApplyTaps(values, shape, a, ResizeTaps(node, axes[a]), node.attr_float("extrapolation_value", 0));
    shape[a] = axes[a].out;
  }
  Tensor y(x.dtype(), shape);
  DispatchNumeric(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = y.mutable_data<T>();
    for (int64_t i = 0; i < y.size(); ++i) to[i] = static_cast<T>(values[i]);
  });
  return {y};
}

}  // namespace octet::ops

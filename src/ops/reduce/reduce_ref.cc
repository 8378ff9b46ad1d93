// Every input element is folded into its output element. Floating-point sums in double, integer sums in s64.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "ops/copy.h"
#include "ops/dispatch.h"
#include "ops/reduce/reduce.h"

namespace octet::ops {
namespace {

// The output element of each input element, in row-major order of the input.
std::vector<int64_t> Targets(const Shape& in, const std::vector<int64_t>& axes) {
  Shape kept = in;
  for (const int64_t a : axes) kept[a] = 1;
  std::vector<int64_t> strides = RowMajorStrides(kept);
  for (const int64_t a : axes) strides[a] = 0;
  std::vector<int64_t> targets(static_cast<size_t>(NumElements(in)));
  std::vector<int64_t> index(in.size(), 0);
  int64_t at = 0;
  for (int64_t& target : targets) {
    target = at;
    for (size_t a = in.size(); a-- > 0;) {
      at += strides[a];
      if (++index[a] < in[a]) break;
      at -= strides[a] * in[a];
      index[a] = 0;
    }
  }
  return targets;
}

template <typename A>
struct Fold {
  A start;
  A (*step)(A, A);
};

// A: the type that sums are kept in; limits are those of the element type T.
template <typename A, typename T>
Fold<A> FoldOf(const std::string& op) {
  if (op == "ReduceMax") {
    const A lowest =
        std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
    return {lowest, [](A a, A b) { return std::max(a, b); }};
  }
  if (op == "ReduceMin") {
    const A highest = std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
    return {highest, [](A a, A b) { return std::min(a, b); }};
  }
  if (op == "ReduceProd") return {A(1), [](A a, A b) { return a * b; }};
  if (op == "ReduceSumSquare" || op == "ReduceL2") return {A(0), [](A a, A b) { return a + b * b; }};
  if (op == "ReduceL1") return {A(0), [](A a, A b) { return a + (b < A(0) ? -b : b); }};
  return {A(0), [](A a, A b) { return a + b; }};
}

template <typename T>
void Reduce(const Node& node, const Tensor& x, const std::vector<int64_t>& targets, Tensor* y) {
  using A = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
  const Fold<A> fold = FoldOf<A, T>(node.op);
  std::vector<A> sums(static_cast<size_t>(y->size()), fold.start);
  const T* from = x.data<T>();
  for (size_t i = 0; i < targets.size(); ++i) sums[targets[i]] = fold.step(sums[targets[i]], static_cast<A>(from[i]));
  T* to = y->mutable_data<T>();
  const A count = static_cast<A>(y->size() == 0 ? 1 : std::max<int64_t>(1, x.size() / y->size()));
  for (int64_t i = 0; i < y->size(); ++i) {
    A v = sums[i];
    if (node.op == "ReduceMean") v = v / count;
    if (node.op == "ReduceL2") v = static_cast<A>(std::sqrt(static_cast<double>(v)));
    to[i] = static_cast<T>(v);
  }
}

}  // namespace

Tensors ReduceReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  const auto axes_input = Has(inputs, 1) ? inputs[1].ToVector<int64_t>() : std::vector<int64_t>();
  const std::vector<int64_t> axes = ReducedAxes(node, x.shape().size(), axes_input);
  // An empty list that means "no axes": nothing is combined, but each element still goes through the operator.
  const std::vector<int64_t> targets = Targets(x.shape(), axes);
  Tensor y = NewOutput(node, inputs);
  DispatchAny(x.dtype(), [&](auto tag) { Reduce<typename decltype(tag)::type>(node, x, targets, &y); });
  return {y};
}

Tensors ArgReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  Tensor y = NewOutput(node, inputs);
  const auto axis = static_cast<size_t>(NormalAxis(node, node.attr_int("axis", 0), x.rank()));
  const int64_t outer = Product(x.shape(), 0, axis), size = x.shape()[axis];
  const int64_t inner = Product(x.shape(), axis + 1, x.shape().size());
  const bool last = node.attr_int("select_last_index", 0) != 0, largest = node.op == "ArgMax";
  OCTET_REQUIRE(size > 0, "{}: axis {} is empty", Label(node), axis);
  int64_t* to = y.mutable_data<int64_t>();
  DispatchNumeric(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        const T* from = x.data<T>() + o * size * inner + i;
        int64_t best = 0;
        for (int64_t k = 1; k < size; ++k) {
          const T v = from[k * inner], b = from[best * inner];
          if (largest ? v > b : v < b) best = k;
          if (last && v == b) best = k;
        }
        to[o * inner + i] = best;
      }
    }
  });
  return {y};
}

Tensors CumSumReference(const Node& node, const Tensors& inputs) {
  const Tensor& x = inputs[0];
  Tensor y = NewOutput(node, inputs);
  const auto axis = static_cast<size_t>(CumSumAxis(node, x.shape().size(), inputs[1].ToVector<int64_t>()));
  const int64_t outer = Product(x.shape(), 0, axis), size = x.shape()[axis];
  const int64_t inner = Product(x.shape(), axis + 1, x.shape().size());
  const bool exclusive = node.attr_int("exclusive", 0) != 0, reverse = node.attr_int("reverse", 0) != 0;
  DispatchNumeric(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        A sum = 0;
        for (int64_t k = 0; k < size; ++k) {
          const int64_t at = (o * size + (reverse ? size - 1 - k : k)) * inner + i;
          const A with = sum + static_cast<A>(from[at]);
          to[at] = static_cast<T>(exclusive ? sum : with);
          sum = with;
        }
      }
    }
  });
  return {y};
}

}  // namespace octet::ops

// Dense row-major tensors that share storage. Copying is cheap; writing clones storage that others share, so a
// Tensor behaves as a value. Layout meaning (NCHW, OIHW) belongs to the operator that reads it, as in ONNX.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace octet {

enum class DType : uint8_t { kF32, kF64, kS8, kU8, kS32, kS64, kBool };

size_t SizeOf(DType dtype);                  // bytes of one element
std::string_view NameOf(DType dtype);        // "f32", "s8", ...
DType DTypeFromName(std::string_view name);  // throws Error(kUser) on an unknown name

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<int8_t> {
  static constexpr DType value = DType::kS8;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::kU8;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kS32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kS64;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::kBool;
};

using Shape = std::vector<int64_t>;

int64_t NumElements(const Shape& shape);   // product; 1 for rank 0. Throws Error(kUser) beyond 2^42
std::string ToString(const Shape& shape);  // "[1,3,224,224]"; a dynamic size (-1) prints as "N"

class Tensor {
 public:
  Tensor() = default;                // undefined
  Tensor(DType dtype, Shape shape);  // zero-filled
  // The elements lie at `data`, aligned for their type, which lives as long as `owner`. Never written: a change copies.
  static Tensor Alias(DType dtype, Shape shape, const void* data, const std::shared_ptr<const void>& owner);

  template <typename T>
  static Tensor From(Shape shape, const std::vector<T>& values) {
    Tensor t(DTypeOf<T>::value, std::move(shape));
    OCTET_CHECK(static_cast<int64_t>(values.size()) == t.size(), "{} values for shape {}", values.size(),
                ToString(t.shape()));
    T* to = t.mutable_data<T>();
    for (size_t i = 0; i < values.size(); ++i) to[i] = values[i];
    return t;
  }
  template <typename T>
  static Tensor Scalar(T value) {
    Tensor t(DTypeOf<T>::value, {});
    t.mutable_data<T>()[0] = value;
    return t;
  }

  bool defined() const { return storage_ != nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return static_cast<int>(shape_.size()); }
  int64_t dim(int i) const { return shape_.at(i < 0 ? i + shape_.size() : i); }
  int64_t size() const { return NumElements(shape_); }
  size_t bytes() const { return static_cast<size_t>(size()) * SizeOf(dtype_); }

  const void* raw() const { return storage_ ? storage_.get() : nullptr; }
  void* mutable_raw();  // clones when the storage is shared, or an alias

  template <typename T>
  const T* data() const {
    OCTET_CHECK(DTypeOf<T>::value == dtype_, "tensor is {}", NameOf(dtype_));
    return static_cast<const T*>(raw());
  }
  template <typename T>
  T* mutable_data() {
    OCTET_CHECK(DTypeOf<T>::value == dtype_, "tensor is {}", NameOf(dtype_));
    return static_cast<T*>(mutable_raw());
  }
  // The elements converted to T, whatever the dtype; floats beyond an integer become its nearest value, NaN 0.
  template <typename T>
  std::vector<T> ToVector() const;

  Tensor Reshaped(Shape shape) const;  // same storage, same number of elements

  // Same dtype, shape and bytes (NaN equals the same NaN bits).
  friend bool operator==(const Tensor& a, const Tensor& b);
  friend bool operator!=(const Tensor& a, const Tensor& b) { return !(a == b); }

 private:
  DType dtype_ = DType::kF32;
  Shape shape_;
  std::shared_ptr<std::byte> storage_;
  bool alias_ = false;
};

}  // namespace octet

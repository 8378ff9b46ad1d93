#include "tensor/tensor.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>

namespace octet {
namespace {

constexpr std::align_val_t kAlignment{64};

std::shared_ptr<std::byte> Allocate(size_t bytes) {
  auto* memory = static_cast<std::byte*>(::operator new(bytes == 0 ? 1 : bytes, kAlignment));
  return {memory, [](std::byte* p) { ::operator delete(p, kAlignment); }};
}

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  size_t size;
};
constexpr DTypeInfo kDTypes[] = {
    {DType::kF32, "f32", 4}, {DType::kF64, "f64", 8}, {DType::kS8, "s8", 1},     {DType::kU8, "u8", 1},
    {DType::kS32, "s32", 4}, {DType::kS64, "s64", 8}, {DType::kBool, "bool", 1},
};

}  // namespace

size_t SizeOf(DType dtype) {
  return kDTypes[static_cast<int>(dtype)].size;
}
std::string_view NameOf(DType dtype) {
  return kDTypes[static_cast<int>(dtype)].name;
}

DType DTypeFromName(std::string_view name) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.name == name) return info.dtype;
  }
  OCTET_FAIL("unknown element type '{}'; expected one of f32 f64 s8 u8 s32 s64 bool", name);
}

int64_t NumElements(const Shape& shape) {
  int64_t n = 1, without_zeros = 1;
  for (const int64_t d : shape) {
    // Sizes come from files. Below 2^42, bytes still count in 64 bits, and so do the size of a part of the axes and
    // its product with a stride or a kernel.
    const int64_t factor = d == 0 ? 1 : d;
    OCTET_REQUIRE(!__builtin_mul_overflow(without_zeros, factor, &without_zeros) &&
                      without_zeros < (int64_t{1} << 42) && without_zeros > -(int64_t{1} << 42),
                  "a tensor of shape {} is too large", ToString(shape));
    n *= d;
  }
  return n;
}

std::string ToString(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ',';
    text += shape[i] < 0 ? "N" : std::to_string(shape[i]);
  }
  return text + "]";
}

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(std::move(shape)) {
  OCTET_CHECK(NumElements(shape_) >= 0, "shape {} is not known", ToString(shape_));
  storage_ = Allocate(bytes());
  std::memset(storage_.get(), 0, bytes());
}

Tensor Tensor::Alias(DType dtype, Shape shape, const void* data, const std::shared_ptr<const void>& owner) {
  OCTET_CHECK(NumElements(shape) >= 0, "shape {} is not known", ToString(shape));
  OCTET_CHECK(reinterpret_cast<uintptr_t>(data) % SizeOf(dtype) == 0, "{} elements at an odd address", NameOf(dtype));
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.shape_ = std::move(shape);
  const auto shared = std::const_pointer_cast<void>(owner);
  tensor.storage_ = std::shared_ptr<std::byte>(shared, static_cast<std::byte*>(const_cast<void*>(data)));
  tensor.alias_ = true;
  return tensor;
}

void* Tensor::mutable_raw() {
  OCTET_CHECK(defined(), "undefined tensor");
  if (alias_ || storage_.use_count() > 1) {
    auto copy = Allocate(bytes());
    std::memcpy(copy.get(), storage_.get(), bytes());
    storage_ = std::move(copy);
    alias_ = false;
  }
  return storage_.get();
}

namespace {

// C++ says nothing about a float that its integer cannot hold: here it becomes the nearest one, and NaN 0.
template <typename To, typename From>
To Convert(From value) {
  if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if (!(value == value)) return 0;
    if (value >= -static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::max();
    if (value < static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  }
  return static_cast<To>(value);
}

}  // namespace

template <typename T>
std::vector<T> Tensor::ToVector() const {
  std::vector<T> out(static_cast<size_t>(size()));
  const auto fill = [&](const auto* from) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = Convert<T>(from[i]);
  };
  switch (dtype_) {
    case DType::kF32: fill(data<float>()); break;
    case DType::kF64: fill(data<double>()); break;
    case DType::kS8: fill(data<int8_t>()); break;
    case DType::kU8: fill(data<uint8_t>()); break;
    case DType::kS32: fill(data<int32_t>()); break;
    case DType::kS64: fill(data<int64_t>()); break;
    case DType::kBool: fill(data<bool>()); break;
  }
  return out;
}
template std::vector<float> Tensor::ToVector<float>() const;
template std::vector<double> Tensor::ToVector<double>() const;
template std::vector<int8_t> Tensor::ToVector<int8_t>() const;
template std::vector<int32_t> Tensor::ToVector<int32_t>() const;
template std::vector<int64_t> Tensor::ToVector<int64_t>() const;

Tensor Tensor::Reshaped(Shape shape) const {
  OCTET_CHECK(NumElements(shape) == size(), "cannot reshape {} to {}", ToString(shape_), ToString(shape));
  Tensor out = *this;
  out.shape_ = std::move(shape);
  return out;
}

bool operator==(const Tensor& a, const Tensor& b) {
  if (a.defined() != b.defined()) return false;
  if (!a.defined()) return true;
  return a.dtype_ == b.dtype_ && a.shape_ == b.shape_ &&
         (a.storage_ == b.storage_ || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

}  // namespace octet

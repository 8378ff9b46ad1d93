// Calls a generic lambda with the C++ type of a tensor's elements.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace octet::ops {

template <typename T>
struct TypeTag {
  using type = T;
};

// f(TypeTag<T>()) for the numeric type `dtype`; bool is not numeric.
template <typename F>
void DispatchNumeric(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32: f(TypeTag<float>()); return;
    case DType::kF64: f(TypeTag<double>()); return;
    case DType::kS8: f(TypeTag<int8_t>()); return;
    case DType::kU8: f(TypeTag<uint8_t>()); return;
    case DType::kS32: f(TypeTag<int32_t>()); return;
    case DType::kS64: f(TypeTag<int64_t>()); return;
    case DType::kBool: break;
  }
  OCTET_FAIL("arithmetic on element type bool is not defined");
}

template <typename F>
void DispatchAny(DType dtype, F&& f) {
  if (dtype == DType::kBool) {
    f(TypeTag<bool>());
  } else {
    DispatchNumeric(dtype, f);
  }
}

template <typename F>
void DispatchFloat(DType dtype, F&& f) {
  if (dtype == DType::kF64) {
    f(TypeTag<double>());
  } else {
    OCTET_REQUIRE(dtype == DType::kF32, "this operator needs element type f32, found {}", NameOf(dtype));
    f(TypeTag<float>());
  }
}

}  // namespace octet::ops

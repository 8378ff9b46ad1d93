#include "train/tensor_bridge.h"

#include <torch/torch.h>

#include <cstring>

namespace octet::train {
namespace {

at::ScalarType TorchType(DType dtype) {
  switch (dtype) {
    case DType::kF32: return at::kFloat;
    case DType::kF64: return at::kDouble;
    case DType::kS8: return at::kChar;
    case DType::kU8: return at::kByte;
    case DType::kS32: return at::kInt;
    case DType::kS64: return at::kLong;
    case DType::kBool: return at::kBool;
  }
  OCTET_CHECK(false, "dtype {}", static_cast<int>(dtype));
}

DType TypeOf(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kDouble: return DType::kF64;
    case at::kChar: return DType::kS8;
    case at::kByte: return DType::kU8;
    case at::kInt: return DType::kS32;
    case at::kLong: return DType::kS64;
    case at::kBool: return DType::kBool;
    default: return DType::kF32;
  }
}

}  // namespace

at::Tensor ViewAsTorch(const Tensor& tensor) {
  OCTET_CHECK(tensor.defined(), "undefined tensor");
  if (tensor.size() == 0) return at::empty(tensor.shape(), TorchType(tensor.dtype()));
  // The capture keeps the storage alive.
  return at::from_blob(
      const_cast<void*>(tensor.raw()), tensor.shape(), [tensor](void*) {},
      at::TensorOptions().dtype(TorchType(tensor.dtype())));
}

Tensor CopyToTensor(const at::Tensor& tensor, DType dtype) {
  OCTET_CHECK(tensor.defined(), "undefined tensor");
  at::Tensor source = tensor.detach();
  const at::ScalarType wanted = TorchType(dtype);
  if (source.scalar_type() != wanted) {
    if (source.is_floating_point() && !at::isFloatingType(wanted)) source = source.round();
    source = source.to(wanted);
  }
  source = source.to(at::kCPU).contiguous();
  Tensor result(dtype, source.sizes().vec());
  if (result.bytes() != 0) std::memcpy(result.mutable_raw(), source.data_ptr(), result.bytes());
  return result;
}

Tensor CopyToTensor(const at::Tensor& tensor) {
  return CopyToTensor(tensor, TypeOf(tensor));
}

}  // namespace octet::train

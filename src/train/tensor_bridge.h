// octet::Tensor <-> at::Tensor, at the edge of train/. A file that calls these includes <torch/torch.h> itself.
#pragma once

#include "tensor/tensor.h"

namespace at {
class Tensor;
}

namespace octet::train {

// Shares the storage of `tensor` (which stays alive as long as the result). s8 and u8 keep their type. Read only.
at::Tensor ViewAsTorch(const Tensor& tensor);

// A contiguous copy in main memory; bf16/f16 become f32.
Tensor CopyToTensor(const at::Tensor& tensor);

// The same, rounded to nearest even and converted to `dtype`.
Tensor CopyToTensor(const at::Tensor& tensor, DType dtype);

}  // namespace octet::train

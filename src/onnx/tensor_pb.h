// TensorProto <-> Tensor. Included by *_pb.cc only.
#pragma once

#include <onnx/onnx_pb.h>

#include <string>

#include "tensor/tensor.h"

namespace octet::onnx {

// `where` starts messages; external data is looked up in `folder`.
Tensor TensorFromProto(const ::onnx::TensorProto& proto, const std::string& where, const std::string& folder);

// As raw_data.
void TensorToProto(const Tensor& tensor, const std::string& name, ::onnx::TensorProto* proto);

}  // namespace octet::onnx

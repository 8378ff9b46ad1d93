// The inference libraries that octet lint knows, and what follows from their version.
#pragma once

#include <string>

namespace octet::lint {

struct Target {
  enum class Kind { kTensorRt, kDla, kOnnxRuntime };
  Kind kind = Kind::kTensorRt;
  std::string name;  // as given: "trt-10.3", "dla-orin"
  int major = 0;     // of TensorRT; 0 where it does not matter
  int minor = 0;
  bool xavier = false;  // the older DLA
  bool is_tensorrt() const { return kind == Kind::kTensorRt; }
  bool is_dla() const { return kind == Kind::kDla; }
  // TensorRT 11 removed calibration: Q/DQ nodes are all it reads.
  bool reads_caches() const { return is_dla() || (is_tensorrt() && major < 11); }
};

// "trt-8.6", "trt-10.3", "trt-11", "dla-orin", "dla-xavier", "ort". Throws a user Error with the list on anything else.
Target ParseTarget(const std::string& name);

}  // namespace octet::lint

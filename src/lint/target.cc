#include "lint/target.h"

#include <cstdio>

#include "base/error.h"
#include "base/strings.h"

namespace octet::lint {

Target ParseTarget(const std::string& name) {
  Target target;
  target.name = name;
  if (name == "ort") {
    target.kind = Target::Kind::kOnnxRuntime;
    return target;
  }
  if (name == "dla-orin" || name == "dla-xavier") {
    target.kind = Target::Kind::kDla;
    target.xavier = name == "dla-xavier";
    target.major = 8;
    target.minor = 6;
    return target;
  }
  int end = 0;
  const int fields = std::sscanf(name.c_str(), "trt-%2d.%2d%n", &target.major, &target.minor, &end);
  const bool whole =
      fields == 2 ? end == static_cast<int>(name.size()) : fields == 1 && name == "trt-" + std::to_string(target.major);
  OCTET_REQUIRE(whole && target.major >= 8 && target.major <= 12 && target.minor >= 0,
                "--target {}: expected trt-8.6, trt-10.3, trt-11 (any TensorRT from 8.0), dla-orin, dla-xavier or ort",
                name);
  return target;
}

}  // namespace octet::lint

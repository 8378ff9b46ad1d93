#include "ops/install.h"

#include <mutex>

#include "ops/activation/activation.h"
#include "ops/conv/conv.h"
#include "ops/detection/detection.h"
#include "ops/elementwise/elementwise.h"
#include "ops/gemm/gemm.h"
#include "ops/layout/layout.h"
#include "ops/norm/norm.h"
#include "ops/pool/pool.h"
#include "ops/quantize/quantize_linear.h"
#include "ops/quantized/quantized.h"
#include "ops/reduce/reduce.h"
#include "ops/resize/resize.h"
#include "ops/select/select.h"
#include "ops/shape/shape.h"

namespace octet::ops {

void InstallOps() {
  static std::once_flag once;
  std::call_once(once, [] {
    InstallConv();
    InstallNorm();
    InstallActivation();
    InstallElementwise();
    InstallPool();
    InstallGemm();
    InstallShape();
    InstallSelect();
    InstallLayout();
    InstallReduce();
    InstallResize();
    InstallDetection();
    InstallQuantize();
    InstallQuantized();
  });
}

}  // namespace octet::ops

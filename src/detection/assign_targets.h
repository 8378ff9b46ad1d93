// What each anchor shall learn (tao.md 7.2): an anchor takes the box with which its IoU is largest, if that is at least
// 0.5; and each box takes the anchor with which its IoU is largest, so that none is left without. All other anchors are
// background; there is no band of anchors that do not count.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace octet::detection {

constexpr int64_t kBackground = -1;
constexpr float kMatchIou = 0.5f;

struct AnchorTargets {
  Tensor classes;  // s64 [N,A]: class index, or kBackground
  Tensor codes;    // f32 [N,A,4]; zeros for background
  int64_t positives = 0;
};

// `anchors` f32 [A,4] as MakeAnchors gives them; `boxes` f32 [N,M,4] y1,x1,y2,x2 in pixels of the input; `labels` s64
// [N,M], -1 = padding. Ties: the earlier box, the earlier anchor.
AnchorTargets AssignTargets(const Tensor& anchors, const Tensor& boxes, const Tensor& labels);

}  // namespace octet::detection

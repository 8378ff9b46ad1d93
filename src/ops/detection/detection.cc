// Definitions of the box selection operators.
#include "ops/detection/detection.h"

#include "base/error.h"

namespace octet::ops {
namespace {

using ir::InputRole;

// boxes [N,A,4] and scores [N,C,A]; selected [K,3].
Types InferNonMaxSuppression(const Node& node, const Inputs& inputs) {
  const Shape& boxes = ShapeAt(node, inputs, 0);
  const Shape& scores = ShapeAt(node, inputs, 1);
  RequireRank(node, inputs, 0, 3, 3);
  RequireRank(node, inputs, 1, 3, 3);
  OCTET_REQUIRE(boxes[2] == 4 && (boxes[1] == scores[2] || boxes[1] < 0 || scores[2] < 0),
                "{}: boxes {} and scores {}; expected [N,A,4] and [N,C,A]", Label(node), Describe(inputs[0]),
                Describe(inputs[1]));
  return One(DType::kS64, {kDynamic, 3});
}

// boxes [N,A,4], scores [N,A,C], anchors [1,A,4]; num_detections, boxes, scores, classes.
Types InferEfficientNms(const Node& node, const Inputs& inputs) {
  RequireRank(node, inputs, 0, 3, 3);
  RequireRank(node, inputs, 1, 3, 3);
  RequireRank(node, inputs, 2, 3, 3);
  const Shape& boxes = ShapeAt(node, inputs, 0);
  const Shape& scores = ShapeAt(node, inputs, 1);
  OCTET_REQUIRE(boxes[2] == 4 && boxes[1] == scores[1] && ShapeAt(node, inputs, 2)[1] == boxes[1],
                "{}: boxes {}, scores {} and anchors {} count different anchors", Label(node), Describe(inputs[0]),
                Describe(inputs[1]), Describe(inputs[2]));
  OCTET_REQUIRE(node.attr_int("box_coding", 0) == 1 && node.attr_int("score_activation", 0) == 1 &&
                    node.attr_int("class_agnostic", 0) == 0,
                "{}: octet has this plugin with box_coding 1, score_activation 1 and class_agnostic 0 only",
                Label(node));
  const int64_t most = node.attr_int("max_output_boxes", 0);
  OCTET_REQUIRE(most > 0, "{}: max_output_boxes is {}", Label(node), most);
  return {{DType::kS32, {boxes[0], 1}},
          {DType::kF32, {boxes[0], most, 4}},
          {DType::kF32, {boxes[0], most}},
          {DType::kS32, {boxes[0], most}}};
}

}  // namespace

void InstallDetection() {
  OpDef nms;
  nms.name = "NonMaxSuppression";
  nms.min_inputs = 2;
  nms.max_inputs = 5;
  nms.roles = {InputRole::kData, InputRole::kData, InputRole::kConst};
  nms.attrs = {Int("center_point_box", 0)};
  nms.infer = InferNonMaxSuppression;
  nms.reference = NonMaxSuppressionReference;
  ir::RegisterOp(nms);

  OpDef plugin;
  plugin.name = "EfficientNMS_TRT";
  plugin.min_inputs = 3;
  plugin.max_inputs = 3;
  plugin.max_outputs = 4;
  plugin.roles = {InputRole::kData, InputRole::kData, InputRole::kConst};
  plugin.attrs = {String("plugin_version", "1"), Float("score_threshold", 0.25f),
                  Float("iou_threshold", 0.5f),  Int("max_output_boxes", 100),
                  Int("background_class", -1),   Int("score_activation", 0),
                  Int("class_agnostic", 0),      Int("box_coding", 0)};
  plugin.infer = InferEfficientNms;
  plugin.reference = EfficientNmsReference;
  ir::RegisterOp(plugin);
}

}  // namespace octet::ops

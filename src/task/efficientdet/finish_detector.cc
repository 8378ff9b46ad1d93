#include "task/efficientdet/finish_detector.h"

#include <unordered_map>

#include "base/error.h"
#include "data/detection_loader.h"
#include "ir/op_def.h"

namespace octet::task::efficientdet {
namespace {

using ir::Graph;
using ir::ValueId;

ValueId Add(Graph& g, const char* op, const std::string& name, std::vector<ValueId> inputs, ir::Attrs attrs = {}) {
  return g.node(g.AddNode(op, name, std::move(inputs), {name}, std::move(attrs))).output();
}

ValueId Constant(Graph& g, const std::string& name, const Shape& shape, const std::vector<float>& values) {
  return g.AddConstant(name, Tensor::From<float>(shape, values));
}

// The same network behind another first few nodes: `make` gets the new graph and returns what takes the input's place.
template <typename Make>
Graph ReplaceInput(const Graph& old, const Make& make) {
  Graph g(old.name());
  g.metadata() = old.metadata();
  std::unordered_map<ValueId, ValueId> moved;
  moved[old.inputs().at(0)] = make(g);
  for (const ValueId c : old.constants()) moved[c] = g.AddConstant(old.value(c).name, old.value(c).constant);
  for (const ir::NodeId id : old.Order()) {
    const ir::Node& node = old.node(id);
    std::vector<ValueId> inputs;
    for (const ValueId in : node.inputs) inputs.push_back(in == ir::kNoValue ? in : moved.at(in));
    std::vector<std::string> names;
    for (const ValueId out : node.outputs) names.push_back(out == ir::kNoValue ? "" : old.value(out).name);
    const ir::NodeId made = g.AddNode(node.op, node.name, inputs, names, node.attrs);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] != ir::kNoValue) moved[node.outputs[i]] = g.node(made).outputs[i];
    }
  }
  for (const ValueId out : old.outputs()) g.MarkOutput(moved.at(out));
  return g;
}

Graph WithTaoInput(const Graph& old) {
  const ir::Value& input = old.value(old.inputs().at(0));
  const Shape& shape = input.type.shape;
  std::vector<float> scale, shift;
  for (size_t c = 0; c < 3; ++c) {
    scale.push_back(static_cast<float>(1.0 / (255.0 * data::kDetectionDeviation[c])));
    shift.push_back(static_cast<float>(-data::kDetectionMean[c] / data::kDetectionDeviation[c]));
  }
  return ReplaceInput(old, [&](Graph& g) {
    const ValueId image = g.AddInput(input.name, {DType::kF32, {shape[0], shape[2], shape[3], 3}});
    ValueId x = Add(g, "Transpose", "preprocessor/transpose", {image}, {{"perm", std::vector<int64_t>{0, 3, 1, 2}}});
    x = Add(g, "Mul", "preprocessor/scale", {x, Constant(g, "preprocessor/scale/factor", {1, 3, 1, 1}, scale)});
    return Add(g, "Add", "preprocessor/mean", {x, Constant(g, "preprocessor/mean/shift", {1, 3, 1, 1}, shift)});
  });
}

// The anchors' centres and sizes as four [1,A,1] constants.
std::vector<ValueId> AnchorColumns(Graph& g, const Tensor& anchors) {
  std::vector<ValueId> columns;
  for (int64_t k = 0; k < 4; ++k) {
    std::vector<float> column;
    for (int64_t a = 0; a < anchors.dim(0); ++a) column.push_back(anchors.data<float>()[4 * a + k]);
    columns.push_back(Constant(g, fmt::format("anchors/{}", k), {1, anchors.dim(0), 1}, column));
  }
  return columns;
}

Graph WithNonMaxSuppression(Graph g, const FinishOptions& o) {
  const ValueId logits = g.Find("class_logits"), codes = g.Find("box_codes");
  const std::vector<ValueId> anchors = AnchorColumns(g, detection::MakeAnchors(o.anchors));
  const ir::NodeId split =
      g.AddNode("Split", "codes/split", {codes, g.AddConstant("codes/sizes", Tensor::From<int64_t>({4}, {1, 1, 1, 1}))},
                {"codes/y", "codes/x", "codes/h", "codes/w"}, {{"axis", int64_t{2}}});
  const ValueId half = Constant(g, "boxes/half", {}, {0.5f});
  const ValueId zero = Constant(g, "boxes/low", {}, {0.0f});
  // Suppression sees whole boxes, as in the plugin; the file's users get them clipped.
  std::vector<ValueId> corners(4), clipped(4);
  for (size_t i = 0; i < 2; ++i) {
    const std::string axis = i == 0 ? "boxes/y" : "boxes/x";
    const auto code = [&](size_t k) { return g.node(split).output(k); };
    const ValueId centre = Add(g, "Add", axis, {Add(g, "Mul", axis + "_shift", {code(i), anchors[i + 2]}), anchors[i]});
    ValueId size = Add(g, "Mul", axis + "_size", {Add(g, "Exp", axis + "_exp", {code(i + 2)}), anchors[i + 2]});
    size = Add(g, "Mul", axis + "_half", {size, half});
    const auto limit = static_cast<float>(i == 0 ? o.anchors.height : o.anchors.width);
    const ValueId high = Constant(g, axis + "_limit", {}, {limit});
    corners[i] = Add(g, "Sub", axis + "1_whole", {centre, size});
    corners[i + 2] = Add(g, "Add", axis + "2_whole", {centre, size});
    clipped[i] = Add(g, "Clip", axis + "1", {corners[i], zero, high});
    clipped[i + 2] = Add(g, "Clip", axis + "2", {corners[i + 2], zero, high});
  }
  const ValueId whole = Add(g, "Concat", "boxes/whole", corners, {{"axis", int64_t{2}}});
  const ValueId boxes = Add(g, "Concat", "boxes", clipped, {{"axis", int64_t{2}}});
  const ValueId scores = Add(g, "Transpose", "scores", {Add(g, "Sigmoid", "probabilities", {logits})},
                             {{"perm", std::vector<int64_t>{0, 2, 1}}});
  const ValueId most =
      g.AddConstant("max_output_boxes_per_class", Tensor::From<int64_t>({1}, {o.detections.max_output_boxes}));
  const ValueId selected = Add(g, "NonMaxSuppression", "selected",
                               {whole, scores, most, Constant(g, "iou_threshold", {1}, {o.detections.iou_threshold}),
                                Constant(g, "score_threshold", {1}, {o.detections.score_threshold})});
  g.ReplaceOutput(0, boxes);
  g.ReplaceOutput(1, scores);
  g.MarkOutput(selected);
  return g;
}

Graph WithEfficientNms(Graph g, const FinishOptions& o) {
  const ValueId logits = g.Find("class_logits"), codes = g.Find("box_codes");
  const Tensor anchors = detection::MakeAnchors(o.anchors);
  const ir::NodeId nms =
      g.AddNode("EfficientNMS_TRT", "nms/non_maximum_suppression",
                {codes, logits, g.AddConstant("nms/anchors", anchors.Reshaped({1, anchors.dim(0), 4}))},
                {"num_detections", "detection_boxes", "detection_scores", "detection_classes"},
                {{"plugin_version", std::string("1")},
                 {"background_class", int64_t{o.detections.background_class}},
                 {"max_output_boxes", int64_t{o.detections.max_output_boxes}},
                 {"score_threshold", std::max(0.01f, o.detections.score_threshold)},
                 {"iou_threshold", o.detections.iou_threshold},
                 {"score_activation", int64_t{1}},
                 {"class_agnostic", int64_t{0}},
                 {"box_coding", int64_t{1}}});
  g.ReplaceOutput(0, g.node(nms).output(0));
  g.ReplaceOutput(1, g.node(nms).output(1));
  g.MarkOutput(g.node(nms).output(2));
  g.MarkOutput(g.node(nms).output(3));
  return g;
}

}  // namespace

Graph FinishDetector(Graph g, const FinishOptions& o) {
  if (o.tao_input) g = WithTaoInput(g);
  if (o.postprocess == "nms") g = WithNonMaxSuppression(std::move(g), o);
  if (o.postprocess == "efficient_nms") g = WithEfficientNms(std::move(g), o);
  ir::InferTypes(g);
  ir::Verify(g);
  return g;
}

}  // namespace octet::task::efficientdet

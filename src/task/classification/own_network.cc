#include "task/classification/own_network.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "ir/model_file.h"
#include "ir/op_def.h"
#include "onnx/onnx_import.h"
#include "passes/classifier_head.h"
#include "passes/insert_qdq.h"
#include "passes/simplify_imported.h"
#include "task/predictor.h"

namespace octet::task::classification {
namespace {

using ir::Graph;
using ir::NodeId;
using ir::ValueId;

bool IsChannels(int64_t n) {
  return n == 1 || n == 3;
}

// [N,H,W,C], as TensorFlow's exports have it.
bool IsNhwc(const Shape& shape) {
  return shape.size() == 4 && IsChannels(shape[3]) && !IsChannels(shape[1]);
}

std::optional<int64_t> Wanted(const spec::Spec& spec, const std::string& key) {
  return spec.IsSet(key) ? std::optional<int64_t>(spec.GetInt(key)) : std::nullopt;
}

// The declared input with the spec's sizes in it.
Shape InputShape(const std::string& name, const ir::TensorType& declared, const OwnNetworkOptions& o) {
  OCTET_REQUIRE(declared.dtype == DType::kF32 && declared.shape.size() == 4,
                "its input '{}' is {}; a classifier reads images f32[N,C,H,W]", name, ToString(declared));
  Shape shape = declared.shape;
  shape[0] = ir::kDynamic;
  const bool nhwc = IsNhwc(shape);
  const size_t c = nhwc ? 3 : 1, h = nhwc ? 1 : 2, w = nhwc ? 2 : 3;
  OCTET_REQUIRE(shape[c] < 0 || !o.channels || *o.channels == shape[c],
                "its input '{}' has {} channels, the spec asks for {} (model.input_channels)", name, shape[c],
                o.channels.value_or(0));
  const auto fill = [&](size_t i, const std::optional<int64_t>& wanted, const char* key) {
    if (wanted) shape[i] = *wanted;
    OCTET_REQUIRE(shape[i] > 0, "its input '{}' is {}, open in dimension {}; set {}", name, ToString(declared), i, key);
  };
  fill(c, o.channels, "model.input_channels");
  fill(h, o.height, "model.input_height");
  fill(w, o.width, "model.input_width");
  OCTET_REQUIRE(IsChannels(shape[c]), "its input '{}' has {} channels; images have 1 or 3", name, shape[c]);
  return shape;
}

// Images are NCHW everywhere in octet: the Transpose behind an NHWC input goes.
Graph WithoutTranspose(Graph g) {
  const ValueId input = g.inputs()[0];
  const ir::TensorType type = g.value(input).type;
  if (!IsNhwc(type.shape)) return g;
  const std::vector<NodeId> users = g.value(input).consumers;
  for (const NodeId user : users) {
    const ir::Node& node = g.node(user);
    OCTET_REQUIRE(
        node.op == "Transpose" && node.attr_ints("perm", {}) == std::vector<int64_t>({0, 3, 1, 2}),
        "its input '{}' is {} (height, width, channels) and read by node '{}' ({}); octet reads such a network "
        "only where a Transpose to [N,C,H,W] comes first",
        g.value(input).name, ToString(type), node.name, node.op);
  }
  // The input keeps its place and name and takes the transposed shape; the Transposes disappear.
  g.set_type(input, {type.dtype, {type.shape[0], type.shape[3], type.shape[1], type.shape[2]}});
  for (const NodeId user : users) {
    g.ReplaceUses(g.node(user).output(), input);
    g.RemoveNode(user);
  }
  ir::InferTypes(g);
  return g;
}

int64_t CountOps(const Graph& g, const char* op) {
  int64_t count = 0;
  for (const NodeId id : g.Order()) count += g.node(id).op == op ? 1 : 0;
  return count;
}

Graph Import(const std::string& path, const OwnNetworkOptions& options) {
  onnx::ImportOptions import;
  import.for_training = true;
  const auto inputs = onnx::InputsOf(path);
  OCTET_REQUIRE(inputs.size() == 1, "it has {} inputs; a classifier has one, the image", inputs.size());
  import.input_shapes[inputs[0].first] = InputShape(inputs[0].first, inputs[0].second, options);
  Graph g = onnx::ImportOnnx(path, import);
  OCTET_REQUIRE(
      !passes::HasQdq(g),
      "it is quantized already (QuantizeLinear nodes); octet trains from the float network. evaluate and build "
      "take the quantized one");
  g = WithoutTranspose(std::move(g));
  g = passes::CompleteClassifier(passes::SimplifyImported(std::move(g)));
  const int64_t norms = CountOps(g, "BatchNormalization"), layers = CountOps(g, "Conv");
  LogInfo("byom: {}: {} nodes, {} convolutions, {} batch norms, input {}", path, g.node_count(), layers, norms,
          ToString(g.value(g.inputs()[0]).type));
  if (norms == 0 && layers > 0) {
    LogInfo(
        "byom: the file holds no batch norm (exporters fold them into the convolutions): weights and biases train, "
        "with a "
        "smaller learning rate than usual. With PyTorch, training=TrainingMode.PRESERVE keeps them");
  }
  return g;
}

}  // namespace

OwnNetworkOptions OwnNetworkFromSpec(const spec::Spec& spec) {
  OwnNetworkOptions o;
  o.num_classes = Wanted(spec, "dataset.num_classes");
  o.channels = Wanted(spec, "model.input_channels");
  o.height = Wanted(spec, "model.input_height");
  o.width = Wanted(spec, "model.input_width");
  o.retain_head = spec.GetBool("model.retain_head");
  o.seed = static_cast<uint64_t>(spec.GetInt("train.random_seed"));
  o.bn_momentum = static_cast<float>(spec.GetFloat("train.bn_config.momentum"));
  if (spec.IsSet("train.bn_config.epsilon"))
    o.bn_epsilon = static_cast<float>(spec.GetFloat("train.bn_config.epsilon"));
  return o;
}

Graph AdaptOwnNetwork(Graph g, const std::string& path, const OwnNetworkOptions& o) {
  const int64_t classes = g.value(passes::LogitsOf(g)).type.shape.at(1);
  if (o.num_classes && *o.num_classes != classes) {
    OCTET_REQUIRE(
        !o.retain_head,
        "'{}' has {} classes and dataset.num_classes is {}; model.retain_head: true keeps the classifier as it "
        "is. Set it to false for a new classifier",
        path, classes, *o.num_classes);
    OCTET_REQUIRE(*o.num_classes > 1, "dataset.num_classes is {}; expected at least 2", *o.num_classes);
    try {
      const std::string layer = g.node(passes::FindClassifierHead(g).layer).name;
      g = passes::ReplaceClassifierHead(std::move(g), *o.num_classes, o.seed);
      LogInfo("byom: '{}' had {} classes; layer '{}' starts anew with {}", path, classes, layer, *o.num_classes);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kUser) throw;
      OCTET_FAIL("'{}' has {} classes, dataset.num_classes is {}, and its head cannot be replaced: {}", path, classes,
                 *o.num_classes, e.what());
    }
  }
  for (const NodeId id : g.Order()) {
    if (g.node(id).op != "BatchNormalization") continue;
    g.mutable_node(id).attrs["momentum"] = o.bn_momentum;
    if (o.bn_epsilon) g.mutable_node(id).attrs["epsilon"] = *o.bn_epsilon;
  }
  g.metadata()["backbone"] = kByom;
  ir::InferTypes(g);
  return g;
}

Graph ImportOwnNetwork(const std::string& path, const OwnNetworkOptions& options) {
  Graph g;
  try {
    g = Import(path, options);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kUser || StartsWith(e.what(), "'" + path + "'")) throw;
    OCTET_FAIL("'{}': {}", path, e.what());
  }
  g.metadata().clear();  // of whoever wrote the file
  g = AdaptOwnNetwork(std::move(g), path, options);
  ir::Verify(g);
  return g;
}

std::string OwnNetworkFile(const spec::Spec& spec, const std::string& checkpoint) {
  if (EndsWith(checkpoint, ".octet")) return checkpoint;  // trained or pruned by octet: the network as it is now
  std::string path = spec.GetString("model.byom_model");
  const bool named = !path.empty();
  if (!named) path = checkpoint;
  OCTET_REQUIRE(!EndsWith(path, ".tltb"),
                "{}: model.byom_model is '{}', TAO's encrypted form, which only TAO can read; give the .onnx that "
                "tao_byom made it from",
                spec.Where("model.byom_model"), path);
  if (path.empty() || (!named && !EndsWith(path, ".onnx"))) return "";
  OCTET_REQUIRE(EndsWith(path, ".onnx") || EndsWith(path, ".octet"),
                "{}: model.byom_model is '{}'; expected an .onnx file", spec.Where("model.byom_model"), path);
  return path;
}

spec::Spec WithInputOf(const spec::Spec& spec, const std::string& file) {
  if (file.empty()) return spec;
  Shape shape;
  switch (KindOfFile(file)) {
    case FileKind::kModel: {
      const Graph graph = ir::ReadModel(file).graph;
      shape = graph.value(graph.inputs().at(0)).type.shape;
      break;
    }
    case FileKind::kOnnx: {
      const auto inputs = onnx::InputsOf(file);
      if (!inputs.empty()) shape = inputs[0].second.shape;
      if (IsNhwc(shape)) shape = {shape[0], shape[3], shape[1], shape[2]};
      break;
    }
    default: return spec;
  }
  if (shape.size() != 4) return spec;
  std::vector<std::string> overrides;
  static constexpr const char* kKeys[] = {"", "model.input_channels", "model.input_height", "model.input_width"};
  for (size_t i = 1; i < 4; ++i) {
    if (shape[i] > 0 && !spec.IsSet(kKeys[i])) overrides.push_back(fmt::format("{}={}", kKeys[i], shape[i]));
  }
  return overrides.empty() ? spec : spec.With(overrides);
}

}  // namespace octet::task::classification

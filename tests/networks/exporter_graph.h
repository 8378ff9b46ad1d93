// A small classifier written as exporters write them, for tests of imported networks: shapes computed with Shape and
// Gather, Identity nodes that share batch norm parameters, a hard swish in five nodes, a channel shuffle, Pad before
// Conv, bounds of Clip from Constant nodes, Dropout in training mode, MatMul + Add as a dense layer.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "onnx/raw_model.h"

namespace octet {

class ExporterGraph {
 public:
  explicit ExporterGraph(int64_t opset = 13) {
    model.ir_version = 8;
    model.opset = opset;
    model.graph_name = "main_graph";
  }

  static onnx::RawValue Typed(const std::string& name, Shape shape) {
    onnx::RawValue value;
    value.name = name;
    value.typed = true;
    value.type = {DType::kF32, shape};
    value.dim_names.assign(shape.size(), "");
    if (!shape.empty() && shape[0] < 0) value.dim_names[0] = "batch";
    return value;
  }

  std::string Weight(const std::string& name, const Shape& shape, float limit) {
    Tensor t(DType::kF32, shape);
    std::uniform_real_distribution<float> uniform(-limit, limit);
    for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = uniform(random);
    model.initializers.emplace_back(name, t);
    return name;
  }
  std::string Filled(const std::string& name, int64_t n, float value) {
    model.initializers.emplace_back(name, Tensor::From<float>({n}, std::vector<float>(static_cast<size_t>(n), value)));
    return name;
  }
  std::string Ints(const std::string& name, const std::vector<int64_t>& values) {
    model.initializers.emplace_back(name, Tensor::From<int64_t>({static_cast<int64_t>(values.size())}, values));
    return name;
  }
  std::string Node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output,
                   ir::Attrs attrs = {}) {
    onnx::RawNode node;
    node.op = op;
    node.name = "/" + output + "/" + op;
    node.inputs = inputs;
    node.outputs = {output};
    node.attrs = std::move(attrs);
    model.nodes.push_back(node);
    return output;
  }
  std::string Constant(const std::string& name, Tensor value) { return Node("Constant", {}, name, {{"value", value}}); }
  std::string Scalar(const std::string& name, float value) { return Constant(name, Tensor::Scalar(value)); }
  std::string Conv(const std::string& name, const std::string& x, int64_t in, int64_t out, int64_t kernel,
                   ir::Attrs attrs, bool bias = false) {
    const int64_t group = attrs.count("group") != 0 ? std::get<int64_t>(attrs.at("group")) : 1;
    std::vector<std::string> inputs = {x, Weight(name + ".weight", {out, in / group, kernel, kernel},
                                                 1.5f / std::sqrt(static_cast<float>(in / group * kernel * kernel)))};
    if (bias) inputs.push_back(Weight(name + ".bias", {out}, 0.1f));
    return Node("Conv", inputs, name, std::move(attrs));
  }
  // `shared`: gamma and beta are Identity copies of the first batch norm's, as a freshly initialised network's are.
  std::string BatchNorm(const std::string& name, const std::string& x, int64_t channels,
                        const std::string& shared = "") {
    std::vector<std::string> in = {x};
    for (const char* part : {".weight", ".bias"}) {
      if (shared.empty()) {
        in.push_back(Filled(name + part, channels, part[1] == 'w' ? 1.0f : 0.0f));
      } else {
        in.push_back(Node("Identity", {shared + part}, name + part));
      }
    }
    in.push_back(Weight(name + ".running_mean", {channels}, 0.1f));
    in.push_back(Filled(name + ".running_var", channels, 0.8f));
    return Node("BatchNormalization", in, name, {{"epsilon", 1e-5f}, {"momentum", 0.9f}});
  }

  // x * clip(x + 3, 0, 6) / 6
  std::string HardSwish(const std::string& name, const std::string& x) {
    const std::string shifted = Node("Add", {x, Scalar(name + ".three", 3)}, name + ".shifted");
    const std::string clipped =
        Node("Clip", {shifted, Scalar(name + ".zero", 0), Scalar(name + ".six", 6)}, name + ".clipped");
    const std::string gate = Node("Div", {clipped, Scalar(name + ".sixth", 6)}, name + ".gate");
    return Node("Mul", {x, gate}, name);
  }

  // view(n, groups, c / groups, h, w).transpose(1, 2).view(n, c, h, w), sizes taken from the tensor itself
  std::string ChannelShuffle(const std::string& name, const std::string& x, int64_t groups, int64_t channels) {
    const auto size = [&](int64_t axis) {
      const std::string n = name + ".size" + std::to_string(axis);
      const std::string scalar =
          Node("Gather", {Node("Shape", {x}, n + ".shape"), Constant(n + ".axis", Tensor::Scalar<int64_t>(axis))},
               n + ".scalar");
      return Node("Unsqueeze", {scalar, Ints(n + ".axes", {0})}, n);
    };
    const std::string n = size(0), h = size(2), w = size(3);
    const std::string five =
        Node("Concat", {n, Ints(name + ".g", {groups}), Ints(name + ".c", {channels / groups}), h, w}, name + ".five",
             {{"axis", int64_t{0}}});
    const std::string four =
        Node("Concat", {n, Ints(name + ".all", {channels}), h, w}, name + ".four", {{"axis", int64_t{0}}});
    const std::string wide = Node("Reshape", {x, five}, name + ".wide");
    const std::string turned =
        Node("Transpose", {wide}, name + ".turned", {{"perm", std::vector<int64_t>{0, 2, 1, 3, 4}}});
    return Node("Reshape", {turned, four}, name);
  }

  // Everything above in one network: images [N,3,24,24] -> "scores" [N,10].
  static ExporterGraph Typical() {
    ExporterGraph g;
    g.model.inputs = {Typed("image", {-1, 3, 24, 24})};
    std::string x = g.Node("Pad", {"image", g.Constant("pads", Tensor::From<int64_t>({8}, {0, 0, 0, 0, 0, 0, 1, 1}))},
                           "padded", {{"mode", std::string("constant")}});
    x = g.Conv("stem", x, 3, 16, 3,
               {{"strides", std::vector<int64_t>{2, 2}}, {"kernel_shape", std::vector<int64_t>{3, 3}}});
    x = g.HardSwish("stem_act", g.BatchNorm("stem_bn", x, 16));
    // Two branches, joined and shuffled; asymmetric pads.
    std::string a = g.Conv("left", x, 16, 16, 1, {});
    a = g.Node("Relu", {g.BatchNorm("left_bn", a, 16, "stem_bn")}, "left_relu");
    std::string b = g.Conv("right", x, 16, 16, 2, {{"group", int64_t{16}}, {"pads", std::vector<int64_t>{0, 0, 1, 1}}});
    b = g.BatchNorm("right_bn", b, 16, "stem_bn");
    x = g.ChannelShuffle("shuffle", g.Node("Concat", {a, b}, "joined", {{"axis", int64_t{1}}}), 2, 32);
    x = g.Node("MaxPool", {x}, "pool",
               {{"kernel_shape", std::vector<int64_t>{2, 2}}, {"strides", std::vector<int64_t>{2, 2}}});
    // Squeeze and excitation with HardSigmoid, ReduceMean over space.
    std::string s =
        g.Node("ReduceMean", {x}, "squeeze", {{"axes", std::vector<int64_t>{2, 3}}, {"keepdims", int64_t{1}}});
    s = g.Node("Relu", {g.Conv("reduce", s, 32, 8, 1, {}, true)}, "reduce_relu");
    s = g.Node("HardSigmoid", {g.Conv("expand", s, 8, 32, 1, {}, true)}, "gate", {{"alpha", 1.0f / 6}, {"beta", 0.5f}});
    x = g.Node("Mul", {x, s}, "excite");
    // A residual with relu6.
    std::string y = g.Conv("body", x, 32, 32, 3, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
    y = g.Node("Add", {g.BatchNorm("body_bn", y, 32), x}, "sum");
    x = g.Node("Clip", {y, g.Scalar("low", 0), g.Scalar("high", 6)}, "relu6");
    // mean([2, 3]), view(n, -1), dropout, dense.
    x = g.Node("ReduceMean", {x}, "pooled", {{"axes", std::vector<int64_t>{-1, -2}}, {"keepdims", int64_t{0}}});
    const std::string n =
        g.Node("Gather", {g.Node("Shape", {x}, "pooled.shape"), g.Constant("first", Tensor::Scalar<int64_t>(0))}, "n");
    const std::string target =
        g.Node("Concat", {g.Node("Unsqueeze", {n, g.Ints("axes", {0})}, "n1"), g.Ints("rest", {-1})}, "target",
               {{"axis", int64_t{0}}});
    x = g.Node("Reshape", {x, target}, "flat");
    x = g.Node("Dropout", {x, g.Scalar("ratio", 0.2f), g.Constant("training", Tensor::From<bool>({}, {true}))},
               "dropped");
    x = g.Node("MatMul", {x, g.Weight("classifier", {32, 10}, 0.5f)}, "product");
    g.Node("Add", {g.Weight("classifier_bias", {10}, 0.1f), x}, "scores");
    g.model.outputs = {Typed("scores", {-1, 10})};
    return g;
  }

  std::string Bytes() const { return onnx::SerializeRawModel(model, {}, "test", "1"); }

  onnx::RawModel model;
  std::mt19937 random{7};
};

}  // namespace octet

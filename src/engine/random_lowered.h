// Random lowered graphs for the engine's tests: every quantized operator, odd sizes, branches, concats, FP32 tails.
#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/op_def.h"
#include "ops/install.h"

namespace octet::engine {

class LoweredGraphMaker {
 public:
  explicit LoweredGraphMaker(unsigned seed) : random_(seed), graph_("random" + std::to_string(seed)) {
    ops::InstallOps();
  }

  // `dynamic_batch`: the input is [N,c,h,w].
  ir::Graph Make(int steps, int64_t c, int64_t h, int64_t w) {
    const ir::ValueId x = graph_.AddInput("input_1", {DType::kF32, {ir::kDynamic, c, h, w}});
    codes_ = {{Quantize(x), c, h, w, 0.02f}};
    for (int i = 0; i < steps; ++i) AddRandom();
    const Code last = codes_.back();
    ir::ValueId tail = Value("QGlobalAveragePool", "pool", {last.id}, {{"x_scale", last.scale}, {"y_scale", 0.0f}});
    tail = Value("Flatten", "flat", {tail}, {{"axis", int64_t{1}}});
    Tensor weight(DType::kF32, {10, last.c});
    for (int64_t i = 0; i < weight.size(); ++i) weight.mutable_data<float>()[i] = Uniform(-1, 1);
    tail = Value("Gemm", "logits", {tail, graph_.AddConstant("fc.weight", weight)}, {{"transB", int64_t{1}}});
    graph_.MarkOutput(Value("Softmax", "predictions", {tail}, {{"axis", int64_t{1}}}));
    // A second output taken from the middle, in FP32.
    const Code& middle = codes_[codes_.size() / 2];
    graph_.MarkOutput(Value("QDequantize", "middle", {middle.id}, {{"scale", middle.scale}}));
    graph_.RemoveUnused();
    ir::InferTypes(graph_);
    return graph_;
  }

  ir::ValueId QConv(const std::string& name, ir::ValueId x, float x_scale, int64_t in_c, int64_t out_c, int64_t kernel,
                    int64_t stride, int64_t dilation, int64_t group, float y_scale, ir::ValueId residual,
                    float residual_scale, bool activate) {
    Tensor w(DType::kS8, {out_c, in_c / group, kernel, kernel});
    for (int64_t i = 0; i < w.size(); ++i) {
      w.mutable_data<int8_t>()[i] = static_cast<int8_t>(static_cast<int>(random_() % 255) - 127);
    }
    Tensor m(DType::kF32, {out_c});
    Tensor b(DType::kF32, {out_c});
    const float reduction = static_cast<float>(in_c / group * kernel * kernel);
    for (int64_t k = 0; k < out_c; ++k) {
      m.mutable_data<float>()[k] = x_scale * Uniform(0.5f, 1.5f) / (70.0f * std::sqrt(reduction));
      b.mutable_data<float>()[k] = Uniform(-0.3f, 0.3f);
    }
    const int64_t pad = kernel / 2 * dilation;
    ir::Attrs attrs = {{"strides", std::vector<int64_t>{stride, stride}},
                       {"dilations", std::vector<int64_t>{dilation, dilation}},
                       {"pads", std::vector<int64_t>{pad, pad, pad, pad}},
                       {"group", group},
                       {"y_scale", y_scale}};
    if (residual != ir::kNoValue) attrs["residual_scale"] = residual_scale;
    if (activate) Activate(&attrs);
    return Value("QConv", name,
                 {x, graph_.AddConstant(name + ".weight", w), graph_.AddConstant(name + ".multiplier", m),
                  random_() % 4 == 0 ? ir::kNoValue : graph_.AddConstant(name + ".bias", b), residual},
                 attrs);
  }

  ir::ValueId Quantize(ir::ValueId x) { return Value("QQuantize", "input.q", {x}, {{"scale", 0.02f}}); }
  ir::ValueId Value(const std::string& op, const std::string& name, std::vector<ir::ValueId> inputs, ir::Attrs attrs) {
    return graph_.node(graph_.AddNode(op, name, std::move(inputs), {name}, std::move(attrs))).output();
  }
  ir::Graph& graph() { return graph_; }

 private:
  struct Code {
    ir::ValueId id;
    int64_t c, h, w;
    float scale;
  };

  // ReLU6 mostly, as in real networks; any other activation of an epilogue sometimes.
  void Activate(ir::Attrs* attrs) {
    static const char* kNames[] = {"clip",    "clip",         "clip",       "leaky_relu",
                                   "sigmoid", "hard_sigmoid", "hard_swish", "swish"};
    const std::string act = kNames[random_() % 8];
    (*attrs)["act"] = act;
    if (act == "clip") {
      (*attrs)["act_min"] = 0.0f;
      (*attrs)["act_max"] = 6.0f;
    }
    if (act == "leaky_relu" || act == "hard_sigmoid") (*attrs)["act_alpha"] = 0.1f;
    if (act == "hard_sigmoid") (*attrs)["act_beta"] = 0.5f;
  }

  float Uniform(float lo, float hi) { return std::uniform_real_distribution<float>(lo, hi)(random_); }
  int64_t Pick(std::vector<int64_t> choices) { return choices[random_() % choices.size()]; }

  void AddRandom() {
    const std::string name = "n" + std::to_string(codes_.size());
    const Code x = random_() % 3 ? codes_.back() : codes_[random_() % codes_.size()];
    const float y_scale = Uniform(0.005f, 0.03f);
    std::vector<Code> twins;  // values of the same shape
    for (const Code& c : codes_) {
      if (c.c == x.c && c.h == x.h && c.w == x.w) twins.push_back(c);
    }
    const Code other = twins[random_() % twins.size()];
    const auto out = [](int64_t in, int64_t stride) { return (in - 1) / stride + 1; };
    switch (random_() % 13) {
      case 0: {  // depthwise
        const int64_t kernel = Pick({3, 3, 5}), stride = Pick({1, 1, 2}), dilation = Pick({1, 1, 2});
        codes_.push_back(
            {QConv(name, x.id, x.scale, x.c, x.c, kernel, stride, dilation, x.c, y_scale, ir::kNoValue, 0, true), x.c,
             out(x.h, stride), out(x.w, stride), y_scale});
        break;
      }
      case 1: {  // grouped
        const int64_t group = x.c % 16 == 0 ? Pick({2, 4, 16}) : x.c % 2 == 0 ? 2 : 1;
        const int64_t k = group * Pick({3, 16});
        codes_.push_back(
            {QConv(name, x.id, x.scale, x.c, k, 3, 1, 1, group, y_scale, ir::kNoValue, 0, true), k, x.h, x.w, y_scale});
        break;
      }
      case 2:  // residual into a convolution
        codes_.push_back(
            {QConv(name, x.id, x.scale, x.c, x.c, 3, 1, 1, 1, y_scale, other.id, other.scale, random_() % 2), x.c, x.h,
             x.w, y_scale});
        break;
      case 3: {
        const int64_t kernel = Pick({2, 3}), stride = Pick({1, 2}), pad = random_() % 2;
        const auto size = [&](int64_t in) { return (in + 2 * pad - kernel) / stride + 1; };
        if (std::min(x.h, x.w) + 2 * pad < kernel) break;
        const ir::Attrs attrs = {{"kernel_shape", std::vector<int64_t>{kernel, kernel}},
                                 {"strides", std::vector<int64_t>{stride, stride}},
                                 {"pads", std::vector<int64_t>{pad, pad, pad, pad}}};
        if (random_() % 2) {
          codes_.push_back({Value("QMaxPool", name, {x.id}, attrs), x.c, size(x.h), size(x.w), x.scale});
        } else {
          ir::Attrs average = attrs;
          average["count_include_pad"] = static_cast<int64_t>(random_() % 2);
          average["x_scale"] = x.scale;
          average["y_scale"] = y_scale;
          codes_.push_back({Value("QAveragePool", name, {x.id}, average), x.c, size(x.h), size(x.w), y_scale});
        }
        break;
      }
      case 4: {
        ir::Attrs attrs = {{"a_scale", x.scale}, {"b_scale", other.scale}, {"y_scale", y_scale}};
        if (random_() % 2) Activate(&attrs);
        codes_.push_back({Value("QAdd", name, {x.id, other.id}, attrs), x.c, x.h, x.w, y_scale});
        break;
      }
      case 9: {  // squeeze and excitation, or a product
        ir::ValueId gate = other.id;
        float gate_scale = other.scale;
        if (random_() % 3) {
          gate_scale = 0.01f;
          gate = Value("QGlobalAveragePool", name + ".pool", {x.id}, {{"x_scale", x.scale}, {"y_scale", gate_scale}});
        }
        codes_.push_back(
            {Value("QMul", name, {x.id, gate}, {{"a_scale", x.scale}, {"b_scale", gate_scale}, {"y_scale", y_scale}}),
             x.c, x.h, x.w, y_scale});
        break;
      }
      case 10: {
        std::vector<ir::ValueId> terms;
        std::vector<float> scales;
        for (uint32_t i = 0, count = 2 + random_() % 3; i < count; ++i) {
          const Code& t = twins[random_() % twins.size()];
          terms.push_back(t.id);
          scales.push_back(t.scale * Uniform(0, 1));
        }
        ir::Attrs attrs = {{"scales", scales}, {"y_scale", y_scale}};
        Activate(&attrs);
        codes_.push_back({Value("QSum", name, terms, attrs), x.c, x.h, x.w, y_scale});
        break;
      }
      case 11: {
        Tensor table(DType::kS8, {256});
        for (int64_t i = 0; i < 256; ++i) table.mutable_data<int8_t>()[i] = static_cast<int8_t>(random_());
        codes_.push_back(
            {Value("QLut", name, {x.id, graph_.AddConstant(name + ".table", table)}, {}), x.c, x.h, x.w, y_scale});
        break;
      }
      case 12: {
        if (x.h * x.w > 400) break;
        const float up = random_() % 2 ? 2.0f : 1.5f;
        const auto size = [&](int64_t in) { return static_cast<int64_t>(std::floor(static_cast<float>(in) * up)); };
        const ir::ValueId scales = graph_.AddConstant(name + ".scales", Tensor::From<float>({4}, {1, 1, up, up}));
        codes_.push_back({Value("Resize", name, {x.id, ir::kNoValue, scales}, {}), x.c, size(x.h), size(x.w), x.scale});
        break;
      }
      case 5:
        if (x.c > 100) break;
        codes_.push_back({Value("Concat", name, {x.id, x.id}, {{"axis", int64_t{1}}}), 2 * x.c, x.h, x.w, x.scale});
        break;
      default: {  // dense
        const int64_t kernel = Pick({1, 1, 3, 3, 5}), stride = Pick({1, 1, 2}), dilation = Pick({1, 1, 1, 2});
        const int64_t k = Pick({5, 16, 24, 32, 64, 96, 112});
        codes_.push_back({QConv(name, x.id, x.scale, x.c, k, kernel, stride, dilation, 1, y_scale, ir::kNoValue, 0,
                                random_() % 3 != 0),
                          k, out(x.h, stride), out(x.w, stride), y_scale});
      }
    }
  }

  std::mt19937 random_;
  ir::Graph graph_;
  std::vector<Code> codes_;
};

inline Tensor RandomInput(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Tensor t(DType::kF32, shape);
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = normal(random);
  return t;
}

// The end of a detector: two FP32 heads of separable convolutions on codes, whose results become rows of one output; a
// third convolution stays N,C,H,W. Outputs "rows" f32[N,48,10] and "plain" f32[N,7,6,5].
inline ir::Graph HeadsGraph(unsigned seed) {
  LoweredGraphMaker maker(seed);
  ir::Graph& g = maker.graph();
  const ir::ValueId x = g.AddInput("input_1", {DType::kF32, {ir::kDynamic, 8, 6, 5}});
  const ir::ValueId q = maker.Value("QQuantize", "q", {x}, {{"scale", 0.02f}});
  const ir::ValueId codes = maker.Value("QDequantize", "codes", {q}, {{"scale", 0.02f}});
  const auto conv = [&](const std::string& name, ir::ValueId in, const Shape& shape, bool bias,
                        const ir::Attrs& attrs) {
    std::vector<ir::ValueId> inputs = {in, g.AddConstant(name + ".weight", RandomInput(shape, ++seed))};
    if (bias) inputs.push_back(g.AddConstant(name + ".bias", RandomInput({shape[0]}, ++seed)));
    return maker.Value("Conv", name, inputs, attrs);
  };
  const ir::ValueId size = g.AddConstant("rows.shape", Tensor::From<int64_t>({3}, {0, -1, 10}));
  std::vector<ir::ValueId> rows;
  for (int64_t stride : {1, 2}) {
    const std::string name = "head" + std::to_string(stride);
    ir::ValueId y = conv(name + ".dw", codes, {8, 1, 3, 3}, false,
                         {{"group", int64_t{8}},
                          {"strides", std::vector<int64_t>{stride, stride}},
                          {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
    y = conv(name + ".pw", y, {stride == 1 ? 10 : 20, 8, 1, 1}, true, {});
    y = maker.Value("Transpose", name + ".last", {y}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}});
    rows.push_back(maker.Value("Reshape", name + ".rows", {y, size}, {}));
  }
  g.MarkOutput(maker.Value("Concat", "rows", rows, {{"axis", int64_t{1}}}));
  g.MarkOutput(conv("plain", codes, {7, 8, 3, 3}, true, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}));
  ir::InferTypes(g);
  return g;
}

}  // namespace octet::engine

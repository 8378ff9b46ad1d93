#include "passes/lower_for_engine.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "ops/window.h"
#include "passes/fusion_regions.h"
#include "passes/gather_channels.h"
#include "passes/hoist_quantizers.h"
#include "passes/lower_activation.h"
#include "passes/quantized_weight.h"
#include "quant/quantize.h"

namespace octet::passes {

using ir::Attrs;
using ir::Graph;
using ir::kNoNode;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

struct Codes {
  ValueId value;  // s8, in the new graph
  float scale;
};

class Lowering {
 public:
  explicit Lowering(Graph graph) : old_(std::move(graph)), found_(FindFusionRegions(old_)) {}

  Graph Run() {
    new_.set_name(old_.name());
    new_.metadata() = old_.metadata();
    for (const ValueId in : old_.inputs()) real_[in] = new_.AddInput(old_.value(in).name, old_.value(in).type);
    for (const NodeId id : old_.Order()) {
      if (done_.count(id) == 0) Lower(id);
    }
    for (const ValueId out : old_.outputs()) new_.MarkOutput(Real(out));
    new_.RemoveUnused();
    ir::InferTypes(new_);
    return std::move(new_);
  }

 private:
  // ---- values
  const Codes* FindCodes(ValueId v) const {
    const auto it = codes_.find(v);
    return it == codes_.end() ? nullptr : &it->second;
  }
  ValueId Real(ValueId v) {
    if (v == kNoValue) return kNoValue;
    const auto it = real_.find(v);
    if (it != real_.end()) return it->second;
    if (old_.value(v).is_constant()) return real_[v] = new_.AddConstant(old_.value(v).name, old_.value(v).constant);
    if (const Codes* codes = FindCodes(v)) {
      return real_[v] =
                 Emit("QDequantize", old_.value(v).name, {codes->value}, {{"scale", codes->scale}}, old_.value(v).name);
    }
    const Node* p = old_.producer(v);
    OCTET_CHECK(p != nullptr && p->op == "DequantizeLinear", "'{}' was not lowered", old_.value(v).name);
    const std::optional<QuantizedWeight> weight = WeightOf(old_, v);
    OCTET_REQUIRE(weight.has_value(), "node '{}' dequantizes a tensor that octet cannot lower", p->name);
    const int axis = weight->scales.size() == 1 ? 0 : static_cast<int>(p->attr_int("axis", 1));
    return real_[v] =
               new_.AddConstant(old_.value(v).name, quant::DequantizeWeight(weight->codes, weight->scales, axis));
  }
  ValueId Emit(const std::string& op, const std::string& node_name, std::vector<ValueId> inputs, Attrs attrs,
               const std::string& output) {
    return new_.node(new_.AddNode(op, node_name, std::move(inputs), {output}, std::move(attrs))).output();
  }

  // The scale of a scalar activation quantizer, or nothing.
  static void PutActivation(Attrs& attrs, const std::optional<Attrs>& activation) {
    attrs["act"] = std::string("none");
    if (!activation) return;
    for (const auto& [key, value] : *activation) attrs[key] = value;
  }

  // ---- output: codes when the only reader is a quantizer, float otherwise
  struct Result {
    ValueId value;  // old
    NodeId quantize = kNoNode;
    float scale = 0;  // 0: float output
    std::string name;
  };
  Result ResultFor(ValueId v) const {
    Result r{v, kNoNode, 0, old_.value(v).name};
    const NodeId user = old_.only_consumer(v);
    if (user == kNoNode || old_.node(user).op != "QuantizeLinear") return r;
    const std::optional<float> scale = ScalarScale(old_, old_.node(user));
    if (!scale) return r;
    r.quantize = user;
    r.scale = *scale;
    r.name = old_.value(old_.node(user).output()).name;
    return r;
  }
  void SetResult(const Result& r, ValueId made) {
    if (r.quantize == kNoNode) {
      real_[r.value] = made;
      return;
    }
    done_.insert(r.quantize);
    codes_[old_.node(r.quantize).output()] = {made, r.scale};
  }

  // ---- nodes
  void Lower(NodeId id) {
    const auto region = found_.region_of.find(id);
    if (region != found_.region_of.end()) {
      const FusionRegion& r = found_.regions[region->second];
      if (skipped_.count(region->second) == 0) {
        // The whole region is emitted at its last node: nodes are in chain order, so that one comes last.
        if (id != r.nodes.back()) return;
        if (LowerRegion(r)) return;
        skipped_.insert(region->second);
        for (const NodeId n : r.nodes) {
          if (done_.count(n) == 0) LowerSingle(n);
        }
        return;
      }
    }
    LowerSingle(id);
  }

  bool LowerRegion(const FusionRegion& r) {
    const Node& anchor = old_.node(r.anchor);
    const bool gemm = anchor.op == "Gemm";
    if (anchor.op != "Conv" && !gemm) return false;
    if (gemm && (anchor.attr_float("alpha", 1.0f) != 1.0f || anchor.attr_float("beta", 1.0f) != 1.0f ||
                 anchor.attr_int("transA", 0) != 0)) {
      return false;
    }
    if (r.scale_shift != kNoNode || (!gemm && old_.value(anchor.input(0)).type.shape.size() != 4)) return false;
    if (anchor.attr_string("auto_pad", "NOTSET") != "NOTSET") return false;
    const Codes* x = FindCodes(anchor.input(0));
    const std::optional<QuantizedWeight> weight = WeightOf(old_, anchor.input(1));
    if (x == nullptr || !weight) return false;
    if (anchor.input(2) != kNoValue && !old_.value(anchor.input(2)).is_constant()) return false;

    // How far the chain can be fused: a float residual or an unusual activation ends it early.
    ValueId output = anchor.output();
    const Codes* residual = nullptr;
    std::optional<Attrs> activation;
    bool fused = true;
    if (r.join != kNoNode) {
      residual = gemm ? nullptr : FindCodes(r.residual);
      fused = residual != nullptr;
      if (fused) output = old_.node(r.join).output();
    }
    if (fused && r.activation != kNoNode) activation = EpilogueOf(old_, r.activation);
    if (activation) output = r.output;
    EmitConv(anchor, *x, *weight, residual, activation, ResultFor(output), gemm);
    MarkDone(r, output);
    return true;
  }

  // Nodes of the region up to the one that makes `output` are done; the others are lowered one by one.
  void MarkDone(const FusionRegion& r, ValueId output) {
    bool fused = true;
    for (const NodeId id : r.nodes) {
      if (fused)
        done_.insert(id);
      else
        LowerSingle(id), done_.insert(id);
      if (old_.node(id).output() == output) fused = false;
    }
  }

  void EmitConv(const Node& anchor, const Codes& x, const QuantizedWeight& weight, const Codes* residual,
                const std::optional<Attrs>& activation, const Result& result, bool gemm) {
    Tensor codes = weight.codes;
    ValueId input = x.value;
    Attrs attrs;
    if (gemm) {
      codes = GemmWeight(anchor, codes);
      const ValueId shape =
          new_.AddConstant(anchor.name + ".input_shape", Tensor::From<int64_t>({4}, {0, codes.dim(1), 1, 1}));
      input = Emit("Reshape", anchor.name + "_input", {input, shape}, {}, anchor.name + "_input");
    } else {
      for (const char* key : {"strides", "pads", "dilations", "group"}) {
        if (anchor.has_attr(key)) attrs[key] = anchor.attrs.at(key);
      }
    }
    const int64_t channels = codes.dim(0);
    std::vector<float> m(static_cast<size_t>(channels));
    for (size_t k = 0; k < m.size(); ++k)
      m[k] = x.scale * (weight.scales.size() == 1 ? weight.scales[0] : weight.scales[k]);
    const ValueId w = new_.AddConstant(anchor.name + ".codes", codes);
    const ValueId multiplier = new_.AddConstant(anchor.name + ".m", Tensor::From<float>({channels}, m));
    attrs["residual_scale"] = residual != nullptr ? residual->scale : 0.0f;
    attrs["y_scale"] = result.scale;
    PutActivation(attrs, activation);
    std::vector<ValueId> inputs = {input, w, multiplier, Real(anchor.input(2))};
    if (residual != nullptr) inputs.push_back(residual->value);
    if (!gemm) {
      SetResult(result, Emit("QConv", anchor.name, inputs, attrs, result.name));
      return;
    }
    const ValueId y = Emit("QConv", anchor.name, inputs, attrs, result.name + "_4d");
    SetResult(result, Emit("Flatten", anchor.name + "_flatten", {y}, {{"axis", int64_t{1}}}, result.name));
  }

  void LowerSingle(NodeId id) {
    const Node& node = old_.node(id);
    if (node.op == "QuantizeLinear" && LowerQuantize(node)) return;
    if (node.op == "DequantizeLinear" && LowerDequantize(node)) return;
    if (RuleOf(node).Commutes(node) && node.outputs.size() == 1 && LowerCommuting(node)) return;
    if (RuleOf(node).region == ir::RegionRole::kJoin && LowerAdd(id)) return;
    if (LowerFunction(id) || LowerMul(node) || LowerConcat(node)) return;
    if ((node.op == "GlobalAveragePool" || node.op == "AveragePool") && LowerAverage(node)) return;
    CopyNode(node);
  }

  bool LowerQuantize(const Node& node) {
    if (old_.value(node.input(0)).is_constant()) return true;  // a weight: its reader asks WeightOf
    const std::optional<float> scale = ScalarScale(old_, node);
    OCTET_REQUIRE(scale.has_value(),
                  "node '{}': the INT8 engine needs one constant scale per activation and an INT8 zero point of 0",
                  node.name);
    const Codes* known = FindCodes(node.input(0));
    if (known != nullptr && known->scale == *scale) {
      codes_[node.output()] = *known;
      return true;
    }
    const std::string& name = old_.value(node.output()).name;
    if (known != nullptr) {
      const Tensor table = RequantizeTable(known->scale, *scale);
      codes_[node.output()] = {EmitLut(node, known->value, table, name), *scale};
      return true;
    }
    const ValueId made = Emit("QQuantize", node.name, {Real(node.input(0))}, {{"scale", *scale}}, name);
    codes_[node.output()] = {made, *scale};
    return true;
  }

  ValueId EmitLut(const Node& node, ValueId x, const Tensor& table, const std::string& name) {
    return Emit("QLut", node.name, {x, new_.AddConstant(node.name + ".table", table)}, {}, name);
  }

  // A function of one tensor of codes, quantized again.
  bool LowerFunction(NodeId id) {
    const Node& node = old_.node(id);
    const ValueId swish = SwishInput(old_, node);
    const Codes* x = FindCodes(swish != kNoValue ? swish : node.input(0));
    if (x == nullptr || node.outputs.size() != 1) return false;
    const Result result = ResultFor(node.output());
    if (result.quantize == kNoNode) return false;
    const std::optional<Tensor> table = TableOf(old_, id, x->scale, result.scale);
    if (!table) return false;
    SetResult(result, EmitLut(node, x->value, *table, result.name));
    return true;
  }

  // A gate: x * g, where g has one number for each channel (squeeze and excitation), or two tensors of one shape.
  bool LowerMul(const Node& node) {
    if (node.op != "Mul") return false;
    ValueId x = node.input(0), gate = node.input(1);
    if (Elements(x) < Elements(gate)) std::swap(x, gate);
    const Codes* a = FindCodes(x);
    const Codes* b = FindCodes(gate);
    const Shape& shape = old_.value(x).type.shape;
    Shape pooled = shape;
    for (size_t i = 2; i < pooled.size(); ++i) pooled[i] = 1;
    const Shape& other = old_.value(gate).type.shape;
    if (a == nullptr || b == nullptr || (other != shape && other != pooled)) return false;
    const Result result = ResultFor(node.output());
    const Attrs attrs = {{"a_scale", a->scale}, {"b_scale", b->scale}, {"y_scale", result.scale}};
    SetResult(result, Emit("QMul", node.name, {a->value, b->value}, attrs, result.name));
    return true;
  }
  // Without the batch, which may be unknown.
  int64_t Elements(ValueId v) const {
    int64_t n = 1;
    const Shape& shape = old_.value(v).type.shape;
    for (size_t i = 1; i < shape.size(); ++i) n *= shape[i];
    return n;
  }

  bool LowerConcat(const Node& node) {
    if (node.op != "Concat") return false;
    std::vector<ValueId> inputs;
    float scale = 0;
    for (const ValueId in : node.inputs) {
      const Codes* x = FindCodes(in);
      if (x == nullptr || (scale != 0 && x->scale != scale)) return false;
      scale = x->scale;
      inputs.push_back(x->value);
    }
    const std::string name = old_.value(node.output()).name + ".q";
    codes_[node.output()] = {Emit("Concat", node.name, inputs, node.attrs, name), scale};
    return true;
  }

  bool LowerDequantize(const Node& node) {
    if (const Codes* codes = FindCodes(node.input(0))) codes_[node.output()] = *codes;
    return true;  // of a weight: its reader asks WeightOf
  }

  // A pool's window with pads for what ceil_mode and auto_pad ask; nothing for dilation, unknown sizes, or windows that
  // would lie in the padding alone.
  std::optional<Attrs> ExplicitWindow(const Node& node) const {
    using Ints = std::vector<int64_t>;
    const Shape& shape = old_.value(node.input(0)).type.shape;
    const Ints kernel = node.attr_ints("kernel_shape", {});
    if (shape.size() != 4 || kernel.size() != 2 || shape[2] < 0 || shape[3] < 0) return {};
    const Shape in = {shape[2], shape[3]};
    const ops::Window w = ops::ResolveWindow(node, in, kernel);
    Ints pads = {w.begin[0], w.begin[1], 0, 0};
    for (size_t i = 0; i < 2; ++i) {
      if (w.dilations[i] != 1) return {};
      const int64_t reach = (w.out[i] - 1) * w.strides[i] + kernel[i] - in[i] - w.begin[i];
      pads[i + 2] = std::max(w.end[i], reach);
      if (pads[i + 2] >= kernel[i]) return {};
    }
    Attrs window = {{"kernel_shape", kernel}, {"strides", w.strides}};
    if (pads != Ints(4, 0)) window["pads"] = pads;
    return window;
  }

  bool LowerCommuting(const Node& node) {
    const Codes* x = FindCodes(node.input(0));
    if (x == nullptr) return false;
    const bool pool = node.op == "MaxPool";
    const float scale = x->scale;
    Attrs attrs = node.attrs;
    if (pool) {
      const std::optional<Attrs> window = ExplicitWindow(node);
      if (!window) return false;
      attrs = *window;
    }
    std::vector<ValueId> inputs = {x->value};
    for (size_t i = 1; i < node.inputs.size(); ++i) inputs.push_back(Real(node.inputs[i]));
    const std::string name = old_.value(node.output()).name + ".q";
    codes_[node.output()] = {Emit(pool ? "QMaxPool" : node.op, node.name, inputs, attrs, name), scale};
    return true;
  }

  // A sum's terms from left to right: codes, or codes times a constant number.
  struct Term {
    ValueId value;   // new
    ValueId source;  // old
    float scale;
    bool weighted;
  };
  bool CollectTerms(ValueId v, bool left, std::vector<Term>* terms) const {
    if (const Codes* x = FindCodes(v)) {
      terms->push_back({x->value, v, x->scale, false});
      return true;
    }
    const Node* p = old_.producer(v);
    if (p == nullptr || old_.only_consumer(v) == kNoNode) return false;
    if (p->op == "Mul") {
      for (size_t i = 0; i < 2; ++i) {
        const Codes* x = FindCodes(p->input(i));
        const ir::Value& factor = old_.value(p->input(1 - i));
        if (x == nullptr || !factor.is_constant() || factor.constant.size() != 1) continue;
        terms->push_back({x->value, p->input(i), x->scale * factor.constant.data<float>()[0], true});
        return true;
      }
      return false;
    }
    return left && p->op == "Add" && found_.region_of.count(old_.value(v).producer) == 0 &&
           CollectTerms(p->input(0), true, terms) && CollectTerms(p->input(1), false, terms);
  }

  bool LowerAdd(NodeId id) {
    const Node& node = old_.node(id);
    std::vector<Term> terms;
    if (!CollectTerms(node.input(0), true, &terms) || !CollectTerms(node.input(1), false, &terms)) return false;
    const Shape& shape = old_.value(node.output()).type.shape;
    bool plain = terms.size() == 2;
    std::vector<float> scales;
    std::vector<ValueId> values;
    for (const Term& t : terms) {
      if (old_.value(t.source).type.shape != shape || !std::isfinite(t.scale)) return false;
      plain = plain && !t.weighted;
      scales.push_back(t.scale);
      values.push_back(t.value);
    }
    if (terms.size() > 8) return false;
    ValueId output = node.output();
    std::optional<Attrs> activation;
    const NodeId next = old_.only_consumer(output);
    if (next != kNoNode && found_.region_of.count(next) == 0) activation = EpilogueOf(old_, next);
    const NodeId swish = MatchSwish(old_, output);
    NodeId last = next;
    if (swish != kNoNode) {
      activation = EpilogueOf(old_, swish);
      last = swish;
    }
    if (activation) output = old_.node(last).output();
    const Result result = ResultFor(output);
    Attrs attrs = {{"y_scale", result.scale}};
    PutActivation(attrs, activation);
    if (plain) {
      attrs["a_scale"] = scales[0];
      attrs["b_scale"] = scales[1];
    } else {
      attrs["scales"] = scales;
    }
    SetResult(result, Emit(plain ? "QAdd" : "QSum", node.name, values, attrs, result.name));
    if (activation) done_.insert(last);
    if (swish != kNoNode) done_.insert(old_.value(OtherInput(old_.node(swish), node.output())).producer);
    return true;
  }
  static ValueId OtherInput(const Node& node, ValueId v) { return node.input(0) == v ? node.input(1) : node.input(0); }

  bool LowerAverage(const Node& node) {
    const Codes* x = FindCodes(node.input(0));
    if (x == nullptr || old_.value(node.input(0)).type.shape.size() != 4) return false;
    const bool global = node.op == "GlobalAveragePool";
    Attrs attrs;
    if (!global) {
      // Padding of ceil_mode counts for nobody, that of pads for those who say so.
      const bool count = node.attr_int("count_include_pad", 0) != 0;
      const bool plain = node.attr_int("ceil_mode", 0) == 0 && node.attr_string("auto_pad", "NOTSET") == "NOTSET";
      const std::optional<Attrs> window = ExplicitWindow(node);
      if (!window || (count && !plain)) return false;
      attrs = *window;
      if (count) attrs["count_include_pad"] = int64_t{1};
    }
    const Result result = ResultFor(node.output());
    attrs["x_scale"] = x->scale;
    attrs["y_scale"] = result.scale;
    SetResult(result, Emit(global ? "QGlobalAveragePool" : "QAveragePool", node.name, {x->value}, attrs, result.name));
    return true;
  }

  void CopyNode(const Node& node) {
    std::vector<ValueId> inputs;
    for (const ValueId in : node.inputs) inputs.push_back(Real(in));
    std::vector<std::string> names;
    for (const ValueId out : node.outputs) names.push_back(out == kNoValue ? "" : old_.value(out).name);
    const NodeId made = new_.AddNode(node.op, node.name, inputs, names, node.attrs);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] != kNoValue) real_[node.outputs[i]] = new_.node(made).outputs[i];
    }
  }

  const Graph old_;
  const FusionRegions found_;
  Graph new_;
  std::unordered_map<ValueId, ValueId> real_;
  std::unordered_map<ValueId, Codes> codes_;
  std::unordered_set<NodeId> done_;
  std::unordered_set<size_t> skipped_;
};

}  // namespace

Graph LowerForEngine(const Graph& graph) {
  return Lowering(HoistQuantizers(GatherChannels(graph))).Run();
}

}  // namespace octet::passes

// Building blocks of the zoo: each call adds one node with its constants, initialised as TAO does (tao.md 3.1), and
// returns its output value. Names: node "conv1" makes value "conv1" and constants "conv1.weight", "conv1.bias".
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::zoo {

class Layers {
 public:
  struct Options {
    uint64_t seed = 42;
    float bn_epsilon = 1e-5f;
    float bn_momentum = 0.9f;  // running = momentum * running + (1 - momentum) * batch
    bool use_batch_norm = true;
    bool use_bias = false;
    std::string activation = "relu";  // relu, relu6, leaky_relu, swish, hard_swish, mish, none
    bool init_weights = true;         // false: zeros, for counting
  };

  Layers(ir::Graph& graph, Options options) : graph_(graph), options_(std::move(options)), rng_(options_.seed) {}

  ir::Graph& graph() { return graph_; }
  int64_t Channels(ir::ValueId x) const;

  struct ConvOptions {
    int64_t out_channels = 0;
    int64_t kernel = 1;
    int64_t stride = 1;
    int64_t group = 1;
    int64_t pad = -1;  // -1: (kernel - 1) / 2 on every side
    // TensorFlow's padding "same": the output has ceil(size / stride), and an odd pad has its larger half at the end.
    bool same = false;
    std::optional<bool> bias = std::nullopt;  // absent: when use_bias is set, or when there is no batch norm
    double stddev = 0;                        // of the initial weights; 0: sqrt(2 / fan_out)
    float bias_value = 0;                     // initial
    // "": its own. Else constants "<weights_of>.weight" and ".bias", shared by all who name them.
    std::string weights_of = "";
  };
  // Conv with normally distributed weights, and a constant bias.
  ir::ValueId Conv(const std::string& name, ir::ValueId x, const ConvOptions& conv);
  ir::ValueId BatchNorm(const std::string& name, ir::ValueId x);  // x itself when use_batch_norm is off
  ir::ValueId Activation(const std::string& name, ir::ValueId x,
                         const std::string& kind = "");  // "": options.activation
  ir::ValueId Add(const std::string& name, ir::ValueId a, ir::ValueId b);
  ir::ValueId MaxPool(const std::string& name, ir::ValueId x, int64_t kernel, int64_t stride, int64_t pad);
  ir::ValueId MaxPoolSame(const std::string& name, ir::ValueId x, int64_t kernel, int64_t stride);  // padding "same"
  ir::ValueId UpsampleNearest(const std::string& name, ir::ValueId x, int64_t factor);
  ir::ValueId GlobalAveragePool(const std::string& name, ir::ValueId x);
  ir::ValueId Concat(const std::string& name, std::vector<ir::ValueId> inputs);  // of channels
  // Active in training only. Drop-connect (per_sample) drops a whole sample's branch, not single elements.
  ir::ValueId Dropout(const std::string& name, ir::ValueId x, float rate, bool per_sample);

  // Squeeze and excitation: x * gate(expand(activation(reduce(mean of x)))), names <prefix>se_squeeze, se_reduce,
  // se_expand, se_excite. Its convolutions always have a bias and no batch norm.
  struct SqueezeExciteOptions {
    int64_t reduced = 1;     // channels in the middle
    std::string activation;  // "": options.activation
    bool hard_gate = false;  // relu6(x + 3) / 6 instead of sigmoid
  };
  ir::ValueId SqueezeExcite(const std::string& prefix, ir::ValueId x, const SqueezeExciteOptions& options);

  // GlobalAveragePool -> Flatten [-> Dropout "top_dropout"] -> Gemm ("logits") -> Softmax ("predictions"). The dense
  // weights are ~ U(+-1/sqrt(fan_in)): TAO scales them by 1/sqrt(classes), which with ten classes starts at a loss
  // of 8. `pooled`: x is [N,C,1,1] already.
  void ClassifierHead(ir::ValueId x, int64_t classes, bool pooled = false, float dropout = 0);

  // Any other operator: the node, with its output's type.
  ir::NodeId AddNode(const std::string& op, const std::string& name, std::vector<ir::ValueId> inputs,
                     ir::Attrs attrs = {}, const std::vector<std::string>& outputs = {});

 private:
  std::vector<int64_t> SamePads(ir::ValueId x, int64_t kernel, int64_t stride) const;
  Tensor Normal(const Shape& shape, double stddev);
  Tensor Uniform(const Shape& shape, double limit);
  ir::ValueId AddTyped(const std::string& op, const std::string& name, std::vector<ir::ValueId> inputs,
                       ir::Attrs attrs = {}, const std::string& output = "");

  ir::Graph& graph_;
  Options options_;
  std::mt19937_64 rng_;
};

}  // namespace octet::zoo

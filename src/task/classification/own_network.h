// model.backbone: byom ("bring your own model"): a classifier from the user's .onnx, made ready to be trained, pruned,
// quantized and exported like one of the zoo's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ir/graph.h"
#include "spec/spec.h"

namespace octet::task::classification {

inline constexpr const char* kByom = "byom";

// What the spec wants of the user's network. Nothing where the spec is silent: then the file decides.
struct OwnNetworkOptions {
  std::optional<int64_t> num_classes, channels, height, width;
  bool retain_head = false;  // another number of classes is an error instead of a new head
  uint64_t seed = 42;        // of a new head
  float bn_momentum = 0.9f;
  std::optional<float> bn_epsilon;
};
OwnNetworkOptions OwnNetworkFromSpec(const spec::Spec& spec);

// Imports the file: dynamic batch, f32 input [N,C,H,W] (an [N,H,W,C] input with a Transpose behind it becomes that),
// exporters' patterns simplified, a softmax at the end, the head replaced where the number of classes differs. metadata
// "backbone" is "byom". Throws a user Error that names the file and what to do.
ir::Graph ImportOwnNetwork(const std::string& path, const OwnNetworkOptions& options);

// A network that came from the user once (from a checkpoint): the spec's head and batch norm settings.
ir::Graph AdaptOwnNetwork(ir::Graph graph, const std::string& path, const OwnNetworkOptions& options);

// The file that defines the network of a byom spec: `checkpoint` when it is an .octet, else model.byom_model, else
// `checkpoint` when it is an .onnx, else "". Throws for a .tltb (TAO's encrypted form) and for other kinds of files.
std::string OwnNetworkFile(const spec::Spec& spec, const std::string& checkpoint);

// The spec with model.input_channels, input_height and input_width of the network in `file`, where the spec does not
// set them. A byom spec needs no sizes: they are the model's.
spec::Spec WithInputOf(const spec::Spec& spec, const std::string& file);

}  // namespace octet::task::classification

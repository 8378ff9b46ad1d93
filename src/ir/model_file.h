// A .octet file: one trained (or fresh) network with everything needed to train, evaluate or export it again.
//
// Layout, little-endian: 8 bytes "octetmdl", u32 version (1), u32 zero; then sections, each u32 kind, u64 bytes,
// payload; last a u64 FNV-1a checksum of all bytes before it. Sections: 1 = graph text (ir/text.h), 2 = info (JSON
// object of strings), 3 = one tensor: u8 group (0 = constant of the graph, 1 = state), u32 name length, name, u8 dtype,
// u8 rank, i64 sizes, data.
#pragma once

#include <map>
#include <string>

#include "ir/graph.h"

namespace octet::ir {

struct Model {
  Graph graph;
  // Free text: "octet_version", "backbone", "num_classes", "spec" (the YAML), "epoch", "classmap" (JSON), ...
  std::map<std::string, std::string> info;
  // Training state by name: optimizer moments, observer state, ... Empty in a model made for deployment.
  std::map<std::string, Tensor> state;
};

// Atomic: the file is whole or the old one stays.
void WriteModel(const std::string& path, const Model& model);

// Throws a user Error on a missing, truncated or corrupt file, naming the path and what is wrong.
Model ReadModel(const std::string& path);

std::string SerializeModel(const Model& model);
Model DeserializeModel(const std::string& bytes, const std::string& path_for_messages);

}  // namespace octet::ir

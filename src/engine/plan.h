// A .plan file: a network lowered for the INT8 engine, ready to run anywhere: docs/engine.md has the layout.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/mapped_file.h"
#include "ir/graph.h"

namespace octet::engine {

struct Plan {
  ir::Graph graph;  // lowered (passes/lower_for_engine)
  // Free text for those who run the plan: "network", "classmap" (JSON: index -> class name), preprocessing settings,
  // ...
  std::map<std::string, std::string> info;
  std::shared_ptr<const MappedFile> file =
      nullptr;  // where the codes of constants lie, when the plan was read from a file
};

// Atomic: the file is whole or the old one stays.
void WritePlan(const std::string& path, const Plan& plan);

// Throws a user Error that names the path and what is wrong: missing, truncated, damaged, another version, not a plan.
Plan ReadPlan(const std::string& path);

// FNV-1a over 8-byte words in four interleaved lanes, then over the lanes and the last bytes: at the speed of memory.
uint64_t PlanChecksum(const char* data, size_t size);

std::string SerializePlan(const Plan& plan);
Plan DeserializePlan(const std::string& bytes, const std::string& path_for_messages);

}  // namespace octet::engine

// Commented example specs, as `octet <task> download_specs` writes them. Each loads as it is (a test loads them).
#pragma once

#include <string>
#include <vector>

namespace octet::spec {

struct Sample {
  std::string file;  // "spec.yaml"
  std::string text;
};

// In the order of the workflow. The task must be in the tables; empty when there are no samples for it.
std::vector<Sample> Samples(const std::string& task);

std::vector<Sample> EfficientDetSamples();

// Writes the samples of `task` into `folder`, which is made, and returns their paths. Throws a user Error, before
// anything is written, when a file is there already with another content.
std::vector<std::string> WriteSamples(const std::string& task, const std::string& folder);

}  // namespace octet::spec

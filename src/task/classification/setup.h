// From a classification spec to the pieces that its commands share: network and preprocessing options, data sets,
// result folders, and the settings that travel inside model files and plans.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/data_loader.h"
#include "data/image_folder.h"
#include "data/image_set.h"
#include "data/preprocess.h"
#include "ir/graph.h"
#include "report/run_report.h"
#include "spec/spec.h"
#include "task/run.h"
#include "zoo/zoo.h"

namespace octet::task::classification {

zoo::NetworkOptions NetworkFromSpec(const spec::Spec& spec);
data::PreprocessOptions PreprocessFromSpec(const spec::Spec& spec);

// The network's input must be what the spec's preprocessing makes. Throws a user Error that names both sizes.
void RequireInputSize(const ir::Graph& graph, const data::PreprocessOptions& preprocess, const std::string& where);

// Class names and preprocessing as strings, for model files and plans; and back.
std::map<std::string, std::string> DescribeData(const std::vector<std::string>& classes,
                                                const data::PreprocessOptions& preprocess);
std::vector<std::string> ClassesOf(const std::map<std::string, std::string>& info);
// What the file was trained with; where it says nothing, the spec's settings, and where those do not say the size
// either, the input of the network in `path`.
data::PreprocessOptions PreprocessOf(const std::map<std::string, std::string>& info, const spec::Spec& spec,
                                     const std::string& path = "");

// A scanned and validated folder of class folders; bad images are reported and counted in the report as
// "<what>_skipped".
std::shared_ptr<data::ImageSet> LoadImages(const data::ImageFolder& folder, const data::PreprocessOptions& preprocess,
                                           int threads, const std::string& what, report::RunReport& report);

}  // namespace octet::task::classification

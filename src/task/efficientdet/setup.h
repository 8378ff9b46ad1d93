// From an EfficientDet spec to the pieces that its commands share.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/coco.h"
#include "data/detection_loader.h"
#include "detection/anchors.h"
#include "detection/detections.h"
#include "report/run_report.h"
#include "spec/spec.h"
#include "task/run.h"
#include "task/start_network.h"
#include "zoo/efficientdet.h"

namespace octet::task::efficientdet {

zoo::EfficientDetOptions NetworkFromSpec(const spec::Spec& spec);
NetworkKind KindFromSpec(const spec::Spec& spec);

// What turns a network's outputs into boxes; travels inside model files and plans.
struct Detector {
  std::vector<std::string> classes;  // may be fewer than the network's outputs
  std::vector<int64_t> category_ids;
  detection::AnchorOptions anchors;  // input size included
};
Detector DetectorFromSpec(const spec::Spec& spec);  // no classes
std::map<std::string, std::string> DescribeDetector(const Detector& detector);
// What the file was trained with; where it says nothing, the spec's settings.
Detector DetectorOf(const std::map<std::string, std::string>& info, const spec::Spec& spec);

// The network reads what the detector's input size says and has an output for each anchor and class. Throws a user
// Error.
void RequireDetector(const ir::Graph& graph, const Detector& detector, const std::string& where);

// Of `what` ("train", "val"): <what>_json_file with the images of the folder <what>_dirs, or <what>_tfrecords. Class
// names are checked against the detector's, when it has any.
std::shared_ptr<data::CocoSet> LoadSet(const spec::Spec& spec, const std::string& what, const Detector& detector,
                                       report::RunReport& report);

data::DetectionLoaderOptions LoaderOptions(const spec::Spec& spec, const Detector& detector, int batch_size);
detection::PostProcessOptions PostProcessFromSpec(const spec::Spec& spec);

}  // namespace octet::task::efficientdet

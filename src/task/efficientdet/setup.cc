#include "task/efficientdet/setup.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "data/coco_records.h"
#include "onnx/onnx_import.h"
#include "task/predictor.h"
#include "task/pretrained.h"

namespace octet::task::efficientdet {
namespace {

constexpr char kNameKey[] = "model.name";

// The backbone's own name as a classifier, whose weights may be loaded.
std::string BackboneOf(const std::string& name) {
  for (const zoo::EfficientDetVariant& v : zoo::EfficientDetVariants()) {
    if (v.name == name) return (v.lite ? "efficientnet-lite" : "efficientnet-b") + std::to_string(v.backbone);
  }
  return "";
}

// The spec's network with the checkpoint's weights (of a detector or of its backbone); or the checkpoint's own graph,
// which may be pruned or quantized.
ir::Graph FromCheckpoint(const spec::Spec& spec, const std::string& path) {
  const bool octets = !EndsWith(path, ".safetensors") &&
                      (KindOfFile(path) != FileKind::kOnnx || !NetworkName(onnx::ReadMetadata(path)).empty());
  if (octets) {
    ir::Graph found = ReadGraph(path);
    const std::string name = NetworkName(found.metadata());
    if (!name.empty() && name != BackboneOf(spec.GetString(kNameKey))) {
      const int64_t classes = spec.GetInt("dataset.num_classes");
      RequireSameNetwork(found, spec, kNameKey, path);
      if (ClassesOfGraph(found) == classes) {
        RequireDetector(found, DetectorFromSpec(spec), "checkpoint '" + path + "'");
        return found;
      }
      RequireNewClassesPossible(found, path, classes);
    }
  }
  ir::Graph graph = zoo::BuildEfficientDet(NetworkFromSpec(spec));
  LoadWeights(graph, path);
  return graph;
}

}  // namespace

zoo::EfficientDetOptions NetworkFromSpec(const spec::Spec& spec) {
  const detection::AnchorOptions anchors = DetectorFromSpec(spec).anchors;
  zoo::EfficientDetOptions o;
  o.name = spec.GetString("model.name");
  o.num_classes = spec.GetInt("dataset.num_classes");
  o.input_height = anchors.height;
  o.input_width = anchors.width;
  o.min_level = anchors.min_level;
  o.max_level = anchors.max_level;
  o.anchors_per_cell = anchors.per_cell();
  o.activation_type = spec.GetString("model.activation_type");
  o.seed = static_cast<uint64_t>(spec.GetInt("train.random_seed"));
  return o;
}

NetworkKind KindFromSpec(const spec::Spec& spec) {
  NetworkKind kind;
  kind.name_key = kNameKey;
  kind.begin = [&spec](std::string& description) {
    const std::string pruned = spec.GetString("train.pruned_model_path");
    const std::string checkpoint = pruned.empty() ? spec.GetString("train.checkpoint") : pruned;
    description = checkpoint.empty() ? "fresh weights" : "weights of " + checkpoint;
    return checkpoint.empty() ? zoo::BuildEfficientDet(NetworkFromSpec(spec)) : FromCheckpoint(spec, checkpoint);
  };
  kind.require_input = [&spec](const ir::Graph& graph, const std::string& where) {
    RequireDetector(graph, DetectorFromSpec(spec), where);
  };
  kind.qat_options = [](const ir::Graph& graph, const std::string& recipe) {
    passes::InsertQdqOptions options;
    options.keep_fp32 = recipe == "inputs" ? zoo::LayersTaoLeavesFloat(graph) : zoo::PredictionLayers(graph);
    return options;
  };
  return kind;
}

Detector DetectorFromSpec(const spec::Spec& spec) {
  Detector d;
  d.anchors.height = spec.GetInt("model.input_height");
  d.anchors.width = spec.GetInt("model.input_width");
  d.anchors.min_level = spec.GetInt("model.min_level");
  d.anchors.max_level = spec.GetInt("model.max_level");
  d.anchors.num_scales = spec.GetInt("model.num_scales");
  d.anchors.anchor_scale = spec.GetFloat("model.anchor_scale");
  d.anchors.aspect_ratios =
      detection::ParseAspectRatios(spec.GetString("model.aspect_ratios"), spec.Where("model.aspect_ratios"));
  return d;
}

std::map<std::string, std::string> DescribeDetector(const Detector& d) {
  const nlohmann::json anchors = {{"height", d.anchors.height},
                                  {"width", d.anchors.width},
                                  {"min_level", d.anchors.min_level},
                                  {"max_level", d.anchors.max_level},
                                  {"num_scales", d.anchors.num_scales},
                                  {"anchor_scale", d.anchors.anchor_scale},
                                  {"aspect_ratios", detection::ToString(d.anchors.aspect_ratios)}};
  return {{"task", "efficientdet"},
          {"octet_version", report::OctetVersion()},
          {"classes", nlohmann::json(d.classes).dump()},
          {"category_ids", nlohmann::json(d.category_ids).dump()},
          {"anchors", anchors.dump()}};
}

Detector DetectorOf(const std::map<std::string, std::string>& info, const spec::Spec& spec) {
  Detector d = DetectorFromSpec(spec);
  if (info.count("anchors") == 0) return d;
  try {
    const nlohmann::json a = nlohmann::json::parse(info.at("anchors"));
    d.anchors.height = a.at("height");
    d.anchors.width = a.at("width");
    d.anchors.min_level = a.at("min_level");
    d.anchors.max_level = a.at("max_level");
    d.anchors.num_scales = a.at("num_scales");
    d.anchors.anchor_scale = a.at("anchor_scale");
    d.anchors.aspect_ratios = detection::ParseAspectRatios(a.at("aspect_ratios"), "network file");
    d.classes = nlohmann::json::parse(info.at("classes")).get<std::vector<std::string>>();
    d.category_ids = nlohmann::json::parse(info.at("category_ids")).get<std::vector<int64_t>>();
  } catch (const std::exception& e) {
    OCTET_FAIL("the detector's settings inside the network file are damaged: {}", e.what());
  }
  return d;
}

void RequireDetector(const ir::Graph& graph, const Detector& d, const std::string& where) {
  RequireInput(graph, 3, d.anchors.height, d.anchors.width, where);
  int64_t anchors = 0;
  for (int64_t level = d.anchors.min_level; level <= d.anchors.max_level; ++level) {
    anchors += (d.anchors.height >> level) * (d.anchors.width >> level) * d.anchors.per_cell();
  }
  for (const char* name : {"class_logits", "box_codes"}) {
    const ir::ValueId id = graph.Find(name);
    OCTET_REQUIRE(id != ir::kNoValue && graph.is_output(id),
                  "{}: the network has no output '{}'; octet runs detectors with raw heads (export.postprocess: raw)",
                  where, name);
    const Shape& shape = graph.value(id).type.shape;
    OCTET_REQUIRE(shape.size() == 3 && (shape[1] < 0 || shape[1] == anchors),
                  "{}: '{}' has shape {}, but the anchors of the spec are {}; set model.num_scales, aspect_ratios, "
                  "min_level and max_level to the network's",
                  where, name, octet::ToString(shape), anchors);
  }
}

std::shared_ptr<data::CocoSet> LoadSet(const spec::Spec& spec, const std::string& what, const Detector& detector,
                                       report::RunReport& report) {
  const std::string key = "dataset." + what;
  const std::string warnings = report.folder() + "/" + what + "_warnings.json";
  const std::vector<std::string> records = spec.GetStrings(key + "_tfrecords");
  const std::string json = spec.GetString(key + "_json_file");
  const std::vector<std::string> folders = spec.GetStrings(key + "_dirs");
  auto set = std::make_shared<data::CocoSet>();
  std::string source;
  if (!json.empty() && !folders.empty()) {  // with TFRecords, TAO's spec has a json file as well, and no folder
    OCTET_REQUIRE(folders.size() == 1, "{}: {}_dirs has {} folders; give the one folder with the images of {}",
                  spec.Where(key + "_dirs"), key, folders.size(), json);
    data::CocoOptions options;
    options.num_classes = static_cast<int>(spec.GetInt("dataset.num_classes"));
    options.classes = detector.classes;
    options.category_ids = detector.category_ids;
    options.what = key + "_json_file";
    options.warnings_path = warnings;
    source = spec.RequireFile(key + "_json_file");
    *set = data::ReadCoco(source, folders[0], options);
  } else {
    OCTET_REQUIRE(!records.empty(),
                  "{}: there is no {} set; give dataset.{}_json_file and dataset.{}_dirs (COCO), or "
                  "dataset.{}_tfrecords",
                  spec.file(), what == "train" ? "training" : "validation", what, what, what);
    data::RecordOptions options;
    options.num_classes = static_cast<int>(spec.GetInt("dataset.num_classes"));
    options.classes = detector.classes;
    options.category_ids = detector.category_ids;
    options.what = key + "_tfrecords";
    options.warnings_path = warnings;
    source = key + "_tfrecords";
    *set = data::ReadCocoRecords(records, options);
  }
  int64_t boxes = 0;
  for (const data::CocoSet::Image& image : set->images) boxes += static_cast<int64_t>(image.boxes.size());
  LogInfo("{}: {} images, {} boxes of {} classes; {} boxes clipped, {} left out", source, set->images.size(), boxes,
          set->classes.size(), set->clipped, set->dropped.size());
  report.Metric(what + "_images", static_cast<double>(set->images.size()));
  report.Metric(what + "_boxes", static_cast<double>(boxes));
  report.Metric(what + "_boxes_dropped", static_cast<double>(set->dropped.size()));
  return set;
}

data::DetectionLoaderOptions LoaderOptions(const spec::Spec& spec, const Detector& detector, int batch_size) {
  data::DetectionLoaderOptions o;
  o.width = static_cast<int>(detector.anchors.width);
  o.height = static_cast<int>(detector.anchors.height);
  o.batch_size = batch_size;
  o.max_boxes = static_cast<int>(spec.GetInt("dataset.max_instances_per_image"));
  o.skip_crowd = spec.GetBool("dataset.skip_crowd_during_training");
  o.workers = DataWorkers(spec, "dataset.loader.n_workers");
  o.prefetch = static_cast<int>(spec.GetInt("dataset.loader.prefetch_size"));
  o.seed = static_cast<uint64_t>(spec.GetInt("train.random_seed"));
  o.augmentation.rand_hflip = spec.GetBool("dataset.augmentation.rand_hflip");
  o.augmentation.random_crop_min_scale = spec.GetFloat("dataset.augmentation.random_crop_min_scale");
  o.augmentation.random_crop_max_scale = spec.GetFloat("dataset.augmentation.random_crop_max_scale");
  o.augmentation.auto_color_distortion = spec.GetBool("dataset.augmentation.auto_color_distortion");
  o.augmentation.auto_translate_xy = spec.GetBool("dataset.augmentation.auto_translate_xy");
  return o;
}

detection::PostProcessOptions PostProcessFromSpec(const spec::Spec& spec) {
  detection::PostProcessOptions o;
  o.score_threshold = static_cast<float>(spec.GetFloat("evaluate.score_threshold"));
  o.iou_threshold = static_cast<float>(spec.GetFloat("evaluate.iou_threshold"));
  o.max_output_boxes = static_cast<int>(spec.GetInt("evaluate.max_detections_per_image"));
  o.max_nms_inputs = static_cast<int>(spec.GetInt("evaluate.max_nms_inputs"));
  return o;
}

}  // namespace octet::task::efficientdet

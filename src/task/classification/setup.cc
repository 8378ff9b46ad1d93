#include "task/classification/setup.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/preprocess_json.h"
#include "task/classification/own_network.h"

namespace octet::task::classification {

zoo::NetworkOptions NetworkFromSpec(const spec::Spec& spec) {
  zoo::NetworkOptions o;
  o.backbone = spec.GetString("model.backbone");
  o.num_classes = spec.GetInt("dataset.num_classes");
  o.input_channels = spec.GetInt("model.input_channels");
  o.input_height = spec.GetInt("model.input_height");
  o.input_width = spec.GetInt("model.input_width");
  o.seed = static_cast<uint64_t>(spec.GetInt("train.random_seed"));
  o.bn_momentum = static_cast<float>(spec.GetFloat("train.bn_config.momentum"));
  o.bn_epsilon = static_cast<float>(spec.GetFloat("train.bn_config.epsilon"));
  o.use_batch_norm = spec.GetBool("model.use_batch_norm");
  o.use_bias = spec.GetBool("model.use_bias");
  o.use_pooling = spec.GetBool("model.use_pooling");
  o.all_projections = spec.GetBool("model.all_projections");
  o.width_multiplier = static_cast<float>(spec.GetFloat("model.width_multiplier"));
  o.dropout = static_cast<float>(spec.GetFloat("model.dropout"));
  o.retain_head = spec.GetBool("model.retain_head");
  o.activation_type = spec.GetString("model.activation_type");
  return o;
}

data::PreprocessOptions PreprocessFromSpec(const spec::Spec& spec) {
  data::PreprocessOptions o;
  o.width = static_cast<int>(spec.GetInt("model.input_width"));
  o.height = static_cast<int>(spec.GetInt("model.input_height"));
  o.channels = static_cast<int>(spec.GetInt("model.input_channels"));
  o.depth = static_cast<int>(spec.GetInt("model.input_image_depth"));
  o.mode = data::PreprocessModeFromName(spec.GetString("dataset.preprocess_mode"));
  o.image_mean = spec.GetFloats("dataset.image_mean");
  o.interpolation = data::InterpolationFromName(spec.GetString("model.resize_interpolation_method"));
  o.center_crop = spec.GetBool("dataset.augmentation.enable_center_crop");
  o.random_crop = spec.GetBool("dataset.augmentation.enable_random_crop");
  o.color = spec.GetBool("dataset.augmentation.enable_color_augmentation");
  o.flip = !spec.GetBool("dataset.augmentation.disable_horizontal_flip");
  o.random_shift = static_cast<int>(spec.GetInt("dataset.augmentation.random_shift"));
  return o;
}

void RequireInputSize(const ir::Graph& graph, const data::PreprocessOptions& p, const std::string& where) {
  RequireInput(graph, p.channels, p.height, p.width, where);
}

std::map<std::string, std::string> DescribeData(const std::vector<std::string>& classes,
                                                const data::PreprocessOptions& p) {
  return {{"task", "classification"},
          {"octet_version", report::OctetVersion()},
          {"classes", nlohmann::json(classes).dump()},
          {"preprocess", data::PreprocessToJson(p)}};
}

std::vector<std::string> ClassesOf(const std::map<std::string, std::string>& info) {
  const auto it = info.find("classes");
  if (it == info.end()) return {};
  try {
    return nlohmann::json::parse(it->second).get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception& e) {
    OCTET_FAIL("the class names inside the network file are damaged: {}", e.what());
  }
}

data::PreprocessOptions PreprocessOf(const std::map<std::string, std::string>& info, const spec::Spec& spec,
                                     const std::string& path) {
  const auto it = info.find("preprocess");
  if (it == info.end()) return PreprocessFromSpec(WithInputOf(spec, path));
  data::PreprocessOptions p = PreprocessFromSpec(spec);
  data::ReadPreprocessJson(it->second, &p);
  return p;
}

std::shared_ptr<data::ImageSet> LoadImages(const data::ImageFolder& folder, const data::PreprocessOptions& preprocess,
                                           int threads, const std::string& what, report::RunReport& report) {
  data::ImageSetOptions options;
  options.decode.channels = preprocess.channels;
  options.decode.depth = preprocess.depth;
  options.threads = threads;
  options.what = what + " images";
  auto images = std::make_shared<data::ImageSet>(folder, options);
  report.Metric(what + "_images", static_cast<double>(images->size()));
  report.Metric(what + "_images_skipped", static_cast<double>(images->bad().size()));
  return images;
}

}  // namespace octet::task::classification

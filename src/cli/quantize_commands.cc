#include "cli/quantize_commands.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "base/parallel.h"
#include "base/strings.h"
#include "cli/inspect.h"
#include "task/ptq/examine_file.h"
#include "task/ptq/quantize_file.h"

namespace octet::cli {
namespace {

using task::QuantizeFileOptions;

// What the flags say, before it is checked.
struct Flags {
  QuantizeFileOptions options;
  std::string method = "auto", equalize = "auto", bias = "auto", resize = "stretch", interpolation = "bilinear";
  std::vector<double> mean, std;
  std::string keep_fp32;
  std::vector<std::string> shapes;
  std::string cache, mode = "quantize-one";  // sensitivity, inspect --ranges
  bool json = false, ranges = false, graph = false;
};

// "data=1,3,224,224" or "1,3,224,224"; N or -1 in front leaves the batch open.
std::pair<std::string, Shape> ParseShape(const std::string& text) {
  const size_t equal = text.rfind('=');
  OCTET_REQUIRE(equal != std::string::npos && equal > 0, "--input-shape '{}': expected NAME=N,3,224,224", text);
  Shape shape;
  for (const std::string& part : Split(text.substr(equal + 1), ',')) {
    const std::string word(Trim(part));
    if (word == "N") {
      shape.push_back(ir::kDynamic);
      continue;
    }
    OCTET_REQUIRE(!word.empty() && word.size() < 10 && word.find_first_not_of("-0123456789") == std::string::npos,
                  "--input-shape '{}': '{}' is no size", text, word);
    shape.push_back(std::atoll(word.c_str()));
  }
  return {text.substr(0, equal), shape};
}

CLI::Option* AddImageFlags(CLI::App* app, Flags* f) {
  CLI::Option* images = app->add_option("--images", f->options.images.path,
                                        "Folder or pattern of images to calibrate with, or a folder of .npy inputs");
  app->add_option("--max-images", f->options.images.max_images, "Use so many, evenly spread; 0: all")
      ->capture_default_str();
  app->add_option("--batch-size", f->options.images.batch_size, "Images a batch, where the network leaves it open")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app->add_option("--mode", f->options.preprocess_mode,
                  "Preprocessing: torch, caffe, tf, or affine (with --mean, --std, --bgr)");
  app->add_option("--mean", f->mean, "affine: subtracted from pixel values 0..255, one or one a channel")
      ->delimiter(',');
  app->add_option("--std", f->std, "affine: what the difference is divided by")->delimiter(',');
  app->add_flag("--bgr", f->options.images.preprocess.bgr, "affine: blue first");
  app->add_option("--resize", f->resize, "stretch, or crop (cover, then the middle)")->capture_default_str();
  app->add_option("--interpolation", f->interpolation, "bilinear or bicubic")->capture_default_str();
  app->add_option("--input-shape", f->shapes, "NAME=N,3,224,224: sizes that the file leaves open");
  return images;
}

void AddRangeFlags(CLI::App* app, Flags* f) {
  app->add_option("--method", f->method, "auto, max, moving_average, percentile, mse or entropy")
      ->capture_default_str();
  app->add_option("--percentile", f->options.ptq.percentile, "Of method percentile")->capture_default_str();
  app->add_option("--probe-images", f->options.ptq.probe_images, "Images for what is measured")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app->add_option("--seed", f->options.ptq.seed, "Which images these are")->capture_default_str();
  app->add_option("--keep-fp32", f->keep_fp32, "Layers, separated by commas; auto: as --max-drop and --min-sqnr need");
}

void Finish(Flags* f) {
  QuantizeFileOptions& o = f->options;
  data::PreprocessOptions& p = o.images.preprocess;
  if (!o.preprocess_mode.empty()) {
    p.mode = data::PreprocessModeFromName(o.preprocess_mode);
    const bool affine = p.mode == data::PreprocessMode::kAffine;
    OCTET_REQUIRE(affine || f->std.empty(), "--std goes with --mode affine");
    OCTET_REQUIRE(affine || f->mean.empty() || p.mode == data::PreprocessMode::kCaffe,
                  "--mean goes with --mode affine or caffe");
    if (affine) p.image_mean = {0};
    if (!f->mean.empty()) p.image_mean = f->mean;
    if (!f->std.empty()) p.image_std = f->std;
    OCTET_REQUIRE(f->resize == "stretch" || f->resize == "crop", "--resize '{}'; expected stretch or crop", f->resize);
    p.center_crop = f->resize == "crop";
    p.interpolation = data::InterpolationFromName(f->interpolation);
  }
  o.ptq.method = quant::CalibrationMethodFromName(f->method);
  o.ptq.equalize = task::ApplyFromName(f->equalize);
  o.ptq.correct_bias = task::ApplyFromName(f->bias);
  o.ptq.threads = o.images.threads = HardwareThreads();
  for (const std::string& text : f->shapes) o.input_shapes.insert(ParseShape(text));
  if (f->keep_fp32 == "auto") {
    OCTET_REQUIRE(o.ptq.max_drop >= 0 || o.ptq.min_sqnr_db >= 0,
                  "--keep-fp32 auto needs --max-drop PERCENT or --min-sqnr DB to know when to stop");
  } else {
    OCTET_REQUIRE(o.ptq.max_drop < 0 && o.ptq.min_sqnr_db < 0, "--max-drop and --min-sqnr go with --keep-fp32 auto");
    for (const std::string& name : Split(f->keep_fp32, ',')) {
      if (!Trim(name).empty()) o.ptq.keep_fp32.insert(std::string(Trim(name)));
    }
  }
}

}  // namespace

void AddQuantize(CLI::App& app, std::function<void()>* action) {
  CLI::App* quantize =
      app.add_subcommand("quantize", "Post-training quantization of any ONNX file: cache, Q/DQ ONNX, plan, report");
  const auto f = std::make_shared<Flags>();
  QuantizeFileOptions& o = f->options;
  quantize->add_option("file", o.path, ".onnx, or a float .octet")->required();
  quantize->add_option("-o,--output", o.deployment.folder, "Folder to write")->required();
  AddImageFlags(quantize, f.get())->required();
  AddRangeFlags(quantize, f.get());
  quantize->add_option("--equalize", f->equalize, "Cross-layer equalization: auto, on, off")->capture_default_str();
  quantize->add_option("--bias-correction", f->bias, "auto, on, off")->capture_default_str();
  quantize->add_option("--max-drop", o.ptq.max_drop, "Percent of images whose largest class may change");
  quantize->add_option("--min-sqnr", o.ptq.min_sqnr_db, "dB that the outputs must reach");
  quantize->add_option("--tensorrt", o.deployment.tensorrt_version, "Version that will read the files")
      ->capture_default_str();
  quantize->add_option("--opset", o.deployment.opset, "ONNX opset, 13 to 21")->capture_default_str();
  quantize->add_option("--qdq", o.deployment.qdq_target, "Q/DQ file for trt, ort or both")->capture_default_str();
  quantize->add_flag("--dla", o.deployment.dla, "The cache and the command are for a DLA core");
  quantize->final_callback([f, action] {
    *action = [f] {
      Finish(f.get());
      task::QuantizeFile(f->options);
    };
  });

  CLI::App* sensitivity =
      app.add_subcommand("sensitivity", "Which layers lose most by INT8: one at a time is quantized, or kept in FP32");
  const auto s = std::make_shared<Flags>();
  sensitivity->add_option("file", s->options.path, ".onnx or .octet, quantized or float")->required();
  AddImageFlags(sensitivity, s.get())->required();
  AddRangeFlags(sensitivity, s.get());
  sensitivity->add_option("--cache", s->cache, "Calibration cache of a float file; without one it is calibrated");
  sensitivity->add_option("--by", s->mode, "quantize-one or keep-one")
      ->capture_default_str()
      ->check(CLI::IsMember({"quantize-one", "keep-one"}));
  sensitivity->add_flag("--json", s->json, "JSON instead of text");
  sensitivity->final_callback([s, action] {
    *action = [s] {
      Finish(s.get());
      const auto mode = s->mode == "keep-one" ? task::SensitivityMode::kKeepOne : task::SensitivityMode::kQuantizeOne;
      std::fputs(task::ExamineSensitivity(s->options, s->cache, mode, s->json).c_str(), stdout);
    };
  });
}

void AddInspect(CLI::App& app, std::function<void()>* action) {
  CLI::App* inspect = app.add_subcommand("inspect", "Show what is inside a .octet, .onnx, .plan or calibration cache");
  const auto f = std::make_shared<Flags>();
  inspect->add_option("file", f->options.path, "File")->required();
  inspect->add_flag("--graph", f->graph, "The whole graph as text");
  CLI::Option* ranges = inspect->add_flag(
      "--ranges", f->ranges, "Range, scale and saturation of every tensor, SQNR of every layer, on --images");
  AddImageFlags(inspect, f.get())->needs(ranges);
  inspect->add_option("--cache", f->cache, "Calibration cache of a float .onnx, for --ranges")->needs(ranges);
  inspect->add_flag("--json", f->json, "JSON instead of text, for --ranges")->needs(ranges);
  inspect->final_callback([f, action] {
    *action = [f] {
      if (!f->ranges) {
        std::fputs(Inspect(f->options.path, f->graph).c_str(), stdout);
        return;
      }
      OCTET_REQUIRE(!f->options.images.path.empty(), "--ranges needs --images DIR to measure with");
      Finish(f.get());
      std::fputs(task::ExamineRanges(f->options, f->cache, f->json).c_str(), stdout);
    };
  });
}

}  // namespace octet::cli

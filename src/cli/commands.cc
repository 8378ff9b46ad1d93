#include "cli/commands.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/parallel.h"
#include "cli/compare.h"
#include "cli/quantize_commands.h"
#include "data/synthetic.h"
#include "lint/lint.h"
#include "ops/install.h"
#include "report/run_report.h"
#include "spec/samples.h"
#include "spec/spec.h"
#include "task/classification/classification.h"
#include "task/efficientdet/efficientdet.h"

namespace octet::cli {
namespace {

struct TaskCommand {
  const char* name;
  const char* alias;
  const char* help;
  void (*run)(const spec::Spec&);
};

constexpr TaskCommand kClassification[] = {
    {"train", "", "Train in FP32, or with QAT (train.qat: true, or training_config.enable_qat: true)",
     task::classification::Train},
    {"evaluate", "", "Accuracy of a checkpoint, an .onnx or an INT8 .plan", task::classification::Evaluate},
    {"prune", "", "Remove weak filters of a trained float network; then train it again", task::classification::Prune},
    {"export", "", "FP32 ONNX, calibration cache and Q/DQ ONNX", task::classification::Export},
    {"calibrate", "", "Post-training quantization of a float model: cache, Q/DQ ONNX, plan, report",
     task::classification::Calibrate},
    {"build", "gen_trt_engine", "INT8 .plan for octet's CPU engine", task::classification::Build},
    {"inference", "", "Classify a folder of images into result.csv", task::classification::Infer},
};

constexpr TaskCommand kEfficientDet[] = {
    {"dataset_convert", "", "COCO annotations and images into TFRecord files", task::efficientdet::DatasetConvert},
    {"train", "", "Train in FP32, or with QAT (train.qat: true)", task::efficientdet::Train},
    {"evaluate", "", "COCO's average precision of a checkpoint, an .onnx or an INT8 .plan",
     task::efficientdet::Evaluate},
    {"prune", "", "Remove weak filters of a trained float network; then train it again", task::efficientdet::Prune},
    {"export", "", "FP32 ONNX, calibration cache and Q/DQ ONNX", task::efficientdet::Export},
    {"calibrate", "", "Post-training quantization of a float model: cache, Q/DQ ONNX, plan, report",
     task::efficientdet::Calibrate},
    {"build", "gen_trt_engine", "INT8 .plan for octet's CPU engine", task::efficientdet::Build},
    {"inference", "", "Pictures with boxes, COCO results and KITTI labels of images", task::efficientdet::Infer},
};

class CommandLine {
 public:
  CommandLine() : app_("octet: quantization-aware training for vision networks") {
    app_.set_version_flag("--version", std::string("octet ") + report::OctetVersion());
    app_.add_flag("-v,--verbose", verbose_, "Debug messages");
    app_.require_subcommand(1);
    app_.fallthrough();
    AddTask("classification", "Image classification", kClassification);
    AddTask("efficientdet", "Object detection", kEfficientDet);
    AddDataset();
    AddInspect(app_, &action_);
    AddLint();
    AddQuantize(app_, &action_);
    AddCompare();
    AddSpec();
  }

  int Run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
      const int code = app_.exit(e);
      return code == 0 ? 0 : 2;
    }
    InitLog(verbose_ ? LogLevel::kDebug : LogLevel::kInfo);
    action_();
    return exit_code_;
  }

 private:
  template <size_t N>
  void AddTask(const char* name, const char* help, const TaskCommand (&commands)[N]) {
    CLI::App* task = app_.add_subcommand(name, help)->alias(std::string(name) + "_tf2");
    task->require_subcommand(1);
    for (const TaskCommand& command : commands) {
      CLI::App* sub = task->add_subcommand(command.name, command.help);
      if (command.alias[0] != '\0') sub->alias(command.alias);
      sub->add_option("-e,--experiment_spec_file", spec_file_, "YAML spec")->required();
      sub->add_option("overrides", overrides_, "key.sub=value: overrides of the spec");
      sub->final_callback([this, name, &command] {
        action_ = [this, name, &command] { command.run(spec::LoadSpec(name, spec_file_, overrides_)); };
      });
    }
    AddDownloadSpecs(task, name);
  }

  void AddDownloadSpecs(CLI::App* task, const std::string& name) {
    CLI::App* sub = task->add_subcommand("download_specs", "Write commented example specs into a folder");
    sub->add_option("-o,--output,-r,--results_dir", folder_, "Folder to write; also target_data_dir=FOLDER, as in TAO");
    sub->add_option("settings", overrides_, "TAO's target_data_dir=FOLDER, source_data_dir=..., workflow=...");
    sub->final_callback([this, name] {
      action_ = [this, name] {
        for (const std::string& path : spec::WriteSamples(name, SpecsFolder())) std::printf("%s\n", path.c_str());
      };
    });
  }

  // Of download_specs: -o, or TAO's spelling of it.
  std::string SpecsFolder() const {
    std::string folder = folder_;
    for (const std::string& setting : overrides_) {
      const std::string key = setting.substr(0, setting.find('='));
      const bool known = key == "target_data_dir" || key == "source_data_dir" || key == "workflow";
      OCTET_REQUIRE(known && key.size() < setting.size(),
                    "download_specs: '{}': expected target_data_dir=FOLDER (or -o FOLDER)", setting);
      if (key == "target_data_dir") {
        folder = setting.substr(key.size() + 1);
      } else {
        LogWarning("download_specs: octet does not use {}: the specs are part of the program", key);
      }
    }
    OCTET_REQUIRE(!folder.empty(), "download_specs: no folder given; add -o FOLDER");
    return folder;
  }

  void AddDataset() {
    CLI::App* dataset = app_.add_subcommand("dataset", "Data sets");
    dataset->require_subcommand(1);
    CLI::App* synth =
        dataset->add_subcommand("synth", "Make a synthetic image folder of textured shapes: DIR/train, DIR/val");
    synthetic_.threads = HardwareThreads();
    synth->add_option("-o,--output", folder_, "Folder to write")->required();
    synth->add_option("--classes", synthetic_.classes, "Number of classes")->capture_default_str();
    synth->add_option("--train", synthetic_.train_per_class, "Training images per class")->capture_default_str();
    synth->add_option("--val", synthetic_.val_per_class, "Validation images per class")->capture_default_str();
    synth->add_option("--size", synthetic_.size, "Width and height in pixels")->capture_default_str();
    synth->add_option("--seed", synthetic_.seed, "Random seed")->capture_default_str();
    synth->final_callback([this] {
      action_ = [this] {
        data::GenerateSynthetic(folder_, synthetic_);
        std::printf("%d classes, %d training and %d validation images each -> %s\n", synthetic_.classes,
                    synthetic_.train_per_class, synthetic_.val_per_class, folder_.c_str());
      };
    });
    CLI::App* scenes = dataset->add_subcommand(
        "synth-scenes", "Make a synthetic detection set: DIR/images, DIR/train.json, DIR/val.json (COCO)");
    scenes_.threads = HardwareThreads();
    scenes->add_option("-o,--output", folder_, "Folder to write")->required();
    scenes->add_option("--classes", scenes_.classes, "Number of classes")->capture_default_str();
    scenes->add_option("--train", scenes_.train, "Training images")->capture_default_str();
    scenes->add_option("--val", scenes_.val, "Validation images")->capture_default_str();
    scenes->add_option("--size", scenes_.size, "Width and height in pixels")->capture_default_str();
    scenes->add_option("--seed", scenes_.seed, "Random seed")->capture_default_str();
    scenes->final_callback([this] {
      action_ = [this] {
        data::GenerateSyntheticScenes(folder_, scenes_);
        std::printf("%d classes, %d training and %d validation images -> %s\n", scenes_.classes, scenes_.train,
                    scenes_.val, folder_.c_str());
      };
    });
  }

  void AddLint() {
    CLI::App* lint =
        app_.add_subcommand("lint", "Check an ONNX file (and a calibration cache) against the rules of a target");
    lint->add_option("file", folder_, "ONNX file")->required();
    lint->add_option("--cache", cache_, "Calibration cache that goes with it");
    lint->add_option("--target", target_, "trt-8.6, trt-10.3, trt-11, dla-orin, dla-xavier or ort")
        ->capture_default_str();
    lint->add_flag("--fp16", fp16_, "The rest of the network is meant to run in FP16");
    lint->add_flag("--notes", notes_, "Notes too, not only errors and warnings");
    lint->add_flag("--json", json_, "JSON instead of text");
    lint->add_flag("--strict", strict_, "Warnings fail as errors do");
    lint->final_callback([this] {
      action_ = [this] {
        const lint::Report report = lint::LintFiles(folder_, cache_, lint::ParseTarget(target_), fp16_);
        std::fputs(
            (json_ ? lint::FormatJson(report, folder_, target_) : lint::FormatText(report, folder_, target_, notes_))
                .c_str(),
            stdout);
        if (report.errors > 0 || (strict_ && report.warnings > 0)) exit_code_ = 1;
      };
    });
  }

  void AddCompare() {
    CLI::App* compare =
        app_.add_subcommand("compare", "Accuracy, size and latency of several evaluations side by side");
    compare->add_option("results", overrides_, "NAME=FOLDER of an evaluation's results")->required();
    compare->add_option("-o,--output", folder_, "Also write the table to this Markdown file");
    compare->final_callback([this] {
      action_ = [this] {
        const std::string table = CompareTable(overrides_);
        std::fputs(table.c_str(), stdout);
        if (!folder_.empty()) WriteFileAtomic(folder_, table);
      };
    });
  }

  void AddSpec() {
    CLI::App* docs = app_.add_subcommand("spec", "Print the reference of all spec keys (Markdown)");
    docs->final_callback([this] { action_ = [] { std::fputs(spec::SpecDocs().c_str(), stdout); }; });
  }

  CLI::App app_;
  std::function<void()> action_;
  std::string spec_file_;
  std::vector<std::string> overrides_;
  std::string folder_;
  data::SyntheticOptions synthetic_;
  data::SyntheticScenesOptions scenes_;
  bool verbose_ = false;
  std::string cache_;
  std::string target_ = "trt-8.6";
  bool fp16_ = false, notes_ = false, json_ = false, strict_ = false;
  int exit_code_ = 0;
};

}  // namespace

int Main(int argc, char** argv) {
  try {
    ops::InstallOps();
    return CommandLine().Run(argc, argv);
  } catch (const Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return e.exit_code();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "error: out of memory; use a smaller batch or image size\n");
    return 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: internal: %s\n", e.what());
    return 70;
  }
}

}  // namespace octet::cli

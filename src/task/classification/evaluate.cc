// octet classification evaluate, inference
#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "passes/classifier_head.h"
#include "report/confusion_picture.h"
#include "task/classification/classification.h"
#include "task/classification/score.h"
#include "task/classification/setup.h"

namespace octet::task::classification {
namespace {

// Names of the classes in the order of the network's outputs: of the class map that the spec names, else the file's own
// (an .onnx has none). Throws a user Error when their number is not that of the outputs.
std::vector<std::string> ClassNames(const spec::Spec& spec, const std::string& section, const Predictor& predictor,
                                    const std::string& path) {
  const std::string classmap = spec.GetString(section + ".classmap");
  std::vector<std::string> classes = classmap.empty() ? ClassesOf(predictor.info()) : data::ReadClassmap(classmap);
  const ir::Graph& graph = predictor.graph();
  const int64_t outputs = graph.value(graph.outputs().at(0)).type.shape.back();
  OCTET_REQUIRE(classes.empty() || outputs == ir::kDynamic || static_cast<int64_t>(classes.size()) == outputs,
                "{} has {} classes, but the network '{}' has {}; give the classmap.json of its training as {}.classmap",
                classmap.empty() ? "the file's own list of classes" : "the class map '" + classmap + "'",
                classes.size(), path, outputs, section);
  return classes;
}

void PrintPerClass(const Score& score, const std::vector<std::string>& classes) {
  const std::vector<ClassMetrics> metrics = PerClass(score);
  size_t width = 5;
  for (const std::string& name : classes) width = std::max(width, name.size());
  fmt::print("{:<{}}  images  precision  recall     F1\n", "class", width);
  for (size_t c = 0; c < classes.size(); ++c) {
    fmt::print("{:<{}}  {:>6}  {:>9.4f}  {:>6.4f} {:>6.4f}\n", classes[c], width, metrics[c].images,
               metrics[c].precision, metrics[c].recall, metrics[c].f1);
  }
  const ClassMetrics mean = Mean(metrics);
  fmt::print("{:<{}}  {:>6}  {:>9.4f}  {:>6.4f} {:>6.4f}\n", "mean", width, mean.images, mean.precision, mean.recall,
             mean.f1);
}

void ReportPerClass(const Score& score, const std::vector<std::string>& classes, report::RunReport& report) {
  const std::vector<ClassMetrics> metrics = PerClass(score);
  std::vector<std::pair<std::string, std::map<std::string, double>>> rows;
  for (size_t c = 0; c < classes.size(); ++c) {
    rows.push_back({classes[c],
                    {{"precision", metrics[c].precision},
                     {"recall", metrics[c].recall},
                     {"f1", metrics[c].f1},
                     {"images", static_cast<double>(metrics[c].images)}}});
  }
  report.MetricTable("per_class", rows);
  const ClassMetrics mean = Mean(metrics);
  report.Metric("mean_precision", mean.precision);
  report.Metric("mean_recall", mean.recall);
  report.Metric("mean_f1", mean.f1);
}

std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::string ConfusionCsv(const Score& score, const std::vector<std::string>& classes) {
  std::string csv = "true\\predicted";
  for (const std::string& name : classes) csv += "," + CsvField(name);
  for (size_t c = 0; c < classes.size(); ++c) {
    csv += "\n" + CsvField(classes[c]);
    for (const int64_t n : score.confusion[c]) csv += "," + std::to_string(n);
  }
  return csv + "\n";
}

// Median time of one image through the network.
double MedianLatencyMs(Predictor& predictor, const data::PreprocessOptions& p) {
  const Tensor image(DType::kF32, {1, p.channels, p.height, p.width});
  std::vector<double> ms;
  for (int i = 0; i < 25; ++i) {
    const auto start = std::chrono::steady_clock::now();
    predictor.Predict(image);
    if (i >= 5)
      ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(ms.begin(), ms.begin() + static_cast<long>(ms.size() / 2), ms.end());
  return ms[ms.size() / 2];
}

}  // namespace

void Evaluate(const spec::Spec& spec) {
  WithReport(spec, "evaluate", [&](report::RunReport& report) {
    const std::string path = NetworkFile(spec, "evaluate");
    const auto predictor = LoadPredictor(path, DeviceFromSpec(spec), ComputeThreads(spec), passes::CompleteClassifier);
    const data::PreprocessOptions preprocess = PreprocessOf(predictor->info(), spec, path);
    RequireInputSize(predictor->graph(), preprocess, path);
    const data::ImageFolder folder = data::ScanImageFolder(spec.RequireFolder("evaluate.dataset_path"));
    const std::vector<std::string> trained = ClassNames(spec, "evaluate", *predictor, path);
    if (!trained.empty()) data::RequireSameClasses(trained, "the network '" + path + "'", folder);
    const int workers = DataWorkers(spec, "evaluate.n_workers");
    const auto images = LoadImages(folder, preprocess, workers, "eval", report);
    data::LoaderOptions options;
    options.batch_size = static_cast<int>(spec.GetInt("evaluate.batch_size"));
    options.workers = workers;
    data::DataLoader loader(images, preprocess, options);
    LogInfo("{}: {}", path, predictor->description());
    const Score score = Evaluate(*predictor, loader, static_cast<int64_t>(images->classes().size()),
                                 spec.GetInt("evaluate.top_k"), true);
    PrintPerClass(score, images->classes());
    fmt::print("{} images: top-1 {:.2f} %, top-{} {:.2f} %, loss {:.4f}\n", score.images, 100 * score.top1, score.k,
               100 * score.topk, score.loss);
    ReportPerClass(score, images->classes(), report);
    WriteFileAtomic(report.folder() + "/confusion.csv", ConfusionCsv(score, images->classes()));
    report::WriteConfusionPicture(report.folder() + "/confusion.png",
                                  fmt::format("top-1 {:.2f} %, {} images", 100 * score.top1, score.images),
                                  images->classes(), score.confusion);
    report.Metric("top_1_accuracy", score.top1);
    report.Metric("top_k_accuracy", score.topk);
    report.Metric("top_k", static_cast<double>(score.k));
    report.Metric("loss", score.loss);
    report.Metric("images", static_cast<double>(score.images));
    report.Metric("runs_as", predictor->description());
    report.Metric("latency_ms_batch_1", MedianLatencyMs(*predictor, preprocess));
    report.Metric("file_bytes", static_cast<double>(ReadFile(path).size()));
    report.TimingSeconds("network", score.predict_seconds);
    report.OutputFile("network", path);
    report.OutputFile("confusion", report.folder() + "/confusion.csv");
    report.OutputFile("confusion_picture", report.folder() + "/confusion.png");
    report.Success("Evaluation finished successfully.");
  });
}

void Infer(const spec::Spec& spec) {
  WithReport(spec, "inference", [&](report::RunReport& report) {
    const std::string path = NetworkFile(spec, "inference");
    const auto predictor = LoadPredictor(path, DeviceFromSpec(spec), ComputeThreads(spec), passes::CompleteClassifier);
    const data::PreprocessOptions preprocess = PreprocessOf(predictor->info(), spec, path);
    RequireInputSize(predictor->graph(), preprocess, path);
    const std::vector<std::string> classes = ClassNames(spec, "inference", *predictor, path);
    if (classes.empty()) LogWarning("{} names no classes and inference.classmap is not set: labels are numbers", path);
    data::ImageSetOptions set_options;
    set_options.decode.channels = preprocess.channels;
    set_options.decode.depth = preprocess.depth;
    set_options.threads = HardwareThreads();
    const auto images =
        std::make_shared<data::ImageSet>(data::ListImages(spec.Require("inference.image_dir")), set_options);
    data::LoaderOptions options;
    options.batch_size = 16;
    options.workers = HardwareThreads();
    data::DataLoader loader(images, preprocess, options);
    loader.StartEpoch(0);
    Progress progress("inference", images->size(), "images");
    std::string csv;
    data::Batch batch;
    while (loader.Next(&batch)) {
      const Tensor output = ClassProbabilities(*predictor, batch.images);
      const int64_t n = output.dim(1);
      OCTET_CHECK(classes.empty() || static_cast<int64_t>(classes.size()) == n, "{} outputs", n);
      for (int64_t i = 0; i < output.dim(0); ++i) {
        const float* p = output.data<float>() + i * n;
        const int64_t best = std::max_element(p, p + n) - p;
        csv +=
            fmt::format("{},{},{:.6f}\n", CsvField(images->file(batch.samples[static_cast<size_t>(i)]).path),
                        CsvField(classes.empty() ? std::to_string(best) : classes[static_cast<size_t>(best)]), p[best]);
      }
      progress.Advance(output.dim(0));
    }
    progress.Finish();
    const std::string result = report.folder() + "/result.csv";
    WriteFileAtomic(result, csv);
    report.Metric("images", static_cast<double>(images->size()));
    report.Metric("images_skipped", static_cast<double>(images->bad().size()));
    report.Metric("runs_as", predictor->description());
    report.OutputFile("result", result);
    fmt::print("{} images -> {}\n", images->size(), result);
    report.Success("Inference finished successfully.");
  });
}

}  // namespace octet::task::classification

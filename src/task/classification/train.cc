// octet classification train
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/strings.h"
#include "data/preprocess_json.h"
#include "passes/classifier_head.h"
#include "passes/insert_qdq.h"
#include "task/calibrate.h"
#include "task/classification/classification.h"
#include "task/classification/score.h"
#include "task/classification/setup.h"
#include "task/classification/start_network.h"
#include "task/classification/train_options.h"
#include "task/classification/training_log.h"
#include "task/teacher.h"
#include "train/trainer.h"

namespace octet::task::classification {
namespace {

// In a checkpoint's state: best.octet stays the best one across a resume.
constexpr char kBestAccuracy[] = "classification/best_val_accuracy";

struct DataSets {
  std::shared_ptr<data::ImageSet> train;
  std::shared_ptr<data::ImageSet> val;
  data::PreprocessOptions preprocess;
};

DataSets LoadDataSets(const spec::Spec& spec, report::RunReport& report) {
  DataSets d;
  d.preprocess = PreprocessFromSpec(spec);
  const data::Preprocessor check(d.preprocess);  // complains about the settings before images are read
  const data::ImageFolder train = data::ScanImageFolder(spec.RequireFolder("dataset.train_dataset_path"));
  const data::ImageFolder val = data::ScanImageFolder(spec.RequireFolder("dataset.val_dataset_path"));
  data::RequireSameClasses(train, val);
  const auto classes = static_cast<int64_t>(train.classes.size());
  OCTET_REQUIRE(spec.GetInt("dataset.num_classes") == classes,
                "dataset.num_classes is {} ({}), but '{}' has {} class folders; set it to {}",
                spec.GetInt("dataset.num_classes"), spec.Where("dataset.num_classes"), train.path, classes, classes);
  const int workers = DataWorkers(spec, "train.n_workers");
  d.train = LoadImages(train, d.preprocess, workers, "train", report);
  d.val = LoadImages(val, d.preprocess, workers, "val", report);
  return d;
}

// Labels as the loss takes them: indices, or with mixup the mixed probabilities.
Tensor Targets(const data::Batch& batch, int64_t classes) {
  const auto n = static_cast<int64_t>(batch.labels.size());
  if (batch.mix.empty()) return Tensor::From<int64_t>({n}, batch.labels);
  Tensor t(DType::kF32, {n, classes});
  auto* p = t.mutable_data<float>();
  for (int64_t i = 0; i < n; ++i) {
    p[i * classes + batch.labels[i]] += batch.mix[i];
    p[i * classes + batch.labels[n - 1 - i]] += 1.0f - batch.mix[i];
  }
  return t;
}

// Ranges of the new quantizers from training images as evaluation prepares them: with running statistics, augmented
// ones may leave many times what the network is going to see (docs/results.md, EfficientNet-B0).
void CalibrateStart(const spec::Spec& spec, const DataSets& data, StartingPoint& start) {
  data::LoaderOptions options = TrainLoaderOptions(spec, data.train->size());
  options.training = false;
  options.shuffle = true;
  data::DataLoader loader(data.train, data.preprocess, options);
  data::Batch batch;
  CalibrateQuantizers(spec, start, loader.batches_per_epoch(), [&]() -> ImageSource {
    loader.StartEpoch(0);
    return [&](Tensor& images) {
      if (!loader.Next(&batch)) return false;
      images = batch.images;
      return true;
    };
  });
}

std::string LogitsName(const ir::Graph& graph) {
  return graph.value(passes::LogitsOf(graph)).name;
}

class Run {
 public:
  Run(const spec::Spec& spec, report::RunReport& report)
      : spec_(spec), report_(report), backbone_(spec.GetString("model.backbone")), data_(LoadDataSets(spec, report)) {
    data::WriteClassmap(report.folder() + "/classmap.json", data_.train->classes());
    StartingPoint start = FindStartingPoint(spec, report.folder(), KindFromSpec(spec));
    RequireInputSize(start.graph, data_.preprocess, spec.file());
    if (!start.resumed) ApplyBnConfig(spec, start.graph);
    if (start.calibrate) CalibrateStart(spec, data_, start);
    LogInfo("{}: {}", backbone_, start.description);
    qat_ = start.qat;
    ReportQuantizers(start.graph);
    loader_ = std::make_unique<data::DataLoader>(data_.train, data_.preprocess,
                                                 TrainLoaderOptions(spec, data_.train->size()));
    module_ = std::make_unique<train::GraphModule>(start.graph, DeviceFromSpec(spec));
    FreezeLayers(spec, *module_);
    train::TrainerOptions options = TrainerOptionsFromSpec(spec, *loader_, qat_);
    options.integer = UseIntegers(spec, *module_, qat_);
    trainer_ = std::make_unique<train::Trainer>(*module_, MakeLoss(start.graph), options);
    if (start.resumed) {
      WarnOfChanges(spec, start.spec);
      trainer_->Restore({start.graph, {}, start.state});
      const auto best = start.state.find(kBestAccuracy);
      if (best != start.state.end()) best_ = best->second.ToVector<double>().at(0);
    } else if (!start.state.empty()) {
      module_->LoadState(start.state);
    }
  }

  void Train() {
    const int64_t epochs = spec_.GetInt("train.num_epochs");
    const int64_t save_every = std::min(spec_.GetInt("train.checkpoint_interval"), epochs);
    const int64_t validate_every = std::min(spec_.GetInt("train.validation_interval"), epochs);
    OCTET_REQUIRE(trainer_->epoch() < epochs,
                  "the checkpoint has {} epochs behind it, and train.num_epochs is {} ({}); nothing is left to train",
                  trainer_->epoch(), epochs, spec_.Where("train.num_epochs"));
    TrainingLog log(report_, trainer_->epoch(), epochs);
    while (trainer_->epoch() < epochs) {
      const train::EpochResult result = TrainEpoch();
      const int64_t done = trainer_->epoch();
      const bool validate = done % validate_every == 0 || done == epochs;
      if (validate) last_ = Validate();
      log.Epoch(result, validate ? &last_ : nullptr, loader_->WaitFraction());
      const std::string advice = loader_->BottleneckMessage();
      if (!advice.empty()) LogWarning("epoch {}: {}", done, advice);
      const bool better = validate && last_.top1 > best_;
      if (better) best_ = last_.top1;
      if (done % save_every == 0 || done == epochs) Save(CheckpointPath(report_.folder(), backbone_, done), true);
      if (better) Save(report_.folder() + "/best.octet", false);
    }
    const std::string last = CheckpointPath(report_.folder(), backbone_, epochs);
    report_.Metric("val_accuracy", last_.top1);
    report_.Metric("val_loss", last_.loss);
    report_.Metric("best_val_accuracy", best_);
    report_.Metric("qat", qat_ ? "true" : "false");
    report_.OutputFile("model", last);
    report_.OutputFile("best_model", report_.folder() + "/best.octet");
    LogInfo("{}{}: validation top-1 {:.2f} % ({})", backbone_, qat_ ? " QAT" : "", 100 * last_.top1, last);
  }

 private:
  train::Loss MakeLoss(const ir::Graph& graph) {
    train::Loss loss = train::SoftmaxCrossEntropy(spec_.GetFloat("train.label_smoothing"), LogitsName(graph));
    auto teacher = LoadTeacher(spec_, qat_, graph, [&](ir::Model& model, const std::string& path) {
      if (model.info.empty()) {
        model.graph = passes::CompleteClassifier(std::move(model.graph));
        return;
      }
      const auto list = [](const std::vector<std::string>& names) { return Join(names, ", "); };
      RequireSameForTeacher(path, "list of classes", list(ClassesOf(model.info)), list(data_.train->classes()));
      RequireSameForTeacher(path, "preprocessing", data::PreprocessToJson(PreprocessOf(model.info, spec_, path)),
                            data::PreprocessToJson(data_.preprocess));
    });
    if (!teacher) return loss;
    const std::string logits = LogitsName(teacher->graph());
    return train::DistillClassifier(loss, std::move(teacher), logits, DistillationFromSpec(spec_));
  }

  void ReportQuantizers(const ir::Graph& graph) {
    if (!qat_) return;
    const passes::QuantizerCounts counts = passes::CountQuantizers(graph);
    LogInfo("QAT: {} activation and {} weight quantizers, recipe {}", counts.activations, counts.weights,
            graph.metadata().count("recipe") != 0 ? graph.metadata().at("recipe") : "of the file");
    report_.Metric("activation_quantizers", counts.activations);
    report_.Metric("weight_quantizers", counts.weights);
  }

  train::EpochResult TrainEpoch() {
    loader_->StartEpoch(trainer_->epoch());
    const int64_t classes = spec_.GetInt("dataset.num_classes");
    data::Batch batch;
    return trainer_->TrainEpoch([&](train::Batch& out) {
      if (!loader_->Next(&batch)) return false;
      out.inputs = {batch.images};
      out.targets = {Targets(batch, classes)};
      out.size = static_cast<int64_t>(batch.labels.size());
      return true;
    });
  }

  // A quantized network is validated as it will run: by the INT8 engine.
  Score Validate() {
    data::LoaderOptions options;
    options.batch_size = static_cast<int>(spec_.GetInt("train.batch_size_per_gpu"));
    options.workers = DataWorkers(spec_, "train.n_workers");
    data::DataLoader loader(data_.val, data_.preprocess, options);
    const auto predictor = MakePredictor(trainer_->CurrentGraph(), {}, DeviceFromSpec(spec_), ComputeThreads(spec_));
    return Evaluate(*predictor, loader, spec_.GetInt("dataset.num_classes"), 1, /*show_progress=*/false);
  }

  void Save(const std::string& path, bool with_state) {
    ir::Model model;
    trainer_->Save(model);
    model.state[kBestAccuracy] = Tensor::Scalar<double>(best_);
    if (!with_state) model.state.clear();
    model.info = DescribeData(data_.train->classes(), data_.preprocess);
    model.info["backbone"] = backbone_;
    model.info["epoch"] = std::to_string(trainer_->epoch());
    model.info["qat"] = qat_ ? "true" : "false";
    model.info["spec"] = spec_.ToYaml();
    ir::WriteModel(path, model);
  }

  const spec::Spec& spec_;
  report::RunReport& report_;
  std::string backbone_;
  DataSets data_;
  std::unique_ptr<data::DataLoader> loader_;
  std::unique_ptr<train::GraphModule> module_;
  std::unique_ptr<train::Trainer> trainer_;
  Score last_;
  double best_ = -1;
  bool qat_ = false;
};

}  // namespace

void Train(const spec::Spec& spec) {
  WithReport(spec, "train", [&](report::RunReport& report) {
    const spec::Spec full = WithNetworkInput(spec, report.folder());
    Run(full, report).Train();
    report.Success("Training finished successfully.");
  });
}

}  // namespace octet::task::classification

// octet efficientdet train
#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/strings.h"
#include "detection/assign_targets.h"
#include "passes/insert_qdq.h"
#include "task/calibrate.h"
#include "task/efficientdet/efficientdet.h"
#include "task/efficientdet/score.h"
#include "task/efficientdet/setup.h"
#include "task/efficientdet/training_log.h"
#include "task/teacher.h"
#include "task/trainer_options.h"
#include "train/detection_loss.h"
#include "train/trainer.h"
#include "zoo/efficientnet.h"

namespace octet::task::efficientdet {
namespace {

// In a checkpoint's state: best.octet stays the best one across a resume.
constexpr char kBestAp[] = "efficientdet/best_ap";

train::OptimizerOptions OptimizerFromSpec(const spec::Spec& spec) {
  train::OptimizerOptions o;
  o.optimizer = spec.GetString("train.optimizer.name");
  o.momentum = spec.GetFloat("train.optimizer.momentum");
  o.beta_1 = o.momentum;
  o.nesterov = false;
  o.regularizer = "L2";
  o.scope = {"conv2d", "depthwise", "dense"};
  o.weight_decay = spec.GetFloat("train.l2_weight_decay") / 2;  // TAO's penalty is of half the squares
  o.clip_norm = spec.GetFloat("train.clip_gradients_norm");
  return o;
}

train::ScheduleOptions ScheduleFromSpec(const spec::Spec& spec, int64_t steps_per_epoch) {
  const int64_t epochs = spec.GetInt("train.num_epochs");
  const int64_t warm_up = spec.GetInt("train.lr_schedule.warmup_epoch");
  OCTET_REQUIRE(warm_up < epochs || warm_up == 0,
                "{}: train.lr_schedule.warmup_epoch is {}, and train.num_epochs is {}; the warm-up must be shorter",
                spec.Where("train.lr_schedule.warmup_epoch"), warm_up, epochs);
  train::ScheduleOptions o;
  o.scheduler = "warmup_" + spec.GetString("train.lr_schedule.name");
  o.learning_rate = spec.GetFloat("train.lr_schedule.learning_rate");
  o.warmup_steps = warm_up * steps_per_epoch;
  o.warmup_init = spec.GetFloat("train.lr_schedule.warmup_init");
  o.annealing_start = std::min(
      1.0, static_cast<double>(spec.GetInt("train.lr_schedule.annealing_epoch")) / static_cast<double>(epochs));
  return o;
}

train::DetectionLossOptions LossFromSpec(const spec::Spec& spec, const Tensor& anchors) {
  train::DetectionLossOptions o;
  o.label_smoothing = spec.GetFloat("train.label_smoothing");
  o.box_loss_weight = spec.GetFloat("train.box_loss_weight");
  o.iou_loss_type = spec.GetString("train.iou_loss_type");
  o.iou_loss_weight = spec.GetFloat("train.iou_loss_weight");
  o.anchors = anchors;
  return o;
}

data::DetectionLoaderOptions TrainLoaderOptions(const spec::Spec& spec, const Detector& detector, int64_t images) {
  data::DetectionLoaderOptions o = LoaderOptions(spec, detector, static_cast<int>(spec.GetInt("train.batch_size")));
  o.training = true;
  o.drop_last = images >= o.batch_size;
  return o;
}

void Freeze(const spec::Spec& spec, train::GraphModule& module) {
  if (spec.GetBool("model.freeze_bn")) module.FreezeBatchNorm(true);
  const std::vector<int64_t> blocks = spec.GetInts("model.freeze_blocks");
  int64_t frozen = 0;
  for (const train::Parameter& p : module.parameters()) {
    const int64_t block = zoo::EfficientNetBlock(p.layer);
    if (std::find(blocks.begin(), blocks.end(), block) == blocks.end()) continue;
    module.SetTrainable(p.name, false);
    ++frozen;
  }
  if (frozen > 0) LogInfo("freeze_blocks: {} tensors are not trained", frozen);
}

class Run {
 public:
  Run(const spec::Spec& spec, report::RunReport& report)
      : spec_(spec), report_(report), name_(spec.GetString("model.name")), detector_(DetectorFromSpec(spec)) {
    train_set_ = LoadSet(spec, "train", detector_, report);
    detector_.classes = train_set_->classes;
    detector_.category_ids = train_set_->category_ids;
    const auto val_set = LoadSet(spec, "val", detector_, report);
    truth_ = ValidationTruth(spec, *val_set);
    val_loader_ = std::make_unique<data::DetectionLoader>(
        val_set, LoaderOptions(spec, detector_, static_cast<int>(spec.GetInt("evaluate.batch_size"))));
    anchors_ = detection::MakeAnchors(detector_.anchors);
    StartingPoint start = FindStartingPoint(spec, report.folder(), KindFromSpec(spec));
    RequireDetector(start.graph, detector_, spec.file());
    if (start.calibrate) CalibrateStart(start);
    LogInfo("{}: {}", name_, start.description);
    qat_ = start.qat;
    ReportQuantizers(start.graph);
    const auto images = static_cast<int64_t>(train_set_->images.size());
    loader_ = std::make_unique<data::DetectionLoader>(train_set_, TrainLoaderOptions(spec, detector_, images));
    // TAO's num_examples_per_epoch, as far as there are so many.
    const int64_t batch = spec.GetInt("train.batch_size");
    steps_ = std::min(loader_->batches_per_epoch(), (spec.GetInt("train.num_examples_per_epoch") + batch - 1) / batch);
    module_ = std::make_unique<train::GraphModule>(start.graph, DeviceFromSpec(spec));
    Freeze(spec, *module_);
    trainer_ = std::make_unique<train::Trainer>(*module_, MakeLoss(start.graph), Options());
    if (start.resumed) {
      WarnOfChanges(spec, start.spec);
      trainer_->Restore({start.graph, {}, start.state});
      const auto best = start.state.find(kBestAp);
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
    TrainingLog log(report_, detector_, trainer_->epoch(), epochs);
    const bool pictures = spec_.GetBool("train.image_preview");
    while (trainer_->epoch() < epochs) {
      const int64_t done = trainer_->epoch() + 1;
      const bool validate =
          (done % validate_every == 0 && done >= spec_.GetInt("evaluate.start_eval_epoch")) || done == epochs;
      const train::EpochResult result = TrainEpoch(pictures && (validate || done == 1) ? &log : nullptr);
      bool better = false;
      if (validate) {
        const Score score = Validate();
        last_ = score.metrics;
        better = last_.ap() > best_;
        if (better) best_ = last_.ap();
        if (pictures) log.ValidationImages(done, val_loader_->set(), score.detections);
      }
      log.Epoch(result, validate ? &last_ : nullptr, loader_->WaitFraction());
      const std::string advice = loader_->BottleneckMessage();
      if (!advice.empty() && !advised_) LogWarning("epoch {}: {}", done, advice);
      advised_ = advised_ || !advice.empty();
      if (done % save_every == 0 || done == epochs) Save(CheckpointPath(report_.folder(), name_, done), true);
      if (better) Save(report_.folder() + "/best.octet", false);
    }
    const std::string last = CheckpointPath(report_.folder(), name_, epochs);
    for (size_t i = 0; i < last_.numbers.size(); ++i) report_.Metric(detection::kCocoMetricNames[i], last_.numbers[i]);
    report_.Metric("best_AP", best_);
    report_.Metric("qat", qat_ ? "true" : "false");
    report_.OutputFile("model", last);
    report_.OutputFile("best_model", report_.folder() + "/best.octet");
    LogInfo("{}{}: AP {:.4f}, AP50 {:.4f} ({})", name_, qat_ ? " QAT" : "", last_.ap(), last_.ap50(), last);
  }

 private:
  train::Loss MakeLoss(const ir::Graph& graph) {
    const train::DetectionLossOptions options = LossFromSpec(spec_, anchors_);
    const train::Loss loss = train::DetectionLoss(options);
    auto teacher = LoadTeacher(spec_, qat_, graph, [&](ir::Model& model, const std::string& path) {
      RequireDetector(model.graph, detector_, "teacher '" + path + "'");
      if (model.info.empty()) return;
      RequireSameForTeacher(path, "list of classes", Join(DetectorOf(model.info, spec_).classes, ", "),
                            Join(detector_.classes, ", "));
    });
    if (!teacher) return loss;
    return train::DistillDetector(loss, std::move(teacher), options, DistillationFromSpec(spec_));
  }

  train::TrainerOptions Options() const {
    train::TrainerOptions o = CommonTrainerOptions(spec_, qat_);
    o.optimizer = OptimizerFromSpec(spec_);
    o.schedule = ScheduleFromSpec(spec_, steps_);
    o.integer = UseIntegers(spec_, *module_, qat_);
    o.steps_per_epoch = steps_;
    o.images_per_epoch =
        std::min(steps_ * spec_.GetInt("train.batch_size"), static_cast<int64_t>(train_set_->images.size()));
    return o;
  }

  // Ranges of the new quantizers from training images as evaluation prepares them, which is what they are for.
  void CalibrateStart(StartingPoint& start) {
    const auto images = static_cast<int64_t>(train_set_->images.size());
    data::DetectionLoaderOptions options = TrainLoaderOptions(spec_, detector_, images);
    options.training = false;
    options.shuffle = true;
    data::DetectionLoader loader(train_set_, options);
    data::DetectionBatch batch;
    CalibrateQuantizers(spec_, start, loader.batches_per_epoch(), [&]() -> ImageSource {
      loader.StartEpoch(0);
      return [&](Tensor& out) {
        if (!loader.Next(&batch)) return false;
        out = batch.images;
        return true;
      };
    });
  }

  void ReportQuantizers(const ir::Graph& graph) {
    if (!qat_) return;
    const passes::QuantizerCounts counts = passes::CountQuantizers(graph);
    LogInfo("QAT: {} activation and {} weight quantizers, recipe {}", counts.activations, counts.weights,
            graph.metadata().count("recipe") != 0 ? graph.metadata().at("recipe") : "of the file");
    report_.Metric("activation_quantizers", counts.activations);
    report_.Metric("weight_quantizers", counts.weights);
  }

  // `preview` (may be null) gets pictures of the first batch.
  train::EpochResult TrainEpoch(TrainingLog* preview) {
    loader_->StartEpoch(trainer_->epoch());
    data::DetectionBatch batch;
    int64_t step = 0;
    return trainer_->TrainEpoch([&](train::Batch& out) {
      if (step++ == steps_ || !loader_->Next(&batch)) return false;
      if (preview != nullptr && step == 1) preview->TrainingImages(trainer_->epoch() + 1, batch);
      const detection::AnchorTargets targets = detection::AssignTargets(anchors_, batch.boxes, batch.labels);
      out.inputs = {batch.images};
      out.targets = {targets.classes, targets.codes};
      out.size = batch.images.dim(0);
      return true;
    });
  }

  // A quantized network is validated as it will run: by the INT8 engine.
  Score Validate() {
    const auto predictor = MakePredictor(trainer_->CurrentGraph(), {}, DeviceFromSpec(spec_), ComputeThreads(spec_));
    return efficientdet::Evaluate(*predictor, *val_loader_, detector_, truth_, PostProcessFromSpec(spec_),
                                  spec_.GetInt("evaluate.num_samples"), /*show_progress=*/false);
  }

  void Save(const std::string& path, bool with_state) {
    ir::Model model;
    trainer_->Save(model);
    model.state[kBestAp] = Tensor::Scalar<double>(best_);
    if (!with_state) model.state.clear();
    model.info = DescribeDetector(detector_);
    model.info["backbone"] = name_;
    model.info["epoch"] = std::to_string(trainer_->epoch());
    model.info["qat"] = qat_ ? "true" : "false";
    model.info["spec"] = spec_.ToYaml();
    ir::WriteModel(path, model);
  }

  const spec::Spec& spec_;
  report::RunReport& report_;
  std::string name_;
  Detector detector_;
  std::shared_ptr<data::CocoSet> train_set_;
  detection::GroundTruth truth_;
  Tensor anchors_;
  int64_t steps_ = 0;
  std::unique_ptr<data::DetectionLoader> loader_;
  std::unique_ptr<data::DetectionLoader> val_loader_;
  std::unique_ptr<train::GraphModule> module_;
  std::unique_ptr<train::Trainer> trainer_;
  detection::CocoMetrics last_;
  double best_ = -1;
  bool qat_ = false;
  bool advised_ = false;
};

}  // namespace

void Train(const spec::Spec& spec) {
  WithReport(spec, "train", [&](report::RunReport& report) {
    Run(spec, report).Train();
    report.Success("Training finished successfully.");
  });
}

}  // namespace octet::task::efficientdet

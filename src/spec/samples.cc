#include "spec/samples.h"

#include "base/error.h"
#include "base/files.h"
#include "spec/tables.h"

namespace octet::spec {
namespace {

constexpr char kClassificationData[] = R"(
dataset:
  train_dataset_path: data/train  # one folder per class, with its images in it
  val_dataset_path: data/val      # the same class folders
  num_classes: 10                 # as many as class folders
  preprocess_mode: torch          # caffe, torch, tf; the model file remembers it
  augmentation:
    enable_random_crop: true      # training: random scale and crop
    enable_center_crop: true      # validation: the middle
    enable_color_augmentation: true
    mixup_alpha: 0.0              # 0.2 helps long trainings of large networks

model:
  backbone: efficientnet-b0       # resnet_18, mobilenet_v2, efficientnet-lite0, ...: docs/spec.md
  input_width: 224
  input_height: 224
  input_channels: 3               # 1: gray
  input_image_depth: 8            # 16: gray images of 16 bits
)";

constexpr char kClassificationLater[] = R"(
evaluate:
  dataset_path: data/val
  batch_size: 64
  top_k: 3

inference:
  image_dir: data/val
)";

std::vector<Sample> ClassificationSamples() {
  const std::string data = kClassificationData;
  const std::string later = kClassificationLater;
  const std::string train =
      R"(# FP32 training from scratch, and what follows it. Any key can be replaced on the command line: train.num_epochs=3
#   octet classification train     -e spec.yaml
#   octet classification evaluate  -e spec.yaml evaluate.checkpoint=results/train/best.octet
#   octet classification inference -e spec.yaml inference.checkpoint=results/train/best.octet
#   octet classification prune     -e spec.yaml prune.checkpoint=results/train/best.octet
results_dir: results
)" + data +
      R"(
train:
  num_epochs: 80
  batch_size_per_gpu: 64
  checkpoint_interval: 10
  validation_interval: 5
  n_workers: 10                   # data loading threads
  label_smoothing: 0.1
  moving_average_decay: 0.999     # the averaged weights are the model; 0: off
  optim_config:
    optimizer: sgd                # sgd, adam, rmsprop
    momentum: 0.9
    decay: 0.0                    # the schedule below is enough
  lr_config:
    scheduler: cosine             # cosine, soft_anneal, step
    learning_rate: 0.05
    soft_start: 0.05              # the first 5 % rise
  reg_config:
    type: L2
    scope: [conv2d, dense]
    weight_decay: 5.0e-5
)" + later +
      R"(
prune:
  threshold: 0.68                 # higher: smaller; retrain afterwards
  equalization_criterion: union
)";
  const std::string retrain = R"(# Retraining of the pruned model in FP32. For its QAT: spec_retrain_qat.yaml
#   octet classification train -e spec_retrain.yaml
results_dir: results_retrain
)" + data + R"(
train:
  checkpoint: results/prune/model_th=0.68_eq=union.octet
  num_epochs: 80
  batch_size_per_gpu: 64
  checkpoint_interval: 10
  validation_interval: 5
  n_workers: 10
  optim_config: {optimizer: sgd, momentum: 0.9, decay: 0.0}
  lr_config: {scheduler: cosine, learning_rate: 0.05, soft_start: 0.05}
  reg_config: {type: L2, scope: [conv2d, dense], weight_decay: 5.0e-5}
)" + later;
  const std::string qat = R"(# QAT from a trained model (pruned or not), export, INT8 engine, and its accuracy.
#   octet classification train    -e spec_retrain_qat.yaml
#   octet classification export   -e spec_retrain_qat.yaml
#   octet classification build    -e spec_retrain_qat.yaml
#   octet classification evaluate -e spec_retrain_qat.yaml
results_dir: results_qat
)" + data + R"(
train:
  qat: true                       # or training_config: {enable_qat: true}
  checkpoint: results/train/best.octet   # or results/prune/model_th=0.68_eq=union.octet
  num_epochs: 10                  # a tenth of the FP32 training is enough
  batch_size_per_gpu: 64
  validation_interval: 1
  n_workers: 10
  optim_config: {optimizer: sgd, momentum: 0.9, decay: 0.0}
  lr_config: {scheduler: cosine, learning_rate: 0.005, soft_start: 0.0}
  reg_config: {type: L2, scope: [conv2d, dense], weight_decay: 5.0e-5}

quant:
  recipe: fused                   # inputs: Q/DQ where TAO's TF2 code puts them
  freeze_observer_epoch: 5        # the ranges stay for the last epochs
  freeze_bn_epoch: 7

export:
  checkpoint: results_qat/train/best.octet
  onnx_file: results_qat/export/fp32.onnx      # for TensorRT together with ...
  cache_file: results_qat/export/calib.cache   # ... the calibration cache
  qdq_file: results_qat/export/qdq.onnx        # or this file alone

gen_trt_engine:
  onnx_file: results_qat/export/qdq.onnx
  trt_engine: results_qat/build/model.plan
  tensorrt: {data_type: int8}

evaluate:
  dataset_path: data/val
  trt_engine: results_qat/build/model.plan
  batch_size: 64
  top_k: 3

inference:
  image_dir: data/val
  trt_engine: results_qat/build/model.plan
)";
  return {{"spec.yaml", train}, {"spec_retrain.yaml", retrain}, {"spec_retrain_qat.yaml", qat}};
}

}  // namespace

std::vector<Sample> Samples(const std::string& task) {
  const std::string& name = TableOf(task).task;
  if (name == "classification") return ClassificationSamples();
  return name == "efficientdet" ? EfficientDetSamples() : std::vector<Sample>();
}

std::vector<std::string> WriteSamples(const std::string& task, const std::string& folder) {
  const std::vector<Sample> samples = Samples(task);
  std::vector<std::string> paths;
  for (const Sample& sample : samples) {
    paths.push_back(folder + "/" + sample.file);
    OCTET_REQUIRE(!FileExists(paths.back()) || ReadFile(paths.back()) == sample.text,
                  "'{}' exists and was changed; it is not overwritten. Choose another folder, or move it away",
                  paths.back());
  }
  for (size_t i = 0; i < samples.size(); ++i) WriteFileAtomic(paths[i], samples[i].text);
  return paths;
}

}  // namespace octet::spec

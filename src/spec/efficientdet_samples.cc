// The example specs of `octet efficientdet download_specs`.
#include "spec/samples.h"

namespace octet::spec {

std::vector<Sample> EfficientDetSamples() {
  const std::string data = R"(
dataset:
  num_classes: 3                  # at least the number of categories
  train_json_file: data/train.json   # COCO annotations; or train_tfrecords: [records/train-*]
  train_dirs: [data/images]
  val_json_file: data/val.json
  val_dirs: [data/images]
  max_instances_per_image: 200
  augmentation: {rand_hflip: true, random_crop_min_scale: 0.5, random_crop_max_scale: 1.5}
  loader: {n_workers: 8}          # data loading threads, at most those of the machine

model:
  name: efficientdet-d0           # d0 to d7, lite0 to lite4
  input_width: 512                # multiples of 128
  input_height: 512
)";
  const std::string train = R"(# EfficientDet: FP32 training, then what the other commands need.
#   octet efficientdet train     -e spec.yaml
#   octet efficientdet evaluate  -e spec.yaml evaluate.checkpoint=results/train/best.octet
#   octet efficientdet prune     -e spec.yaml prune.checkpoint=results/train/best.octet
#   octet efficientdet inference -e spec.yaml inference.checkpoint=results/train/best.octet
results_dir: results
)" + data + R"(
train:
  num_epochs: 300
  batch_size: 8
  checkpoint_interval: 10
  validation_interval: 10
  optimizer: {name: sgd, momentum: 0.9}
  lr_schedule: {name: cosine, learning_rate: 0.02, warmup_epoch: 5, warmup_init: 1.0e-4}
  moving_average_decay: 0.999
  l2_weight_decay: 4.0e-5
  clip_gradients_norm: 10.0
  # checkpoint: b0.octet          # a detector, or a classifier with this backbone (.octet, .onnx, .safetensors)

evaluate:
  batch_size: 8
  max_detections_per_image: 100

prune:
  threshold: 0.5                  # higher: smaller; train again afterwards
  equalization_criterion: union

inference:
  image_dir: data/images          # an image, a folder, a pattern
  min_score_thresh: 0.3
  dump_label: true                # KITTI labels beside the pictures

dataset_convert:                  # optional: COCO into TFRecord files
  annotations_file: data/train.json
  image_dir: data/images
  num_shards: 16
)";
  const std::string qat = R"(# QAT from a trained model (pruned or not), export, INT8 engine, and its average precision.
#   octet efficientdet train     -e spec_retrain_qat.yaml
#   octet efficientdet export    -e spec_retrain_qat.yaml
#   octet efficientdet build     -e spec_retrain_qat.yaml
#   octet efficientdet evaluate  -e spec_retrain_qat.yaml
#   octet efficientdet inference -e spec_retrain_qat.yaml
results_dir: results_qat
)" + data + R"(
train:
  qat: true
  checkpoint: results/train/best.octet   # or pruned_model_path: results/prune/model_th=0.5_eq=union.octet
  num_epochs: 30
  batch_size: 8
  checkpoint_interval: 5
  validation_interval: 5
  optimizer: {name: sgd, momentum: 0.9}
  lr_schedule: {name: cosine, learning_rate: 0.002, warmup_epoch: 0}
  moving_average_decay: 0.999

quant:
  recipe: fused                   # inputs: Q/DQ where TAO's TF2 code puts them

evaluate:
  batch_size: 8
  trt_engine: results_qat/build/model.plan

export:
  checkpoint: results_qat/train/efficientdet-d0_030.octet
  postprocess: raw                # nms: ONNX operators; efficient_nms: TensorRT's plugin
  input: normalized               # tao: [N,H,W,3] from 0 to 255

gen_trt_engine:
  onnx_file: results_qat/export/qdq.onnx
  trt_engine: results_qat/build/model.plan
  tensorrt: {data_type: int8}

inference:
  image_dir: data/images
  trt_engine: results_qat/build/model.plan
  min_score_thresh: 0.3
  dump_label: true
)";
  return {{"spec.yaml", train}, {"spec_retrain_qat.yaml", qat}};
}

}  // namespace octet::spec

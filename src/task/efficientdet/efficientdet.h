// The commands of `octet efficientdet`: each takes a spec, writes its results folder, and meets the others through
// files only.
#pragma once

#include "spec/spec.h"

namespace octet::task::efficientdet {

// TFRecord files from dataset_convert.annotations_file and image_dir.
void DatasetConvert(const spec::Spec& spec);

// FP32 training, or QAT with train.qat. Writes <name>_<epoch>.octet, best.octet, training.csv.
void Train(const spec::Spec& spec);

// COCO's average precision of evaluate.trt_engine (a plan) or evaluate.checkpoint (.octet, .onnx, .plan) on the
// validation set; detections.json in COCO's result format.
void Evaluate(const spec::Spec& spec);

// A smaller network, prune/model_th=<threshold>_eq=<criterion>.octet, to be trained again with train.checkpoint.
void Prune(const spec::Spec& spec);

// A QAT model: fp32.onnx, the calibration cache, qdq.onnx. A float model: fp32.onnx.
void Export(const spec::Spec& spec);

// An INT8 plan, as `octet classification build`.
void Build(const spec::Spec& spec);

// Post-training quantization of a float model: FP32 ONNX, cache, Q/DQ ONNX, plan.
void Calibrate(const spec::Spec& spec);

// Of inference.image_dir: images_annotated/NAME.png, detections.json (file names beside COCO's fields), and with
// dump_label labels/NAME.txt.
void Infer(const spec::Spec& spec);

}  // namespace octet::task::efficientdet

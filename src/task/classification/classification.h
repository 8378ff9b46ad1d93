// The commands of `octet classification`: each takes a spec, writes its results folder, and meets the others through
// files only.
#pragma once

#include "spec/spec.h"

namespace octet::task::classification {

// FP32 training, or QAT with train.qat. Writes <backbone>_<epoch>.octet, best.octet, classmap.json, training.csv.
void Train(const spec::Spec& spec);

// Accuracy of evaluate.trt_engine (a plan) or evaluate.checkpoint (.octet, .onnx, .plan) on evaluate.dataset_path.
void Evaluate(const spec::Spec& spec);

// A smaller network, prune/model_th=<threshold>_eq=<criterion>.octet, to be trained again with train.checkpoint.
void Prune(const spec::Spec& spec);

// A QAT model: fp32.onnx, the calibration cache, qdq.onnx. A float model: fp32.onnx.
void Export(const spec::Spec& spec);

// An INT8 plan from a Q/DQ ONNX, an ONNX with a calibration cache, a QAT .octet; or, without any scales, by
// calibration.
void Build(const spec::Spec& spec);

// Post-training quantization of a float model: FP32 ONNX, cache, Q/DQ ONNX, plan.
void Calibrate(const spec::Spec& spec);

// result.csv: path,label,confidence of every image below inference.image_dir.
void Infer(const spec::Spec& spec);

}  // namespace octet::task::classification

#include "spec/common_keys.h"

#include <algorithm>

namespace octet::spec {
namespace {

constexpr Use kIgnored = Use::kIgnored;
constexpr Type kBool = Type::kBool;
constexpr Type kInt = Type::kInt;
constexpr Type kFloat = Type::kFloat;
constexpr Type kString = Type::kString;
constexpr Type kInts = Type::kInts;
constexpr Type kStrings = Type::kStrings;

std::vector<Key> TopLevelKeys(const std::string& data_format) {
  return {
      {"results_dir", kString, "\"\"", Any(), "root folder of everything that commands write"},
      {"encryption_key", kString, "null", Any(), "pass phrase of TAO's encrypted models; octet writes none", kIgnored},
      {"model_name", kString, "null", Any(), "name of the model in TAO's API", kIgnored},
      {"num_gpus", kInt, "1", AtLeast(1), "GPUs of a multi-process run", kIgnored},
      {"gpu_ids", kInts, "[0]", AtLeast(0), "with `device: cuda`: the GPU to use, the first of the list"},
      {"num_processes", kInt, "-1", AtLeast(-1), "MPI processes", kIgnored},
      {"multi_node", kBool, "false", Any(), "MPI over several machines", kIgnored},
      {"cuda_blocking", kBool, "false", Any(), "CUDA debugging", kIgnored},
      {"data_format", kString, data_format, OneOf({"channels_first", "channels_last"}),
       "layout of the network in TensorFlow; octet is always NCHW", kIgnored},
      {"device", kString, "cpu", OneOf({"cpu", "cuda"}),
       "octet: where training runs; cuda needs an octet built with a CUDA LibTorch"},
      {"mpi_args.nccl_ib_hca", kString, "\"mlx5_4,mlx5_6,mlx5_8,mlx5_10\"", Any(), "NCCL setting", kIgnored},
      {"mpi_args.nccl_socket_ifname", kString, "\"^lo,docker\"", Any(), "NCCL setting", kIgnored},
  };
}

std::vector<Key> LoggingKeys(const std::string& task) {
  return {
      {"train.wandb.enable", kBool, "true", Any(), "Weights & Biases", kIgnored},
      {"train.wandb.project", kString, "TAO Toolkit", Any(), "Weights & Biases", kIgnored},
      {"train.wandb.entity", kString, "\"\"", Any(), "Weights & Biases", kIgnored},
      {"train.wandb.group", kString, "\"\"", Any(), "Weights & Biases", kIgnored},
      {"train.wandb.tags", kStrings, "[]", Any(), "Weights & Biases", kIgnored},
      {"train.wandb.reinit", kBool, "false", Any(), "Weights & Biases", kIgnored},
      {"train.wandb.sync_tensorboard", kBool, "false", Any(), "Weights & Biases", kIgnored},
      {"train.wandb.save_code", kBool, "false", Any(), "Weights & Biases", kIgnored},
      {"train.wandb.name", kString, task, Any(), "Weights & Biases", kIgnored},
      {"train.wandb.run_id", kString, "\"\"", Any(), "Weights & Biases", kIgnored},
      {"train.clearml.project", kString, "TAO Toolkit", Any(), "ClearML", kIgnored},
      {"train.clearml.task", kString, task + "_train", Any(), "ClearML", kIgnored},
      {"train.clearml.deferred_init", kBool, "false", Any(), "ClearML", kIgnored},
      {"train.clearml.reuse_last_task_id", kBool, "false", Any(), "ClearML", kIgnored},
      {"train.clearml.continue_last_task", kBool, "false", Any(), "ClearML", kIgnored},
      {"train.clearml.tags", kStrings, "[]", Any(), "ClearML", kIgnored},
  };
}

std::vector<Key> QuantKeys() {
  return {
      {"quant.recipe", kString, "fused", OneOf({"fused", "inputs"}),
       "octet: where Q/DQ pairs stand. fused: after what TensorRT fuses; inputs: on inputs and weights of layers, as "
       "in "
       "TAO's TF2 code"},
      {"quant.calibration", kString, "auto", OneOf({"auto", "max", "moving_average", "percentile", "mse", "entropy"}),
       "octet: how PTQ finds ranges; auto: for each tensor what changes its readers least; entropy is TensorRT's"},
      {"quant.qat_calibration", kString, "moving_average",
       OneOf({"max", "moving_average", "percentile", "mse", "entropy"}),
       "octet: how QAT finds the ranges that it starts from"},
      {"quant.percentile", kFloat, "99.99", Between(50, 100), "octet: of percentile calibration"},
      {"quant.calibration_batches", kInt, "16", AtLeast(1), "octet: batches that calibration looks at"},
      {"quant.freeze_bn_epoch", kInt, "0", AtLeast(-1),
       "octet: QAT: after so many epochs batch normalization uses its running statistics and keeps them; 0, -1: never"},
      {"quant.freeze_observer_epoch", kInt, "0", AtLeast(-1),
       "octet: QAT: after so many epochs the ranges of activations stay; 0, -1: never"},
      {"quant.distillation", kFloat, "0.0", Between(0, 1),
       "octet: QAT: share of the loss that is the distance from a float network's outputs; 0: none"},
      {"quant.distillation_temperature", kFloat, "2.0", Between(0.1, 100),
       "octet: of the softmax of both networks in that distance; detectors have none"},
      {"quant.teacher", kString, "null", Any(),
       "octet: that float network (.octet or .onnx); default: train.checkpoint"},
      {"quant.calibration_dataset_path", kString, "null", Any(),
       "octet: images for `calibrate` and for export.coverage full; default: cal_image_dir, then the training images"},
      {"quant.calibration_images", kInt, "512", AtLeast(1), "octet: of them, so many, evenly spread"},
      {"quant.probe_images", kInt, "32", AtLeast(1), "octet: PTQ: images for what is measured"},
      {"quant.equalize", kString, "auto", OneOf({"auto", "on", "off"}), "octet: `calibrate`: cross-layer equalization"},
      {"quant.bias_correction", kString, "auto", OneOf({"auto", "on", "off"}), "octet: `calibrate`: bias correction"},
      {"quant.keep_fp32", kStrings, "[]", Any(), "octet: layers that stay in FP32, in PTQ and QAT of recipe fused"},
      {"quant.max_drop", kFloat, "-1.0", AtLeast(-1),
       "octet: `calibrate` keeps layers in FP32 until at most so many percent of images change their class; -1: off"},
      {"quant.min_sqnr", kFloat, "-1.0", AtLeast(-1), "octet: the same until the outputs reach so many dB; -1: off"},
  };
}

std::vector<Key> ExportKeys() {
  return {
      {"export.coverage", kString, "fused", OneOf({"fused", "full"}),
       "octet: scales in the cache of a QAT model: those that QAT learned, or every tensor (DLA)"},
      {"export.qdq_target", kString, "trt", OneOf({"trt", "ort", "both"}),
       "octet: Q/DQ file for TensorRT, or ONNX Runtime (INT8 weights stored, unsigned activations)"},
  };
}

std::vector<Key> CalibrateKeys() {
  return {
      {"calibrate.checkpoint", kString, "???", Any(), "octet: float model (.octet) or .onnx"},
      {"calibrate.results_dir", kString, "null", Any(), "octet: default: results_dir/calibrate"},
  };
}

std::vector<Key> EngineKeys() {
  return {
      {"gen_trt_engine.onnx_file", kString, "???", Any(), "what `export` wrote, or a .octet model"},
      {"gen_trt_engine.trt_engine", kString, "null", Any(), "plan to write; default: model.plan in the results folder"},
      {"gen_trt_engine.results_dir", kString, "null", Any(), "default: results_dir/gen_trt_engine"},
      {"gen_trt_engine.tensorrt.data_type", kString, "fp32", OneOf({"fp32", "fp16", "int8"}), "precision"},
      {"gen_trt_engine.tensorrt.max_workspace_size", kInt, "2", AtLeast(1), "GiB", kIgnored},
      {"gen_trt_engine.tensorrt.min_batch_size", kInt, "1", AtLeast(1), "octet's plans take any batch", kIgnored},
      {"gen_trt_engine.tensorrt.opt_batch_size", kInt, "1", AtLeast(1), "octet's plans take any batch", kIgnored},
      {"gen_trt_engine.tensorrt.max_batch_size", kInt, "1", AtLeast(1), "octet's plans take any batch", kIgnored},
      {"gen_trt_engine.tensorrt.calibration.cal_image_dir", kString, "\"\"", Any(), "images for PTQ"},
      {"gen_trt_engine.tensorrt.calibration.cal_cache_file", kString, "\"\"", Any(), "calibration cache"},
      {"gen_trt_engine.tensorrt.calibration.cal_batch_size", kInt, "1", AtLeast(1), "images per batch"},
      {"gen_trt_engine.tensorrt.calibration.cal_batches", kInt, "1", AtLeast(1), "batches"},
      {"gen_trt_engine.tensorrt.calibration.cal_data_file", kString, "\"\"", Any(), "TAO's tensor file", kIgnored},
  };
}

std::string SectionOf(const Key& key) {
  return key.path.substr(0, key.path.find('.'));
}

}  // namespace

std::vector<Key> WithCommonKeys(const std::vector<Key>& own, const std::string& task, const std::string& data_format) {
  std::vector<Key> keys = TopLevelKeys(data_format);
  keys.insert(keys.end(), own.begin(), own.end());
  for (const std::vector<Key>& more : {LoggingKeys(task), QuantKeys(), ExportKeys(), CalibrateKeys(), EngineKeys()}) {
    const std::string section = SectionOf(more[0]);
    auto at = std::find_if(keys.begin(), keys.end(), [&](const Key& k) { return k.path == section + ".results_dir"; });
    if (at == keys.end()) {
      at = std::find_if(keys.rbegin(), keys.rend(), [&](const Key& k) { return SectionOf(k) == section; }).base();
      if (at == keys.begin()) at = keys.end();  // a section of common keys only
    }
    keys.insert(at, more.begin(), more.end());
  }
  return keys;
}

std::vector<Alias> CommonAliases() {
  const std::string tensorrt = "gen_trt_engine.tensorrt.";
  std::vector<Alias> aliases = {
      {"build", {"gen_trt_engine"}},
      {"key", {"encryption_key"}},
      {"training_config", {"train"}},
      {"train.enable_qat", {"train.qat"}},
      {"prune.output_path", {"prune.results_dir"}},
      {"export.output_path", {"export.onnx_file"}},
      {"export.engine_file", {"gen_trt_engine.trt_engine"}},
  };
  for (const char* section : {"evaluate", "inference", "export", "prune"}) {
    aliases.push_back({std::string(section) + ".model_path", {std::string(section) + ".checkpoint"}});
  }
  for (const char* name : {"data_type", "max_workspace_size", "min_batch_size", "opt_batch_size", "max_batch_size"}) {
    aliases.push_back({std::string("export.") + name, {tensorrt + name}});
  }
  for (const char* name : {"cal_image_dir", "cal_cache_file", "cal_batch_size", "cal_batches", "cal_data_file"}) {
    aliases.push_back({std::string("export.") + name, {tensorrt + "calibration." + name}});
  }
  return aliases;
}

}  // namespace octet::spec

// Every key of a classification spec: TAO's names and defaults (classification_tf2, TAO Toolkit 6), then octet's own.
#include "spec/common_keys.h"

namespace octet::spec {
namespace {

constexpr Use kIgnored = Use::kIgnored;
constexpr Type kBool = Type::kBool;
constexpr Type kInt = Type::kInt;
constexpr Type kFloat = Type::kFloat;
constexpr Type kString = Type::kString;
constexpr Type kInts = Type::kInts;
constexpr Type kFloats = Type::kFloats;
constexpr Type kStrings = Type::kStrings;

Limits ChannelMeans() {
  Limits limits = Between(0, 65535);
  limits.counts = {1, 3};
  return limits;
}

Limits AboveUpTo(double low, double high) {
  Limits limits = Between(low, high);
  limits.low_open = true;
  return limits;
}

// The names of the zoo (zoo_test compares), and byom: an imported model.
std::vector<std::string> Backbones() {
  std::vector<std::string> names = {"resnet_10",          "resnet_18",         "resnet_34",    "resnet_50",
                                    "resnet_101",         "resnet_152",        "mobilenet_v1", "mobilenet_v2",
                                    "mobilenet_v3_small", "mobilenet_v3_large"};
  for (int i = 0; i <= 7; ++i) names.push_back("efficientnet-b" + std::to_string(i));
  for (int i = 0; i <= 4; ++i) names.push_back("efficientnet-lite" + std::to_string(i));
  for (const char* name : {"vgg_16", "vgg_19", "squeezenet", "googlenet", "darknet_19", "darknet_53", "cspdarknet_19",
                           "cspdarknet_53", "byom"}) {
    names.push_back(name);
  }
  return names;
}

std::vector<Key> Keys() {
  return {
      {"dataset.train_dataset_path", kString, "???", Any(), "folder of class folders"},
      {"dataset.val_dataset_path", kString, "???", Any(), "folder of the same class folders"},
      {"dataset.num_classes", kInt, "20", AtLeast(2), "must equal the number of class folders"},
      {"dataset.preprocess_mode", kString, "caffe", OneOf({"caffe", "torch", "tf"}),
       "caffe: BGR minus image_mean; torch: /255, minus the ImageNet mean, / its deviation; tf: /127.5 - 1"},
      {"dataset.image_mean", kFloats, "[103.939, 116.779, 123.68]", ChannelMeans(),
       "BGR, caffe mode only; one value for gray images"},
      {"dataset.augmentation.enable_random_crop", kBool, "true", Any(),
       "training: random scale and crop, unless the image has the network's size"},
      {"dataset.augmentation.enable_center_crop", kBool, "true", Any(),
       "validation: scale to cover the size + 32, crop the middle, unless the image has the network's size"},
      {"dataset.augmentation.enable_color_augmentation", kBool, "false", Any(),
       "training: hue, saturation and contrast; only together with the random crop"},
      {"dataset.augmentation.disable_horizontal_flip", kBool, "false", Any(), "training: no mirroring"},
      {"dataset.augmentation.random_shift", kInt, "0", Between(0, 1024),
       "octet: training: shift by up to so many pixels, edges mirrored; for images that have the network's size"},
      {"dataset.augmentation.mixup_alpha", kFloat, "0.0", AtLeast(0), "Beta(a, a) of mixup; 0 turns it off"},

      {"model.backbone", kString, "efficientnet-b0", OneOf(Backbones()), "network"},
      {"model.width_multiplier", kFloat, "1.0", Between(0.05, 4), "octet: the MobileNets' alpha: channels x this"},
      {"model.input_width", kInt, "256", Between(16, 8192), "pixels"},
      {"model.input_height", kInt, "256", Between(16, 8192), "pixels"},
      {"model.input_channels", kInt, "3", OneOf({"1", "3"}), "color or gray"},
      {"model.input_image_depth", kInt, "8", OneOf({"8", "16"}), "bits per channel; 16 for gray images only"},
      {"model.resize_interpolation_method", kString, "bilinear", OneOf({"bilinear", "bicubic"}), "resize of images"},
      {"model.retain_head", kBool, "false", Any(),
       "keep the classifier of train.checkpoint (another number of classes is an error); EfficientNet: with its "
       "dropout"},
      {"model.use_batch_norm", kBool, "true", Any(),
       "batch normalization after convolutions; EfficientNet and MobileNetV3 always have it"},
      {"model.use_bias", kBool, "false", Any(), "bias in convolutions"},
      {"model.use_pooling", kBool, "true", Any(), "ResNet, VGG: max pooling instead of strides"},
      {"model.all_projections", kBool, "false", Any(), "ResNet, MobileNetV2: projection on every shortcut"},
      {"model.freeze_bn", kBool, "false", Any(),
       "batch normalization stays as it is: neither its factors nor its statistics are trained"},
      {"model.freeze_blocks", kInts, "[]", Between(0, 18),
       "blocks whose weights are not trained; ids depend on the backbone (their statistics: see freeze_bn)"},
      {"model.dropout", kFloat, "0.0", InHalfOpen(0, 1),
       "training: dropout before the dense layer of a new network (TAO accepts the key and does not apply it)"},
      {"model.activation_type", kString, "null", OneOf({"relu", "relu6", "leaky_relu", "swish", "hard_swish", "mish"}),
       "null: the backbone's own"},
      {"model.byom_model", kString, "\"\"", Any(), "backbone byom: the network, an .onnx file"},

      {"train.qat", kBool, "false", Any(), "train while feeling INT8 rounding"},
      {"train.checkpoint", kString, "\"\"", Any(), "model or weights to start from: .octet, .onnx, .safetensors"},
      {"train.resume_training_checkpoint_path", kString, "\"\"", Any(), "checkpoint to continue from"},
      {"train.resume", kBool, "false", Any(), "octet: continue from the last checkpoint in the results folder"},
      {"train.checkpoint_interval", kInt, "1", AtLeast(1), "epochs; at most num_epochs"},
      {"train.moving_average_decay", kFloat, "0.0", InHalfOpen(0, 1),
       "octet: > 0: an average of the weights is kept, validated and saved as the model (0.999 for long trainings)"},
      {"train.amp", kBool, "false", Any(),
       "octet: bfloat16 convolutions and matrix products, on CPUs that have them and on GPUs; QAT stays FP32"},
      {"train.integer", kString, "auto", OneOf({"auto", "on", "off"}),
       "octet: QAT computes convolutions and their gradients in integers: auto where the CPU has AVX-512 VNNI; on: an "
       "error where it cannot"},
      {"train.validation_interval", kInt, "10", AtLeast(1), "epochs; at most num_epochs"},
      {"train.batch_size_per_gpu", kInt, "64", AtLeast(1), "images per step"},
      {"train.num_epochs", kInt, "100", AtLeast(1), "passes over the training images"},
      {"train.n_workers", kInt, "10", Between(1, 1024), "data loading threads; never more than the machine has"},
      {"train.threads", kInt, "0", Between(0, 1024), "octet: threads of the training step; 0: all cores"},
      {"train.random_seed", kInt, "42", AtLeast(0), "of initial weights, order and augmentation"},
      {"train.label_smoothing", kFloat, "0.01", InHalfOpen(0, 1), "targets y(1-e) + e/classes"},
      {"train.reg_config.type", kString, "L2", OneOf({"L1", "L2", "None"}), "weight penalty"},
      {"train.reg_config.scope", kStrings, "[conv2d, dense]", OneOf({"conv2d", "depthwise", "dense"}),
       "layers with the penalty; conv2d is without depthwise convolutions, as in TAO"},
      {"train.reg_config.weight_decay", kFloat, "1.5e-05", InHalfOpen(0, 1), "factor of the penalty"},
      {"train.bn_config.momentum", kFloat, "0.9", InHalfOpen(0, 1), "of running statistics: new = m old + (1-m) batch"},
      {"train.bn_config.epsilon", kFloat, "1e-05", Above(0), "added to the variance"},
      {"train.lr_config.scheduler", kString, "cosine", OneOf({"cosine", "soft_anneal", "step"}), "schedule"},
      {"train.lr_config.learning_rate", kFloat, "0.05", Above(0), "base learning rate"},
      {"train.lr_config.soft_start", kFloat, "0.05", InHalfOpen(0, 1), "fraction of the training with a linear rise"},
      {"train.lr_config.annealing_points", kFloats, "[0.33, 0.66, 0.88]", Between(0, 1), "soft_anneal"},
      {"train.lr_config.annealing_divider", kFloat, "10.0", Above(0), "soft_anneal"},
      {"train.lr_config.min_lr_ratio", kFloat, "3e-05", Between(0, 1), "cosine: lowest rate / learning_rate"},
      {"train.lr_config.gamma", kFloat, "1.5e-05", Above(0), "step: factor"},
      {"train.lr_config.step_size", kFloat, "10.0", AboveUpTo(0, 100), "step: percent of all steps"},
      {"train.optim_config.optimizer", kString, "sgd", OneOf({"sgd", "adam", "rmsprop"}), "optimizer"},
      {"train.optim_config.lr", kFloat, "0.05", Above(0), "replaced by lr_config from the first step, in TAO too",
       kIgnored},
      {"train.optim_config.decay", kFloat, "0.0001", AtLeast(0), "rate / (1 + decay step), on top of the schedule"},
      {"train.optim_config.momentum", kFloat, "0.99", InHalfOpen(0, 1), "sgd"},
      {"train.optim_config.nesterov", kBool, "true", Any(), "sgd"},
      {"train.optim_config.beta_1", kFloat, "0.99", InHalfOpen(0, 1), "adam"},
      {"train.optim_config.beta_2", kFloat, "0.99", InHalfOpen(0, 1), "adam"},
      {"train.optim_config.rho", kFloat, "0.5", InHalfOpen(0, 1), "rmsprop"},
      {"train.optim_config.epsilon", kFloat, "0.0001", Above(0), "adam, rmsprop"},
      {"train.results_dir", kString, "null", Any(), "default: results_dir/train"},

      {"evaluate.dataset_path", kString, "???", Any(), "folder of class folders"},
      {"evaluate.checkpoint", kString, "???", Any(), "trained model (.octet) or .onnx"},
      {"evaluate.trt_engine", kString, "null", Any(), "INT8 plan; takes precedence over the checkpoint"},
      {"evaluate.batch_size", kInt, "64", AtLeast(1), "images per step"},
      {"evaluate.n_workers", kInt, "64", Between(1, 1024), "data loading threads; never more than the machine has"},
      {"evaluate.top_k", kInt, "3", AtLeast(1), "right if among the k best"},
      {"evaluate.classmap", kString, "\"\"", Any(), "class names, JSON or text; default: the model's own"},
      {"evaluate.results_dir", kString, "null", Any(), "default: results_dir/evaluate"},

      {"inference.checkpoint", kString, "???", Any(), "trained model (.octet) or .onnx"},
      {"inference.trt_engine", kString, "null", Any(), "INT8 plan; takes precedence over the checkpoint"},
      {"inference.image_dir", kString, "???", Any(), "images, also in folders below"},
      {"inference.classmap", kString, "\"\"", Any(), "class names, JSON or text; default: the model's own"},
      {"inference.results_dir", kString, "null", Any(), "default: results_dir/inference"},

      {"export.checkpoint", kString, "???", Any(), "trained model (.octet)"},
      {"export.onnx_file", kString, "null", Any(), "FP32 ONNX; default: model.onnx in the results folder"},
      {"export.qdq_file", kString, "null", Any(), "octet: ONNX with Q/DQ nodes; default: model.qdq.onnx"},
      {"export.cache_file", kString, "null", Any(), "octet: TensorRT calibration cache; default: calib.cache"},
      {"export.tensorrt_version", kString, "8.6.1", Any(), "octet: TensorRT that will read the cache"},
      {"export.opset", kInt, "13", Between(13, 21), "octet: ONNX opset"},
      {"export.results_dir", kString, "null", Any(), "default: results_dir/export"},

      {"prune.checkpoint", kString, "???", Any(), "trained model (.octet)"},
      {"prune.byom_model_path", kString, "null", Any(),
       "backbone byom: the .onnx to prune when there is no checkpoint"},
      {"prune.normalizer", kString, "max", OneOf({"max", "L2"}), "norms are divided by the layer's max or L2 norm"},
      {"prune.equalization_criterion", kString, "union",
       OneOf({"union", "intersection", "arithmetic_mean", "geometric_mean"}), "for layers that are added"},
      {"prune.granularity", kInt, "8", AtLeast(1), "channels that stay: a multiple of this"},
      {"prune.threshold", kFloat, "0.1", AtLeast(0), "channels with a lower norm go"},
      {"prune.min_num_filters", kInt, "16", AtLeast(1), "channels that stay at least"},
      {"prune.excluded_layers", kStrings, "[]", Any(), "names"},
      {"prune.results_dir", kString, "null", Any(), "default: results_dir/prune"},
  };
}

std::vector<Alias> Aliases() {
  std::vector<Alias> aliases = CommonAliases();
  const std::vector<Alias> own = {
      {"data", {"dataset"}},
      {"augment", {"dataset.augmentation"}},
      {"model.arch", {"model.backbone"}},
      {"model.input_image_size", {"model.input_channels", "model.input_height", "model.input_width"}},
      {"train.learning_rate", {"train.lr_config.learning_rate"}},
      {"train.pretrained_model_path", {"train.checkpoint"}},
  };
  aliases.insert(aliases.end(), own.begin(), own.end());
  return aliases;
}

}  // namespace

TaskTable ClassificationTable() {
  return {"classification", "Classification", WithCommonKeys(Keys(), "classification", "channels_first"), Aliases()};
}

}  // namespace octet::spec

// The keys of an EfficientDet spec beside those of common_keys.h: TAO's names and defaults (efficientdet_tf2, TAO
// Toolkit 6), then octet's own.
#include "spec/common_keys.h"

namespace octet::spec {
namespace {

constexpr Use kIgnored = Use::kIgnored;
constexpr Type kBool = Type::kBool;
constexpr Type kInt = Type::kInt;
constexpr Type kFloat = Type::kFloat;
constexpr Type kString = Type::kString;
constexpr Type kInts = Type::kInts;
constexpr Type kStrings = Type::kStrings;

// The names of the zoo (zoo_test compares).
std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const char* variant :
       {"d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d7x", "lite0", "lite1", "lite2", "lite3", "lite4"}) {
    names.push_back(std::string("efficientdet-") + variant);
  }
  return names;
}

std::vector<Key> Keys() {
  return {
      {"dataset.train_tfrecords", kStrings, "[]", Any(), "TFRecord files of dataset_convert, or patterns"},
      {"dataset.val_tfrecords", kStrings, "[]", Any(), "TFRecord files of dataset_convert, or patterns"},
      {"dataset.train_dirs", kStrings, "[]", Any(), "images of train_json_file: one folder"},
      {"dataset.val_dirs", kStrings, "[]", Any(), "images of val_json_file: one folder"},
      {"dataset.train_json_file", kString, "\"\"", Any(),
       "octet: COCO annotations of the training images; instead of train_tfrecords"},
      {"dataset.val_json_file", kString, "\"\"", Any(), "COCO annotations of the validation images"},
      {"dataset.num_classes", kInt, "91", AtLeast(2),
       "outputs per anchor, at least the number of categories (TAO: the highest category id + 1)"},
      {"dataset.max_instances_per_image", kInt, "200", AtLeast(1), "boxes of an image at most"},
      {"dataset.skip_crowd_during_training", kBool, "true", Any(), "crowd boxes are no targets"},
      {"dataset.use_fake_data", kBool, "false", Any(), "TAO's speed test", kIgnored},
      {"dataset.loader.shuffle_buffer", kInt, "10000", AtLeast(0), "octet shuffles all images", kIgnored},
      {"dataset.loader.cycle_length", kInt, "32", AtLeast(1), "interleaving of files", kIgnored},
      {"dataset.loader.block_length", kInt, "16", AtLeast(1), "interleaving of files", kIgnored},
      {"dataset.loader.shuffle_file", kBool, "true", Any(), "octet shuffles all images", kIgnored},
      {"dataset.loader.prefetch_size", kInt, "2", Between(1, 64), "batches made ahead"},
      {"dataset.loader.n_workers", kInt, "8", Between(1, 1024),
       "octet: data loading threads; never more than the machine has"},
      {"dataset.augmentation.rand_hflip", kBool, "true", Any(), "training: mirror with probability 1/2"},
      {"dataset.augmentation.random_crop_min_scale", kFloat, "0.1", Above(0), "training: scale jitter"},
      {"dataset.augmentation.random_crop_max_scale", kFloat, "2.0", Above(0), "training: scale jitter"},
      {"dataset.augmentation.auto_color_distortion", kBool, "false", Any(), "training: one color operation an image"},
      {"dataset.augmentation.auto_translate_xy", kBool, "false", Any(), "training: shift along one axis"},

      {"model.name", kString, "efficientdet-d0", OneOf(Names()), "network"},
      {"model.input_width", kInt, "512", Between(32, 8192), "pixels; a multiple of 2^max_level"},
      {"model.input_height", kInt, "512", Between(32, 8192), "pixels; a multiple of 2^max_level"},
      {"model.aspect_ratios", kString, "\"[(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)]\"", Any(),
       "of anchors: factors of width and height"},
      {"model.anchor_scale", kFloat, "4", Above(0), "smallest anchor of a level, in strides"},
      {"model.num_scales", kInt, "3", Between(1, 16), "anchor sizes within a level"},
      {"model.min_level", kInt, "3", Between(1, 5), "finest level of the pyramid: stride 2^level"},
      {"model.max_level", kInt, "7", Between(5, 9), "coarsest level of the pyramid"},
      {"model.activation_type", kString, "null", OneOf({"relu", "relu6", "leaky_relu", "swish", "hard_swish", "mish"}),
       "octet: of a new network; null: swish, in the Lite networks relu6. relu6 is what QAT of recipe fused makes of "
       "the others"},
      {"model.freeze_bn", kBool, "false", Any(), "do not train batch normalization"},
      {"model.freeze_blocks", kInts, "[]", Between(0, 7), "blocks of the backbone that are not trained; 0: stem"},

      {"train.qat", kBool, "false", Any(), "train while feeling INT8 rounding"},
      {"train.amp", kBool, "false", Any(), "octet: bfloat16 convolutions and matrix products; QAT stays FP32"},
      {"train.integer", kString, "auto", OneOf({"auto", "on", "off"}),
       "octet: QAT computes convolutions and their gradients in integers: auto where the CPU has AVX-512 VNNI; on: an "
       "error where it cannot"},
      {"train.batch_size", kInt, "8", AtLeast(1), "images per step"},
      {"train.num_epochs", kInt, "300", AtLeast(1), "passes over the training images"},
      {"train.init_epoch", kInt, "0", AtLeast(0), "octet reads it from the checkpoint", kIgnored},
      {"train.num_examples_per_epoch", kInt, "120000", AtLeast(1),
       "images of an epoch; more than there are means all of them, once"},
      {"train.checkpoint", kString, "\"\"", Any(),
       "model to start from: a detector (pruned or not), or a classifier with the same backbone"},
      {"train.pruned_model_path", kString, "\"\"", Any(), "pruned model to start from, as train.checkpoint"},
      {"train.resume_training_checkpoint_path", kString, "\"\"", Any(), "checkpoint to continue from"},
      {"train.resume", kBool, "false", Any(), "octet: continue from the last checkpoint in the results folder"},
      {"train.checkpoint_interval", kInt, "10", AtLeast(1), "epochs; at most num_epochs"},
      {"train.validation_interval", kInt, "10", AtLeast(1), "epochs; at most num_epochs"},
      {"train.threads", kInt, "0", Between(0, 1024), "octet: threads of the training step; 0: all cores"},
      {"train.random_seed", kInt, "42", AtLeast(0), "of initial weights, order and augmentation"},
      {"train.optimizer.name", kString, "sgd", OneOf({"sgd", "adam"}), "optimizer"},
      {"train.optimizer.momentum", kFloat, "0.9", InHalfOpen(0, 1), "sgd: momentum; adam: beta 1"},
      {"train.lr_schedule.name", kString, "cosine", OneOf({"cosine", "soft_anneal"}), "schedule"},
      {"train.lr_schedule.learning_rate", kFloat, "0.2", Above(0), "base learning rate"},
      {"train.lr_schedule.warmup_epoch", kInt, "5", AtLeast(0), "epochs of warm-up; fewer than num_epochs"},
      {"train.lr_schedule.warmup_init", kFloat, "0.0001", Above(0), "learning rate of the first step"},
      {"train.lr_schedule.annealing_epoch", kInt, "10", AtLeast(0), "soft_anneal: epoch from which the rate falls"},
      {"train.l2_weight_decay", kFloat, "0.00004", InHalfOpen(0, 1), "times half the squares of all kernels"},
      {"train.l1_weight_decay", kFloat, "0.0", AtLeast(0), "crashes TAO when set", kIgnored},
      {"train.clip_gradients_norm", kFloat, "10.0", AtLeast(0), "of each gradient, then of all together; 0: off"},
      {"train.moving_average_decay", kFloat, "0.9999", InHalfOpen(0, 1),
       "average of the weights, which is validated and saved; 0: off"},
      {"train.box_loss_weight", kFloat, "50.0", AtLeast(0), "factor of the box loss"},
      {"train.iou_loss_type", kString, "\"\"", Any(), "iou, giou, diou, ciou, or nothing"},
      {"train.iou_loss_weight", kFloat, "1.0", AtLeast(0), "factor of the IoU loss"},
      {"train.label_smoothing", kFloat, "0.0", InHalfOpen(0, 1), "targets y(1-e) + e/2"},
      {"train.skip_checkpoint_variables", kString, "\"-predict*\"", Any(),
       "octet takes every tensor of the same name and shape", kIgnored},
      {"train.image_preview", kBool, "true", Any(), "pictures of training batches and of detections for TensorBoard"},
      {"train.results_dir", kString, "null", Any(), "default: results_dir/train"},

      {"evaluate.checkpoint", kString, "???", Any(), "trained model (.octet) or .onnx with raw heads"},
      {"evaluate.trt_engine", kString, "null", Any(), "INT8 plan; takes precedence over the checkpoint"},
      {"evaluate.batch_size", kInt, "8", AtLeast(1), "images per step"},
      {"evaluate.num_samples", kInt, "5000", AtLeast(1), "images at most"},
      {"evaluate.max_detections_per_image", kInt, "100", AtLeast(1), "boxes per image at most"},
      {"evaluate.max_nms_inputs", kInt, "5000", AtLeast(0), "best (anchor, class) pairs that are looked at; 0: all"},
      {"evaluate.score_threshold", kFloat, "0.01", InHalfOpen(0, 1), "octet: boxes with a lower score do not count"},
      {"evaluate.iou_threshold", kFloat, "0.5", Between(0, 1), "octet: overlap from which the weaker box goes"},
      {"evaluate.sigma", kFloat, "0.5", Above(0), "of TAO's soft suppression; octet does what TensorRT does", kIgnored},
      {"evaluate.start_eval_epoch", kInt, "1", AtLeast(1), "training: first epoch that is validated"},
      {"evaluate.label_map", kString, "\"\"", Any(), "class names are in the checkpoint", kIgnored},
      {"evaluate.results_dir", kString, "null", Any(), "default: results_dir/evaluate"},

      {"inference.checkpoint", kString, "???", Any(), "trained model (.octet) or .onnx with raw heads"},
      {"inference.trt_engine", kString, "null", Any(), "INT8 plan; takes precedence over the checkpoint"},
      {"inference.image_dir", kString, "???", Any(), "an image, a folder, or a pattern with * and ?"},
      {"inference.dump_label", kBool, "false", Any(), "also write labels/NAME.txt in KITTI's format"},
      {"inference.batch_size", kInt, "1", AtLeast(1), "images per step"},
      {"inference.min_score_thresh", kFloat, "0.3", InHalfOpen(0, 1), "boxes with a lower score are not shown"},
      {"inference.label_map", kString, "\"\"", Any(), "class names are in the checkpoint", kIgnored},
      {"inference.max_boxes_to_draw", kInt, "100", AtLeast(1), "best boxes of an image"},
      {"inference.results_dir", kString, "null", Any(), "default: results_dir/inference"},

      {"export.checkpoint", kString, "???", Any(), "trained model (.octet)"},
      {"export.onnx_file", kString, "null", Any(), "FP32 ONNX; default: fp32.onnx in the results folder"},
      {"export.qdq_file", kString, "null", Any(), "octet: ONNX with Q/DQ nodes; default: qdq.onnx"},
      {"export.cache_file", kString, "null", Any(), "octet: TensorRT calibration cache; default: calib.cache"},
      {"export.tensorrt_version", kString, "8.6.1", Any(), "octet: TensorRT that will read the cache"},
      {"export.opset", kInt, "13", Between(13, 21), "octet: ONNX opset"},
      {"export.postprocess", kString, "raw", OneOf({"raw", "nms", "efficient_nms"}),
       "octet: what the ONNX files end in: class_logits and box_codes; ONNX's NonMaxSuppression; TensorRT's plugin"},
      {"export.input", kString, "normalized", OneOf({"normalized", "tao"}),
       "octet: normalized: f32 [N,3,H,W] as in training; tao: f32 [N,H,W,3] RGB 0 to 255, normalized inside"},
      {"export.batch_size", kInt, "8", AtLeast(1), "octet's files take any batch", kIgnored},
      {"export.dynamic_batch_size", kBool, "true", Any(), "octet's files take any batch", kIgnored},
      {"export.min_score_thresh", kFloat, "0.01", InHalfOpen(0, 1), "score threshold of the suppression in the file"},
      {"export.results_dir", kString, "null", Any(), "default: results_dir/export"},

      {"prune.checkpoint", kString, "???", Any(), "trained model (.octet)"},
      {"prune.normalizer", kString, "max", OneOf({"max", "L2"}), "norms are divided by the layer's max or L2 norm"},
      {"prune.equalization_criterion", kString, "union",
       OneOf({"union", "intersection", "arithmetic_mean", "geometric_mean"}), "for layers that are added"},
      {"prune.granularity", kInt, "8", AtLeast(1), "channels that stay: a multiple of this"},
      {"prune.threshold", kFloat, "0.2", AtLeast(0), "channels with a lower norm go"},
      {"prune.min_num_filters", kInt, "16", AtLeast(1), "channels that stay at least"},
      {"prune.excluded_layers", kStrings, "[]", Any(), "names"},
      {"prune.results_dir", kString, "null", Any(), "default: results_dir/prune"},

      {"dataset_convert.image_dir", kString, "???", Any(), "images"},
      {"dataset_convert.annotations_file", kString, "???", Any(), "COCO annotations"},
      {"dataset_convert.tag", kString, "\"\"", Any(), "first part of the file names; default: the annotations' name"},
      {"dataset_convert.num_shards", kInt, "256", Between(1, 99999), "TFRecord files"},
      {"dataset_convert.include_masks", kBool, "false", Any(), "segmentations as PNG masks"},
      {"dataset_convert.results_dir", kString, "null", Any(), "default: results_dir/dataset_convert"},
  };
}

std::vector<Alias> Aliases() {
  std::vector<Alias> aliases = CommonAliases();
  const std::vector<Alias> own = {
      {"data", {"dataset"}},
      {"augment", {"dataset.augmentation"}},
      {"dataset_convert.output_dir", {"dataset_convert.results_dir"}},
      {"train.learning_rate", {"train.lr_schedule.learning_rate"}},
      {"train.pretrained_model_path", {"train.checkpoint"}},
  };
  aliases.insert(aliases.end(), own.begin(), own.end());
  return aliases;
}

}  // namespace

TaskTable EfficientDetTable() {
  return {"efficientdet", "EfficientDet", WithCommonKeys(Keys(), "efficientdet", "channels_last"), Aliases()};
}

}  // namespace octet::spec

// A made-up data set for demos and tests: textured shapes, tilted, of any size and place, on textured backgrounds with
// strokes in front and behind, colors, light and noise that say nothing about the class. A linear classifier on the
// pixels fails on it; a small CNN does not (64 pixels, 10 classes, 400 images each: a linear classifier reaches 17 %, a
// 6-layer CNN 96 % in 8 epochs).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/image.h"

namespace octet::data {

struct SyntheticOptions {
  int classes = 10;  // 2 .. SyntheticClassNames().size()
  int train_per_class = 400;
  int val_per_class = 100;
  int size = 64;  // width and height, pixels; 16 .. 1024
  uint64_t seed = 1;
  int threads = 1;
  bool show_progress = true;
};

// "arrow", "crescent", ...: names of the class folders, in the order in which `classes` takes them.
const std::vector<std::string>& SyntheticClassNames();

// Image number `index` of a class; depends on the arguments only. `split` 0: train, 1: val.
Image MakeSyntheticImage(int class_index, int split, int64_t index, int size, uint64_t seed);

// Writes dir/train/CLASS/00000.png ... and dir/val/CLASS/...; files that are there already and have these names are
// replaced. Throws Error(kUser) on options out of range, or when the folder holds other images that would become part
// of the data set.
void GenerateSynthetic(const std::string& dir, const SyntheticOptions& options);

// The same for detectors: pictures of one to five such shapes, small and large.
struct SyntheticObject {
  int class_index = 0;
  double x = 0, y = 0, width = 0, height = 0;  // pixels
};

struct SyntheticScene {
  Image image;
  std::vector<SyntheticObject> objects;
};

SyntheticScene MakeSyntheticScene(int classes, int split, int64_t index, int size, uint64_t seed);

struct SyntheticScenesOptions {
  int classes = 6;  // 1 .. SyntheticClassNames().size()
  int train = 400;  // images
  int val = 100;
  int size = 128;  // width and height, pixels; 64 .. 2048
  uint64_t seed = 1;
  int threads = 1;
  bool show_progress = true;
};

// Writes dir/images/train_00000.png ... and the COCO files dir/train.json and dir/val.json. Throws Error(kUser) on
// options out of range.
void GenerateSyntheticScenes(const std::string& dir, const SyntheticScenesOptions& options);

}  // namespace octet::data

// Images (or tensors) from disk as a network's input, batch by batch, as often as calibration needs them. Memory does
// not grow with their number.
#pragma once

#include <string>
#include <vector>

#include "data/preprocess.h"
#include "ir/graph.h"
#include "task/ptq/post_training.h"

namespace octet::task {

// What a network reads: one float input of rank 4, [N,C,H,W], or [N,H,W,C] as TensorFlow writes it.
struct ImageInput {
  int64_t batch = ir::kDynamic;
  int channels = 3, height = 0, width = 0;
  bool channels_last = false;
};
// Throws a user Error when the first input is no image of 1 or 3 channels with a known size.
ImageInput ImageInputOf(const ir::Graph& graph);

struct CalibrationImageOptions {
  std::string path;        // folder (with folders below), pattern or file of images; or a folder of .npy tensors
  int64_t max_images = 0;  // spread evenly over the sorted files; 0: all
  int batch_size = 8;      // where the network leaves it open
  int threads = 1;
  data::PreprocessOptions preprocess;  // width, height and channels are the network's
};

// A folder of .npy files holds inputs as the network reads them: [C,H,W] (or [N,C,H,W]) f32, without preprocessing.
// Throws a user Error when there is nothing to read, or fewer images than the network's fixed batch.
OpenImages OpenCalibrationImages(const ir::Graph& graph, const CalibrationImageOptions& options);

// At most `count` of the items, evenly spread.
template <typename T>
std::vector<T> SpreadEvenly(const std::vector<T>& items, size_t count) {
  if (count == 0 || items.size() <= count) return items;
  std::vector<T> spread;
  for (size_t i = 0; i < count; ++i) spread.push_back(items[i * items.size() / count]);
  return spread;
}

}  // namespace octet::task

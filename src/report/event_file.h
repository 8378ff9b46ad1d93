// TensorBoard's event file: scalars and pictures that `tensorboard --logdir` shows. TFRecord framing
// (base/tfrecord_framing.h) around Event messages (tensorflow/core/util/event.proto: wall_time = 1, step = 2,
// file_version = 3, summary = 5; in it value = 1 with tag = 1, simple_value = 2, image = 4 with height = 1, width = 2,
// colorspace = 3, encoded_image_string = 4).
#pragma once

#include <cstdint>
#include <string>

#include "data/image.h"

namespace octet::report {

class EventFile {
 public:
  // A new file "events.out.tfevents.<seconds>.<host>.<process>" in `folder`, which is made. A run that goes on in the
  // same folder gets a file of its own: TensorBoard joins them.
  explicit EventFile(const std::string& folder);

  const std::string& path() const { return path_; }
  // Appended at once. Throws a user Error when it cannot be written.
  void Scalar(const std::string& tag, int64_t step, double value);
  // 8 bits, RGB or gray; as PNG.
  void Picture(const std::string& tag, int64_t step, const data::Image& image);

 private:
  std::string path_;
};

}  // namespace octet::report

// TensorBoard's event file: scalars that `tensorboard --logdir` shows. TFRecord framing (base/tfrecord_framing.h) around
// Event messages (tensorflow/core/util/event.proto: wall_time = 1, step = 2, file_version = 3, summary = 5; in it
// value = 1 with tag = 1, simple_value = 2).
#pragma once

#include <cstdint>
#include <string>

namespace octet::report {

class EventFile {
 public:
  // A new file "events.out.tfevents.<seconds>.<host>.<process>" in `folder`, which is made. A run that goes on in the
  // same folder gets a file of its own: TensorBoard joins them.
  explicit EventFile(const std::string& folder);

  const std::string& path() const { return path_; }
  // Appended at once. Throws a user Error when it cannot be written.
  void Scalar(const std::string& tag, int64_t step, double value);

 private:
  std::string path_;
};

}  // namespace octet::report

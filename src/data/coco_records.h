// Detection data as TFRecord files, with the features that TAO's efficientdet_tf2 writes and reads (image/encoded,
// image/object/bbox/xmin, ...).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/coco.h"

namespace octet::data {

struct ConvertOptions {
  std::string annotations_file;
  std::string image_dir;
  std::string output_dir;
  std::string tag;  // "": the name of the annotations file without ".json"
  int num_shards = 256;
  bool include_masks = false;
  int threads = 1;
  bool show_progress = true;
};

struct ConvertResult {
  std::vector<std::string> files;  // TAG-00000-of-00256.tfrecord, ...
  std::string warnings_file;       // TAG_warnings.json: {image_id: {"box": [annotation ids], "mask": [...]}}
  int64_t images = 0;
  int64_t bad_images = 0;  // could not be decoded: logged by name, left out
  int64_t dropped_boxes = 0;
  int64_t dropped_masks = 0;
  std::vector<std::string> classes;
  std::vector<int64_t> objects;  // per class
};

// Image i of the annotations goes to shard i % num_shards. Files appear under their names when all is written. Throws
// Error(kUser) as ReadCoco does.
ConvertResult ConvertCoco(const ConvertOptions& options);

struct RecordOptions {
  int num_classes = 0;  // as in CocoOptions
  // Of the training set or the checkpoint. Empty: the ids and texts found in the records.
  std::vector<std::string> classes;
  std::vector<int64_t> category_ids;
  std::string warnings_path;
  std::string what = "TFRecords";  // "dataset.train_tfrecords"
};

// `patterns` are file names with *, ? and [] in them. Every record is read and its CRC checked; images stay in the
// files. Throws Error(kUser) that names the pattern without files, or the file and offset of a damaged or incomplete
// record.
CocoSet ReadCocoRecords(const std::vector<std::string>& patterns, const RecordOptions& options = {});

// image/encoded of the record at `offset`.
std::string ReadRecordImage(const std::string& path, int64_t offset);

}  // namespace octet::data

// From a COCO annotation file to TFRecord shards.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "base/tfrecord_framing.h"
#include "data/box_check.h"
#include "data/coco_file.h"
#include "data/coco_mask.h"
#include "data/coco_records.h"
#include "data/image.h"
#include "data/tf_example.h"

namespace octet::data {
namespace {

constexpr size_t kChunk = 64;  // images held in memory at once

// Files that get their names at the end; an interrupted conversion leaves none of them.
class Shards {
 public:
  Shards(const std::string& folder, const std::string& tag, int count) {
    MakeDirectories(folder);
    for (int i = 0; i < count; ++i) {
      names_.push_back(fmt::format("{}/{}-{:05d}-of-{:05d}.tfrecord", folder, tag, i, count));
      files_.push_back(std::make_unique<std::ofstream>(names_.back() + kUnfinished, std::ios::binary));
      OCTET_REQUIRE(files_.back()->good(), "'{}' cannot be written", names_.back());
    }
  }
  ~Shards() {
    if (finished_) return;
    files_.clear();
    std::error_code ignored;
    for (const std::string& name : names_) std::filesystem::remove(name + kUnfinished, ignored);
  }
  Shards(const Shards&) = delete;
  Shards& operator=(const Shards&) = delete;

  void Append(size_t shard, const std::string& framed) {
    files_[shard]->write(framed.data(), static_cast<std::streamsize>(framed.size()));
    OCTET_REQUIRE(files_[shard]->good(), "'{}' cannot be written; is the disk full?", names_[shard]);
  }
  void Finish() {
    for (size_t i = 0; i < files_.size(); ++i) {
      files_[i]->close();
      OCTET_REQUIRE(!files_[i]->fail(), "'{}' cannot be written; is the disk full?", names_[i]);
    }
    for (const std::string& name : names_) std::filesystem::rename(name + kUnfinished, name);
    finished_ = true;
  }
  const std::vector<std::string>& names() const { return names_; }

 private:
  static constexpr const char* kUnfinished = ".unfinished";
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<std::ofstream>> files_;
  bool finished_ = false;
};

// One image's record, and what was left out of it.
struct Record {
  std::string framed;
  std::string problem;  // of the image
  std::vector<int64_t> dropped_boxes;
  std::vector<int64_t> dropped_masks;
  std::vector<int32_t> labels;  // class of each object that was kept
};

struct Source {
  const CocoFile& file;
  const ConvertOptions& options;
  std::unordered_map<int64_t, std::vector<const CocoFile::Annotation*>> by_image;
  std::unordered_map<int64_t, size_t> class_of;

  Source(const CocoFile& f, const ConvertOptions& o) : file(f), options(o) {
    for (const auto& a : file.annotations) by_image[a.image_id].push_back(&a);
    for (size_t i = 0; i < file.categories.size(); ++i) class_of[file.categories[i].id] = i;
  }

  Record Make(const CocoFile::Image& listed) const {
    Record record;
    const std::string path = (std::filesystem::path(options.image_dir) / listed.file_name).string();
    const std::string bytes = ReadFile(path, "image");
    Image decoded;
    if (!DecodeImageBytes(bytes, {}, &decoded, &record.problem)) {
      record.problem = fmt::format("{}: {}", path, record.problem);
      return record;
    }
    OCTET_REQUIRE(decoded.width == listed.width && decoded.height == listed.height,
                  "image '{}' (id {}) has {} x {} pixels, but {} x {} by its annotations", path, listed.id,
                  decoded.width, decoded.height, listed.width, listed.height);
    TfExample example;
    example["image/height"] = Ints({listed.height});
    example["image/width"] = Ints({listed.width});
    example["image/filename"] = Bytes({listed.file_name});
    example["image/source_id"] = Bytes({std::to_string(listed.id)});
    example["image/key/sha256"] = Bytes({Sha256(bytes)});
    example["image/encoded"] = Bytes({bytes});
    example["image/format"] = Bytes({"jpeg"});  // as TAO writes it, whatever the image is
    AddObjects(listed, &example, &record);
    AppendTfRecord(EncodeExample(example), &record.framed);
    return record;
  }

  void AddObjects(const CocoFile::Image& listed, TfExample* example, Record* record) const {
    TfFeature xmin, xmax, ymin, ymax, text, label, crowd, area, masks;
    const auto at = by_image.find(listed.id);
    if (at != by_image.end()) {
      for (const CocoFile::Annotation* a : at->second) {
        Box box;
        if (IsDropped(CheckBox(a->x, a->y, a->width, a->height, listed.width, listed.height, &box))) {
          record->dropped_boxes.push_back(a->id);
          continue;
        }
        if (options.include_masks) {
          const Image mask = DrawMask(a->mask, listed.width, listed.height);
          if (std::all_of(mask.pixels.begin(), mask.pixels.end(), [](uint8_t v) { return v == 0; })) {
            record->dropped_masks.push_back(a->id);
            continue;
          }
          masks.bytes.push_back(EncodePng(mask));
        }
        const size_t c = class_of.at(a->category_id);
        record->labels.push_back(static_cast<int32_t>(c));
        xmin.floats.push_back(static_cast<float>(a->x / listed.width));
        xmax.floats.push_back(static_cast<float>((a->x + a->width) / listed.width));
        ymin.floats.push_back(static_cast<float>(a->y / listed.height));
        ymax.floats.push_back(static_cast<float>((a->y + a->height) / listed.height));
        text.bytes.push_back(file.categories[c].name);
        label.ints.push_back(a->category_id);
        crowd.ints.push_back(a->crowd ? 1 : 0);
        area.floats.push_back(static_cast<float>(a->area));
      }
    }
    (*example)["image/object/bbox/xmin"] = std::move(xmin);
    (*example)["image/object/bbox/xmax"] = std::move(xmax);
    (*example)["image/object/bbox/ymin"] = std::move(ymin);
    (*example)["image/object/bbox/ymax"] = std::move(ymax);
    (*example)["image/object/class/text"] = std::move(text);
    (*example)["image/object/class/label"] = std::move(label);
    (*example)["image/object/is_crowd"] = std::move(crowd);
    (*example)["image/object/area"] = std::move(area);
    if (options.include_masks) (*example)["image/object/mask"] = std::move(masks);
  }
};

}  // namespace

ConvertResult ConvertCoco(const ConvertOptions& options) {
  OCTET_REQUIRE(options.num_shards >= 1, "num_shards is {}, expected at least 1", options.num_shards);
  // All checks of training first: no half-made shards.
  CocoOptions checks;
  checks.what = "annotations_file";
  const CocoSet set = ReadCoco(options.annotations_file, options.image_dir, checks);
  const CocoFile file = ReadCocoFile(options.annotations_file, checks.what, options.include_masks);
  const Source source(file, options);
  const std::string tag =
      options.tag.empty() ? std::filesystem::path(options.annotations_file).stem().string() : options.tag;

  ConvertResult result;
  result.classes = set.classes;
  result.objects.assign(set.classes.size(), 0);
  Shards shards(options.output_dir, tag, options.num_shards);
  std::unique_ptr<Progress> progress;
  if (options.show_progress) {
    progress = std::make_unique<Progress>("converting", static_cast<int64_t>(file.images.size()), "images");
  }
  nlohmann::json warnings = nlohmann::json::object();
  ThreadPool pool(std::clamp(options.threads, 1, HardwareThreads()));
  for (size_t begin = 0; begin < file.images.size(); begin += kChunk) {
    std::vector<Record> records(std::min(kChunk, file.images.size() - begin));
    pool.ParallelFor(static_cast<int64_t>(records.size()),
                     [&](int64_t i) { records[i] = source.Make(file.images[begin + i]); });
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& record = records[i];
      if (!record.problem.empty()) {
        LogWarning("{}; left out", record.problem);
        ++result.bad_images;
        continue;
      }
      shards.Append((begin + i) % options.num_shards, record.framed);
      ++result.images;
      for (const int32_t label : record.labels) ++result.objects[label];
      result.dropped_boxes += static_cast<int64_t>(record.dropped_boxes.size());
      result.dropped_masks += static_cast<int64_t>(record.dropped_masks.size());
      if (record.dropped_boxes.empty() && record.dropped_masks.empty()) continue;
      warnings[std::to_string(file.images[begin + i].id)] = {{"box", record.dropped_boxes},
                                                             {"mask", record.dropped_masks}};
    }
    if (progress) progress->Advance(static_cast<int64_t>(records.size()));
  }
  if (progress) progress->Finish();
  OCTET_REQUIRE(result.images > 0, "none of the {} images can be decoded; see the messages above", file.images.size());
  shards.Finish();
  result.files = shards.names();
  result.warnings_file = fmt::format("{}/{}_warnings.json", options.output_dir, tag);
  WriteFileAtomic(result.warnings_file, warnings.dump(2) + "\n");
  return result;
}

}  // namespace octet::data

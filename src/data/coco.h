// A detection data set in COCO's JSON form. Boxes that cannot be trained on are clipped or left out, counted and
// listed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet::data {

struct Box {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // pixels of the original image
  int32_t label = 0;                     // index into CocoSet::classes
  bool crowd = false;                    // a region with many objects: never a training target
  float area = 0;                        // square pixels, from the file where it says so
};

struct CocoSet {
  struct Image {
    int64_t id = 0;
    std::string path;
    int width = 0;
    int height = 0;
    std::vector<Box> boxes;      // may be empty
    int64_t record_offset = -1;  // >= 0: `path` is a TFRecord file, and the image is in its record at this byte
  };
  struct Dropped {
    int64_t image_id = 0;
    int64_t annotation_id = 0;
    std::string problem;  // "zero size", "outside the image", "less than one pixel inside the image"
  };

  std::vector<std::string> classes;
  std::vector<int64_t> category_ids;  // of each class; ascending, gaps allowed
  std::vector<Image> images;          // in the order of the file
  std::vector<Dropped> dropped;       // boxes left out
  int64_t clipped = 0;                // boxes that reached over the edge of their image
};

struct CocoOptions {
  int num_classes = 0;  // outputs of the network; 0: not known yet. More than the categories of the file are fine
  // Of the training set or the checkpoint. Where given, classes and ids are these, and the file may not have others.
  std::vector<std::string> classes;
  std::vector<int64_t> category_ids;
  std::string warnings_path;       // where not "" and boxes were left out or clipped: {image_id: {"box": [...]}}
  bool require_images = true;      // every listed image must be in image_dir
  std::string what = "COCO file";  // "dataset.train_annotations", for messages
};

// Class i is the category with the i-th smallest id. Throws Error(kUser) on malformed JSON (with the line), missing
// keys, duplicate image, annotation or category ids, annotations of unknown images or categories, missing image files
// (how many, the first ones named), no images, no usable box in the whole file, more categories than num_classes
// (named).
CocoSet ReadCoco(const std::string& json_path, const std::string& image_dir, const CocoOptions& options = {});

}  // namespace octet::data

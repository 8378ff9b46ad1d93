// The content of a COCO annotation file as it is: checked for form, not yet for sense.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace octet::data {

// Outline of one object: polygons (x0,y0,x1,y1,... in pixels) or a run-length code (columns first, zeros first).
struct CocoMask {
  std::vector<std::vector<double>> polygons;
  std::vector<uint32_t> runs;
  int runs_height = 0;
  int runs_width = 0;
};

struct CocoFile {
  struct Image {
    int64_t id = 0;
    std::string file_name;
    int width = 0;
    int height = 0;
  };
  struct Annotation {
    int64_t id = 0;
    int64_t image_id = 0;
    int64_t category_id = 0;
    double x = 0, y = 0, width = 0, height = 0;
    double area = 0;  // width * height where the file does not say
    bool crowd = false;
    CocoMask mask;  // if asked for
  };
  struct Category {
    int64_t id = 0;
    std::string name;
  };
  std::vector<Image> images;
  std::vector<Annotation> annotations;
  std::vector<Category> categories;  // by id
};

// `what` names the file in messages: "dataset.val_json_file". Throws Error(kUser): not JSON (line and column), a
// missing list or key, a value of the wrong kind (annotations[17].bbox), duplicate ids, annotations of unlisted images
// or categories. Entries are converted while the text is read, so that a file of 100,000 images fits.
CocoFile ReadCocoFile(const std::string& path, std::string_view what, bool with_masks = false);
// The same from the text itself; `file` names it in messages.
CocoFile ParseCocoFile(std::string_view text, const std::string& file, bool with_masks = false);

}  // namespace octet::data

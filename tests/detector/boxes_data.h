// A small COCO set for tests: gray noise with one or two filled shapes, their boxes exact. Category ids have a gap.
#pragma once

#include <string>

namespace octet {

struct BoxesDataOptions {
  int train = 12;
  int val = 6;
  int width = 120;
  int height = 96;
};

// dir/images/NNN.png, dir/train.json, dir/val.json. Classes "red" (id 3) and "blue" (id 7); the second image of each
// file has no boxes. The same images every time.
void WriteBoxesData(const std::string& dir, const BoxesDataOptions& options = {});

}  // namespace octet

// libFuzzer target: any text as a COCO annotation file is a user error or a set of annotations whose masks can be
// drawn. See scripts/fuzz.sh.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "data/coco_file.h"
#include "data/coco_mask.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  try {
    const data::CocoFile file =
        data::ParseCocoFile({reinterpret_cast<const char*>(data), size}, "fuzz.json", /*with_masks=*/true);
    for (const data::CocoFile::Annotation& a : file.annotations) {
      data::DrawMask(a.mask, 64, 64);
      if (a.mask.runs_width < 256 && a.mask.runs_height < 256) {
        data::DrawMask(a.mask, a.mask.runs_width, a.mask.runs_height);
      }
    }
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kInternal) __builtin_trap();
  }
  return 0;
}

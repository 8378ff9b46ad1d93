// libFuzzer target: any bytes as the content of a TFRecord (its checksums are put right) are a user error or a data set
// with usable boxes. See scripts/fuzz.sh.
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "base/tfrecord_framing.h"
#include "data/coco_records.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  static const std::string path = "/tmp/octet_records_fuzz." + std::to_string(::getpid());
  static const bool ready = (InitLog(LogLevel::kError), std::atexit([] { ::unlink(path.c_str()); }) == 0);
  if (!ready) return 0;
  std::string framed;
  AppendTfRecord({reinterpret_cast<const char*>(data), size}, &framed);
  std::ofstream(path, std::ios::binary).write(framed.data(), static_cast<std::streamsize>(framed.size()));
  try {
    for (const data::CocoSet::Image& image : data::ReadCocoRecords({path}).images) {
      if (image.width <= 0 || image.height <= 0) __builtin_trap();
      for (const data::Box& box : image.boxes) {
        if (!(box.x2 > box.x1 && box.y2 > box.y1)) __builtin_trap();
      }
      data::ReadRecordImage(image.path, image.record_offset);
    }
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kInternal) __builtin_trap();
  }
  return 0;
}

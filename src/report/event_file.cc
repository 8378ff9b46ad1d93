#include "report/event_file.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/tfrecord_framing.h"

namespace octet::report {
namespace {

void PutFixed32(std::string* out, uint32_t v) {
  for (int i = 0; i < 4; ++i) out->push_back(static_cast<char>(v >> (8 * i)));
}

void PutFixed64(std::string* out, uint64_t v) {
  for (int i = 0; i < 8; ++i) out->push_back(static_cast<char>(v >> (8 * i)));
}

void PutVarint(std::string* out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
  out->push_back(static_cast<char>(v));
}

// Fields of a protobuf message by wire type.
enum : int { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
void PutTag(std::string* out, int field, int type) {
  PutVarint(out, static_cast<uint64_t>(field << 3 | type));
}

void PutBytes(std::string* out, int field, std::string_view bytes) {
  PutTag(out, field, kBytes);
  PutVarint(out, bytes.size());
  out->append(bytes);
}

std::string EventNow(int64_t step) {
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  uint64_t bits = 0;
  std::memcpy(&bits, &now, sizeof(bits));
  std::string event;
  PutTag(&event, 1, kFixed64);
  PutFixed64(&event, bits);
  PutTag(&event, 2, kVarint);
  PutVarint(&event, static_cast<uint64_t>(step));
  return event;
}

void AppendEvent(const std::string& path, const std::string& event) {
  std::string record;
  AppendTfRecord(event, &record);
  std::ofstream out(path, std::ios::binary | std::ios::app);
  out.write(record.data(), static_cast<std::streamsize>(record.size()));
  out.flush();
  OCTET_REQUIRE(out.good(), "cannot write '{}': {}", path, std::strerror(errno));
}

}  // namespace

EventFile::EventFile(const std::string& folder) {
  MakeDirectories(folder);
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = 'x';
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  path_ = fmt::format("{}/events.out.tfevents.{}.{}.{}", folder, seconds, host.data(), getpid());
  std::string event = EventNow(0);
  PutBytes(&event, 3, "brain.Event:2");
  AppendEvent(path_, event);
}

void EventFile::Picture(const std::string& tag, int64_t step, const data::Image& image) {
  std::string picture;
  for (const auto& [field, number] : {std::pair{1, image.height}, {2, image.width}, {3, image.channels}}) {
    PutTag(&picture, field, kVarint);
    PutVarint(&picture, static_cast<uint64_t>(number));
  }
  PutBytes(&picture, 4, data::EncodePng(image));
  std::string value;
  PutBytes(&value, 1, tag);
  PutBytes(&value, 4, picture);
  std::string summary;
  PutBytes(&summary, 1, value);
  std::string event = EventNow(step);
  PutBytes(&event, 5, summary);
  AppendEvent(path_, event);
}

void EventFile::Scalar(const std::string& tag, int64_t step, double value) {
  const auto single = static_cast<float>(value);
  uint32_t bits = 0;
  std::memcpy(&bits, &single, sizeof(bits));
  std::string number;
  PutBytes(&number, 1, tag);
  PutTag(&number, 2, kFixed32);
  PutFixed32(&number, bits);
  std::string summary;
  PutBytes(&summary, 1, number);
  std::string event = EventNow(step);
  PutBytes(&event, 5, summary);
  AppendEvent(path_, event);
}

}  // namespace octet::report

#include "base/tfrecord_framing.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include "base/error.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace octet {
namespace {

uint32_t TableCrc32c(const uint8_t* at, size_t size, uint32_t crc) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) ? 0x82f63b78u : 0u);
      made[i] = value;
    }
    return made;
  }();
  for (size_t i = 0; i < size; ++i) crc = (crc >> 8) ^ table[(crc ^ at[i]) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t InstructionCrc32c(const uint8_t* at, size_t size, uint32_t crc) {
  uint64_t wide = crc;
  for (; size >= 8; size -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; --size, ++at) crc = _mm_crc32_u8(crc, *at);
  return crc;
}
#endif

template <typename T>
void AppendLittleEndian(T value, std::string* out) {
  for (size_t i = 0; i < sizeof(T); ++i) out->push_back(static_cast<char>(static_cast<uint8_t>(value >> (8 * i))));
}

template <typename T>
T LittleEndian(const char* at) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<uint8_t>(at[i])) << (8 * i);
  return value;
}

}  // namespace

uint32_t Crc32c(const void* data, size_t size, uint32_t crc) {
  const auto* at = static_cast<const uint8_t*>(data);
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~InstructionCrc32c(at, size, ~crc);
#endif
  return ~TableCrc32c(at, size, ~crc);
}

uint32_t MaskedCrc32c(const void* data, size_t size) {
  const uint32_t crc = Crc32c(data, size);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

void AppendTfRecord(std::string_view payload, std::string* out) {
  const size_t start = out->size();
  AppendLittleEndian<uint64_t>(payload.size(), out);
  AppendLittleEndian<uint32_t>(MaskedCrc32c(out->data() + start, 8), out);
  out->append(payload);
  AppendLittleEndian<uint32_t>(MaskedCrc32c(payload.data(), payload.size()), out);
}

struct TfRecordReader::State {
  std::string path;
  std::ifstream file;
  uint64_t size = 0;
  uint64_t offset = 0;
};

TfRecordReader::TfRecordReader(const std::string& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->file.open(path, std::ios::binary);
  OCTET_REQUIRE(state_->file.is_open(), "TFRecord file {}: cannot be opened", path);
  state_->file.seekg(0, std::ios::end);
  const auto end = state_->file.tellg();
  OCTET_REQUIRE(state_->file.good() && end >= 0, "TFRecord file {}: cannot be read", path);
  state_->size = static_cast<uint64_t>(end);
  state_->file.seekg(0);
}

TfRecordReader::~TfRecordReader() = default;

uint64_t TfRecordReader::offset() const {
  return state_->offset;
}

void TfRecordReader::Seek(uint64_t offset) {
  OCTET_REQUIRE(offset <= state_->size, "TFRecord file {}: no record at offset {}; the file has {} bytes", state_->path,
                offset, state_->size);
  state_->file.clear();
  state_->file.seekg(static_cast<std::streamoff>(offset));
  state_->offset = offset;
}

bool TfRecordReader::Next(std::string* payload) {
  State& s = *state_;
  if (s.offset == s.size) return false;
  const uint64_t left = s.size - s.offset;
  char head[12];
  OCTET_REQUIRE(left >= sizeof(head) && s.file.read(head, sizeof(head)),
                "TFRecord file {}: ends within the head of the record at offset {}; the file is truncated", s.path,
                s.offset);
  OCTET_REQUIRE(MaskedCrc32c(head, 8) == LittleEndian<uint32_t>(head + 8),
                "TFRecord file {}: bad CRC of the record length at offset {}; the file is damaged, or no TFRecord file "
                "(compressed ones are not read)",
                s.path, s.offset);
  const uint64_t length = LittleEndian<uint64_t>(head);
  OCTET_REQUIRE(left - sizeof(head) >= 4 && length <= left - sizeof(head) - 4,
                "TFRecord file {}: ends within the record at offset {} ({} bytes long); the file is truncated", s.path,
                s.offset, length);
  payload->resize(length);
  char tail[4];
  OCTET_REQUIRE(s.file.read(payload->data(), static_cast<std::streamsize>(length)) && s.file.read(tail, sizeof(tail)),
                "TFRecord file {}: cannot be read at offset {}", s.path, s.offset);
  OCTET_REQUIRE(MaskedCrc32c(payload->data(), length) == LittleEndian<uint32_t>(tail),
                "TFRecord file {}: bad CRC of the record at offset {}; the file is damaged: make it again with "
                "`octet efficientdet dataset_convert`",
                s.path, s.offset);
  s.offset += sizeof(head) + length + sizeof(tail);
  return true;
}

}  // namespace octet

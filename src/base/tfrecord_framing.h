// The framing of TFRecord files and TensorBoard event files: per record a u64 length, the masked CRC32C of these 8
// bytes, the payload, and the masked CRC32C of the payload, all little endian (tensorflow/core/lib/io/record_writer.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace octet {

// CRC-32C (Castagnoli), with the CPU's instruction where there is one. `crc` continues an earlier result.
uint32_t Crc32c(const void* data, size_t size, uint32_t crc = 0);
// rotate right by 15, plus 0xa282ead8
uint32_t MaskedCrc32c(const void* data, size_t size);

// Appends one framed record to `out`.
void AppendTfRecord(std::string_view payload, std::string* out);

// Reads the records of one file from front to back. Every error is a user Error that names the file and the offset of
// the record it is in: bad length CRC, bad data CRC, a file that ends within a record.
class TfRecordReader {
 public:
  explicit TfRecordReader(const std::string& path);
  ~TfRecordReader();
  TfRecordReader(const TfRecordReader&) = delete;
  TfRecordReader& operator=(const TfRecordReader&) = delete;

  // False at the end of the file.
  bool Next(std::string* payload);
  // Where the record that Next() will read begins, in bytes.
  uint64_t offset() const;
  // Continues at a record's beginning.
  void Seek(uint64_t offset);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octet

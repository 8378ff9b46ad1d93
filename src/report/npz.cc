#include "report/npz.h"

#include <zlib.h>

#include "base/error.h"
#include "base/files.h"
#include "report/npy.h"

namespace octet::report {
namespace {

class ZipReader {
 public:
  ZipReader(const std::string& bytes, const std::string& path) : path_(path), zip_(bytes) {}

  // Through the central directory at the end of the file.
  std::map<std::string, Tensor> Members() const {
    const size_t end = zip_.rfind("PK\5\6");
    OCTET_REQUIRE(end != std::string::npos, "'{}' is no .npz file, or cut off", path_);
    std::map<std::string, Tensor> members;
    for (size_t at = Little(end + 16, 4); at + 46 <= zip_.size() && zip_.compare(at, 4, "PK\1\2") == 0;) {
      const size_t name_size = Little(at + 28, 2);
      const std::string name = Slice(at + 46, name_size);
      const std::string bytes = Member(Little(at + 42, 4), Little(at + 10, 2), Little(at + 20, 4), Little(at + 24, 4));
      members[name.substr(0, name.rfind(".npy"))] = ParseNpy(bytes, path_ + ":" + name);
      at += 46 + name_size + Little(at + 30, 2) + Little(at + 32, 2);
    }
    return members;
  }

 private:
  size_t Little(size_t at, int count) const {
    OCTET_REQUIRE(at + count <= zip_.size(), "'{}' is cut off", path_);
    size_t value = 0;
    for (int i = count - 1; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(zip_[at + i]);
    return value;
  }
  std::string Slice(size_t at, size_t size) const {
    OCTET_REQUIRE(at <= zip_.size() && size <= zip_.size() - at, "'{}' is cut off", path_);
    return zip_.substr(at, size);
  }
  std::string Member(size_t local, size_t method, size_t packed, size_t size) const {
    const std::string data = Slice(local + 30 + Little(local + 26, 2) + Little(local + 28, 2), packed);
    if (method == 0) return data;
    OCTET_REQUIRE(method == 8 && size < (size_t{1} << 31), "'{}': a member's compression is not supported", path_);
    // Deflate makes at most 1032 bytes of one: a damaged size asks for no memory.
    OCTET_REQUIRE(size / 1032 <= packed, "'{}' is damaged: {} bytes cannot unpack to {}", path_, packed, size);
    std::string bytes(size, '\0');
    z_stream stream{};
    OCTET_CHECK(inflateInit2(&stream, -15) == Z_OK, "zlib");
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
    stream.avail_out = static_cast<uInt>(size);
    const int status = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    OCTET_REQUIRE(status == Z_STREAM_END && stream.avail_out == 0, "'{}' is damaged", path_);
    return bytes;
  }

  const std::string& path_;
  const std::string& zip_;
};

}  // namespace

std::map<std::string, Tensor> ReadNpz(const std::string& path) {
  return ParseNpz(ReadFile(path, ".npz file"), path);
}

std::map<std::string, Tensor> ParseNpz(const std::string& bytes, const std::string& path) {
  return ZipReader(bytes, path).Members();
}

}  // namespace octet::report

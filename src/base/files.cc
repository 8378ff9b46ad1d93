#include "base/files.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace octet {
namespace fs = std::filesystem;

std::string ReadFile(const std::string& path, std::string_view what) {
  std::error_code ec;
  OCTET_REQUIRE(fs::exists(path, ec), "{} '{}' does not exist", what, path);
  OCTET_REQUIRE(!fs::is_directory(path, ec), "{} '{}' is a folder; expected a file", what, path);
  std::ifstream in(path, std::ios::binary);
  OCTET_REQUIRE(in.good(), "cannot open {} '{}': {}", what, path, std::strerror(errno));
  constexpr size_t kBlock = 1 << 20;
  std::string bytes;
  const uintmax_t size = fs::file_size(path, ec);  // a hint: a pipe has none
  if (!ec) bytes.reserve(size + kBlock);
  while (in.good()) {
    const size_t at = bytes.size();
    bytes.resize(at + kBlock);
    in.read(&bytes[at], kBlock);
    bytes.resize(at + static_cast<size_t>(in.gcount()));
  }
  OCTET_REQUIRE(!in.bad(), "cannot read {} '{}': {}", what, path, std::strerror(errno));
  return bytes;
}

namespace {

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& target)
      : path_(fmt::format("{}.tmp.{}", target, static_cast<long>(::getpid()))) {}
  ~TemporaryFile() {
    if (!kept_) ::unlink(path_.c_str());
  }
  const std::string& path() const { return path_; }
  void RenameTo(const std::string& target) {
    OCTET_REQUIRE(std::rename(path_.c_str(), target.c_str()) == 0, "cannot write '{}': {}; the old file is kept",
                  target, std::strerror(errno));
    kept_ = true;
  }

 private:
  std::string path_;
  bool kept_ = false;
};

void MakeParent(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty()) MakeDirectories(parent.string());
}

void SyncFile(const std::string& path, const std::string& target) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  const bool ok = fd >= 0 && ::fsync(fd) == 0;
  const int err = errno;
  if (fd >= 0) ::close(fd);
  OCTET_REQUIRE(ok, "cannot write '{}': {}; the old file is kept", target, std::strerror(err));
}

}  // namespace

void WriteFileAtomic(const std::string& path, std::string_view bytes) {
  WriteFileAtomicWith(path, [&](const std::string& temporary) {
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    OCTET_REQUIRE(fd >= 0, "cannot write '{}': {}", path, std::strerror(errno));
    size_t done = 0;
    int err = 0;
    while (done < bytes.size() && err == 0) {
      const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno != EINTR) err = errno;
      if (n > 0) done += static_cast<size_t>(n);
    }
    if (::close(fd) != 0 && err == 0) err = errno;
    OCTET_REQUIRE(err == 0, "cannot write '{}': {}; the old file, if any, is kept", path, std::strerror(err));
  });
}

void WriteFileAtomicWith(const std::string& path, const std::function<void(const std::string&)>& fill) {
  MakeParent(path);
  TemporaryFile temporary(path);
  fill(temporary.path());
  SyncFile(temporary.path(), path);
  temporary.RenameTo(path);
}

void AppendLine(const std::string& path, std::string_view line) {
  MakeParent(path);
  const std::string text = std::string(line) + "\n";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  OCTET_REQUIRE(fd >= 0, "cannot append to '{}': {}", path, std::strerror(errno));
  const ssize_t n = ::write(fd, text.data(), text.size());
  const int err = errno;
  ::close(fd);
  OCTET_REQUIRE(n == static_cast<ssize_t>(text.size()), "cannot append to '{}': {}", path,
                n < 0 ? std::strerror(err) : "the disk is full");
}

bool FileExists(const std::string& path) {
  std::error_code ec;
  return fs::is_regular_file(path, ec);
}

bool IsDirectory(const std::string& path) {
  std::error_code ec;
  return fs::is_directory(path, ec);
}

std::vector<std::string> MatchingFiles(const std::string& pattern) {
  std::vector<std::string> files;
  glob_t found;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  ::globfree(&found);
  return files;
}

void MakeDirectories(const std::string& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  OCTET_REQUIRE(!ec, "cannot make folder '{}': {}", path, ec.message());
}

}  // namespace octet

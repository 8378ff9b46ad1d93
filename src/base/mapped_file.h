// A file's bytes as memory: nothing is copied, and what is not read is not loaded.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace octet {

class MappedFile {
 public:
  // The whole file, read-only. What cannot be mapped (a pipe) is read. `what` names the kind of file in the error.
  // Throws a user Error that names the path when it does not exist or cannot be read. The file must not be made
  // shorter while it is mapped; replacing it by another under its name, as octet writes files, is fine.
  static std::shared_ptr<const MappedFile> Open(const std::string& path, std::string_view what = "file");
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const char* data() const { return data_; }
  size_t size() const { return size_; }
  // Gives the memory back until somebody reads the bytes again: for a file whose contents have been taken over.
  void Forget() const;

 private:
  MappedFile() = default;
  const char* data_ = "";
  size_t size_ = 0;
  bool mapped_ = false;
  std::string read_;  // what could not be mapped
};

}  // namespace octet

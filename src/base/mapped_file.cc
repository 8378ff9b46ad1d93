#include "base/mapped_file.h"

#include "base/error.h"
#include "base/files.h"

#ifdef __linux__
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace octet {

std::shared_ptr<const MappedFile> MappedFile::Open(const std::string& path, std::string_view what) {
  std::shared_ptr<MappedFile> file(new MappedFile);
#ifdef __linux__
  // A pipe must not be opened twice: what was written to it in between would be lost.
  struct stat status = {};
  const bool regular = ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
  const int descriptor = regular ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC) : -1;
  if (descriptor >= 0 && ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    const auto size = static_cast<size_t>(status.st_size);
    void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, descriptor, 0);
    if (memory != MAP_FAILED) {
      file->data_ = static_cast<const char*>(memory);
      file->size_ = size;
      file->mapped_ = true;
    }
  }
  if (descriptor >= 0) ::close(descriptor);
  if (file->mapped_) return file;
#endif
  file->read_ = ReadFile(path, what);  // also for its errors
  file->data_ = file->read_.data();
  file->size_ = file->read_.size();
  return file;
}

MappedFile::~MappedFile() {
#ifdef __linux__
  if (mapped_) ::munmap(const_cast<char*>(data_), size_);
#endif
}

void MappedFile::Forget() const {
#ifdef __linux__
  if (mapped_) ::madvise(const_cast<char*>(data_), size_, MADV_DONTNEED);
#endif
}

}  // namespace octet

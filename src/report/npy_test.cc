#include "report/npy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"

namespace octet::report {
namespace {

std::string Path(const char* name) {
  return ::testing::TempDir() + fmt::format("octet_npy_{}_{}", ::getpid(), name);
}

TEST(Npy, RoundTrip) {
  const Tensor tensors[] = {Tensor::From<float>({2, 3}, {1, 2.5f, -3, 4, 5, 6}), Tensor::From<int64_t>({3}, {1, -2, 3}),
                            Tensor::Scalar<float>(7), Tensor(DType::kU8, {0, 4}),
                            Tensor::From<int8_t>({1, 1, 2}, {-128, 127})};
  for (const Tensor& t : tensors) {
    WriteNpy(Path("a.npy"), t);
    EXPECT_EQ(ReadNpy(Path("a.npy")), t) << ToString(t.shape());
  }
}

// What numpy itself writes for numpy.array([[1., 2.]], dtype='<f4').
TEST(Npy, BytesOfNumpy) {
  std::string bytes("\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", 68);
  bytes.resize(127, ' ');
  bytes += '\n';
  bytes += std::string("\0\0\x80?\0\0\0@", 8);
  WriteFileAtomic(Path("b.npy"), bytes);
  EXPECT_EQ(ReadNpy(Path("b.npy")), Tensor::From<float>({1, 2}, {1, 2}));
  WriteFileAtomic(Path("b.npy"), bytes.substr(0, 130));
  EXPECT_THROW(ReadNpy(Path("b.npy")), Error);
  WriteFileAtomic(Path("b.npy"), bytes.substr(0, 60));
  EXPECT_THROW(ReadNpy(Path("b.npy")), Error);
  WriteFileAtomic(Path("b.npy"), "text");
  EXPECT_THROW(ReadNpy(Path("b.npy")), Error);
}

}  // namespace
}  // namespace octet::report

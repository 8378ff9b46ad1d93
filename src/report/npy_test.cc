#include "report/npy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "report/npz.h"

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
  // Sizes that no memory has: an error before anything is allocated.
  for (const char* shape : {"(999999999999, 9, )", "(99999999999999, 9999999999999, )"}) {
    std::string huge("\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': ", 61);
    huge += shape + std::string(", }");
    huge.resize(128, ' ');
    EXPECT_THROW(ParseNpy(huge, "huge.npy"), Error) << shape;
  }
}

// An archive of one deflated member that claims 1 GiB.
TEST(Npz, SizesThatCannotBeAreErrors) {
  std::string zip = "local";
  zip.resize(35, '\0');  // head of the member: no name, no extra field
  zip += "xx";
  const size_t directory = zip.size();
  std::string entry("PK\1\2", 4);
  entry.resize(46, '\0');
  entry[10] = 8;     // deflate
  entry[20] = 2;     // packed
  entry[27] = 0x40;  // size
  entry[42] = 5;     // where
  std::string end("PK\5\6", 4);
  end.resize(22, '\0');
  end[16] = static_cast<char>(directory);
  try {
    ParseNpz(zip + entry + end, "huge.npz");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("2 bytes cannot unpack to 1073741824"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace octet::report

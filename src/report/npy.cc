#include "report/npy.h"

#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"

namespace octet::report {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);

struct Code {
  DType dtype;
  const char* text;
};
constexpr Code kCodes[] = {{DType::kF32, "<f4"}, {DType::kF64, "<f8"}, {DType::kS8, "|i1"},  {DType::kU8, "|u1"},
                           {DType::kS32, "<i4"}, {DType::kS64, "<i8"}, {DType::kBool, "|b1"}};

// The text after "'key': " in the header's Python dictionary, up to `end`.
std::string Field(const std::string& header, const std::string& key, char end, const std::string& path) {
  const size_t at = header.find("'" + key + "':");
  const size_t from = at == std::string::npos ? at : at + key.size() + 3;
  const size_t to = from == std::string::npos ? from : header.find(end, from);
  OCTET_REQUIRE(to != std::string::npos, "'{}': the .npy header has no '{}': {}", path, key, header);
  return std::string(Trim(header.substr(from, to - from)));
}

Shape ParseShape(const std::string& text, const std::string& path) {
  Shape shape;
  for (const std::string& part : Split(text.substr(text.find('(') + 1), ',')) {
    const std::string number(Trim(part));
    if (number.empty()) continue;
    OCTET_REQUIRE(number.size() < 16 && number.find_first_not_of("0123456789") == std::string::npos,
                  "'{}': the .npy header has the shape '{}'", path, text);
    shape.push_back(std::stoll(number));
  }
  return shape;
}

}  // namespace

void WriteNpy(const std::string& path, const Tensor& tensor) {
  OCTET_CHECK(tensor.defined(), "no tensor for '{}'", path);
  std::string shape;
  for (const int64_t d : tensor.shape()) shape += fmt::format("{},{}", d, tensor.rank() == 1 ? "" : " ");
  std::string descr;
  for (const Code& code : kCodes) {
    if (code.dtype == tensor.dtype()) descr = code.text;
  }
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  const size_t head = kMagic.size() + 4;
  header.append((64 - (head + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string bytes(kMagic);
  bytes += {1, 0, static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  bytes += header;
  bytes.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
  WriteFileAtomic(path, bytes);
}

Tensor ReadNpy(const std::string& path) {
  return ParseNpy(ReadFile(path, ".npy file"), path);
}

Tensor ParseNpy(const std::string& bytes, const std::string& path) {
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(bytes[i])); };
  OCTET_REQUIRE(bytes.size() >= 12 && StartsWith(bytes, kMagic), "'{}' is no .npy file", path);
  const bool wide = byte(6) >= 2;
  const size_t start = wide ? 12 : 10;
  const size_t length = byte(8) + (byte(9) << 8) + (wide ? (byte(10) << 16) + (byte(11) << 24) : 0);
  OCTET_REQUIRE(bytes.size() >= start + length, "'{}' is cut off in its header", path);
  const std::string header = bytes.substr(start, length);
  OCTET_REQUIRE(Field(header, "fortran_order", ',', path) == "False",
                "'{}' is in Fortran order; save numpy.ascontiguousarray(x)", path);
  const std::string descr = Field(header, "descr", ',', path);
  for (const Code& code : kCodes) {
    if (descr != fmt::format("'{}'", code.text)) continue;
    const Shape shape = ParseShape(Field(header, "shape", ')', path), path);
    const size_t data = bytes.size() - start - length;
    // Before the tensor is made: a damaged shape asks for no memory.
    OCTET_REQUIRE(data == static_cast<size_t>(NumElements(shape)) * SizeOf(code.dtype),
                  "'{}': {} bytes of data do not fit its shape {} of {}", path, data, ToString(shape),
                  NameOf(code.dtype));
    Tensor tensor(code.dtype, shape);
    if (data > 0) std::memcpy(tensor.mutable_raw(), bytes.data() + start + length, data);
    return tensor;
  }
  OCTET_FAIL("'{}': element type {}; expected one of <f4 <f8 |i1 |u1 <i4 <i8 |b1", path, descr);
}

}  // namespace octet::report

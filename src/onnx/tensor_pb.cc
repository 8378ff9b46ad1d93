// Every way in which ONNX stores a tensor: raw_data, the typed lists, and external files.
#include "onnx/tensor_pb.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "onnx/raw_model.h"

namespace octet::onnx {
namespace {

using Proto = ::onnx::TensorProto;

float FloatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// IEEE binary16, exactly.
float FloatOfHalf(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31;
  const uint32_t mantissa = half & 1023;
  if (exponent == 31) return FloatOfBits(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return FloatOfBits(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

int64_t ParseCount(const std::string& text, const std::string& where, const char* what) {
  try {
    size_t used = 0;
    const int64_t n = std::stoll(text, &used);
    if (used == text.size() && n >= 0) return n;
  } catch (const std::exception&) {
  }
  OCTET_FAIL("{}: the external data has the {} '{}'; expected a number of bytes", where, what, text);
}

std::string ExternalBytes(const Proto& proto, const std::string& where, const std::string& folder, size_t bytes) {
  std::string location;
  int64_t offset = 0;
  int64_t length = static_cast<int64_t>(bytes);
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = ParseCount(entry.value(), where, "offset");
    if (entry.key() == "length") length = ParseCount(entry.value(), where, "length");
  }
  namespace fs = std::filesystem;
  const fs::path relative = fs::path(location).lexically_normal();
  OCTET_REQUIRE(!location.empty() && relative.is_relative() && *relative.begin() != "..",
                "{}: external data at '{}'; expected a file beside the .onnx file", where, location);
  const std::string path = (fs::path(folder) / relative).string();
  std::ifstream in(path, std::ios::binary);
  OCTET_REQUIRE(in.good() && FileExists(path),
                "{}: its data is in '{}', which cannot be read; keep the external data beside the .onnx file", where,
                path);
  OCTET_REQUIRE(length == static_cast<int64_t>(bytes), "{}: external data of {} bytes; the shape needs {}", where,
                length, bytes);
  // Before memory is asked for.
  std::error_code unknown;
  const uintmax_t there = fs::file_size(path, unknown);
  OCTET_REQUIRE(!unknown && offset >= 0 && static_cast<uintmax_t>(offset) <= there && bytes <= there - offset,
                "{}: '{}' ends too early; needed {} bytes at {}", where, path, bytes, offset);
  std::string data(bytes, '\0');
  in.seekg(offset);
  in.read(data.data(), static_cast<std::streamsize>(bytes));
  OCTET_REQUIRE(static_cast<size_t>(in.gcount()) == bytes, "{}: '{}' ends too early; needed {} bytes at {}", where,
                path, bytes, offset);
  return data;
}

template <typename T, typename List>
Tensor FromList(const List& list, const Shape& shape, const std::string& where) {
  // Before the tensor is made: a damaged shape asks for no memory.
  OCTET_REQUIRE(list.size() == NumElements(shape), "{}: {} values for the shape {}", where, list.size(),
                ToString(shape));
  Tensor tensor(DTypeOf<T>::value, shape);
  T* to = tensor.mutable_data<T>();
  for (int i = 0; i < list.size(); ++i) to[i] = static_cast<T>(list.Get(i));
  return tensor;
}

// `bits(i)` gives element i as a 16-bit pattern.
template <typename Bits>
Tensor FromHalves(int64_t code, const Shape& shape, const Bits& bits) {
  Tensor tensor(DType::kF32, shape);
  float* to = tensor.mutable_data<float>();
  for (int64_t i = 0; i < tensor.size(); ++i) {
    const uint16_t b = bits(i);
    to[i] = code == Proto::FLOAT16 ? FloatOfHalf(b) : FloatOfBits(static_cast<uint32_t>(b) << 16);
  }
  return tensor;
}

bool IsHalf(int64_t code) {
  return code == Proto::FLOAT16 || code == Proto::BFLOAT16;
}

Tensor FromRaw(int64_t code, DType dtype, const Shape& shape, const std::string& raw, const std::string& where) {
  const size_t bytes = static_cast<size_t>(NumElements(shape)) * (IsHalf(code) ? 2 : SizeOf(dtype));
  OCTET_REQUIRE(raw.size() == bytes, "{}: {} bytes of data; the shape {} needs {}", where, raw.size(), ToString(shape),
                bytes);
  if (IsHalf(code)) {
    return FromHalves(code, shape, [&](int64_t i) {
      return static_cast<uint16_t>(static_cast<uint8_t>(raw[2 * i]) | static_cast<uint8_t>(raw[2 * i + 1]) << 8);
    });
  }
  Tensor tensor(dtype, shape);
  if (bytes > 0) std::memcpy(tensor.mutable_raw(), raw.data(), bytes);
  return tensor;
}

}  // namespace

int64_t CodeOf(DType dtype) {
  switch (dtype) {
    case DType::kF32: return Proto::FLOAT;
    case DType::kF64: return Proto::DOUBLE;
    case DType::kS8: return Proto::INT8;
    case DType::kU8: return Proto::UINT8;
    case DType::kS32: return Proto::INT32;
    case DType::kS64: return Proto::INT64;
    case DType::kBool: return Proto::BOOL;
  }
  OCTET_CHECK(false, "element type {}", static_cast<int>(dtype));
}

DType DTypeOfCode(int64_t code, const std::string& where) {
  switch (code) {
    case Proto::FLOAT:
    case Proto::FLOAT16:
    case Proto::BFLOAT16: return DType::kF32;
    case Proto::DOUBLE: return DType::kF64;
    case Proto::INT8: return DType::kS8;
    case Proto::UINT8: return DType::kU8;
    case Proto::INT32: return DType::kS32;
    case Proto::INT64: return DType::kS64;
    case Proto::BOOL: return DType::kBool;
    default: break;
  }
  // Types of ONNX releases that are newer than the library that octet reads files with.
  static constexpr const char* kNewer[] = {"FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4",
                                           "INT4",         "FLOAT4E2M1",     "FLOAT8E8M0", "UINT2",          "INT2"};
  std::string name = fmt::format("number {}", code);
  if (code <= Proto::BFLOAT16 && Proto::DataType_IsValid(static_cast<int>(code))) {
    name = Proto::DataType_Name(static_cast<Proto::DataType>(code));
  } else if (code > Proto::BFLOAT16 && code - Proto::BFLOAT16 <= static_cast<int64_t>(std::size(kNewer))) {
    name = kNewer[code - Proto::BFLOAT16 - 1];
  }
  const bool codes = name.find("INT4") != std::string::npos || name.find("INT16") != std::string::npos ||
                     name.find("INT2") == 0 || name.find("UINT2") == 0 || name.find("FLOAT8") == 0 ||
                     name == "FLOAT4E2M1";
  OCTET_FAIL("{}: unsupported element type {}; octet has float, double, int8, uint8, int32, int64 and bool{}", where,
             name, codes ? ". It quantizes to 8 bits: export the float network, or one quantized to INT8" : "");
}

Tensor TensorFromProto(const Proto& proto, const std::string& where, const std::string& folder) {
  const int64_t code = proto.data_type();
  const DType dtype = DTypeOfCode(code, where);
  Shape shape(proto.dims().begin(), proto.dims().end());
  int64_t elements = 1;
  for (const int64_t d : shape) {
    OCTET_REQUIRE(d >= 0 && (d == 0 || elements <= (int64_t{1} << 40) / d), "{}: impossible shape {}", where,
                  ToString(shape));
    elements *= d;
  }
  OCTET_REQUIRE(!proto.has_segment(), "{}: tensors in segments are not supported", where);
  if (proto.data_location() == Proto::EXTERNAL) {
    const size_t bytes = static_cast<size_t>(elements) * (IsHalf(code) ? 2 : SizeOf(dtype));
    return FromRaw(code, dtype, shape, ExternalBytes(proto, where, folder, bytes), where);
  }
  if (proto.has_raw_data()) return FromRaw(code, dtype, shape, proto.raw_data(), where);
  if (IsHalf(code)) {
    OCTET_REQUIRE(proto.int32_data_size() == elements, "{}: {} values for the shape {}", where, proto.int32_data_size(),
                  ToString(shape));
    return FromHalves(code, shape,
                      [&](int64_t i) { return static_cast<uint16_t>(proto.int32_data(static_cast<int>(i))); });
  }
  switch (dtype) {
    case DType::kF32: return FromList<float>(proto.float_data(), shape, where);
    case DType::kF64: return FromList<double>(proto.double_data(), shape, where);
    case DType::kS8: return FromList<int8_t>(proto.int32_data(), shape, where);
    case DType::kU8: return FromList<uint8_t>(proto.int32_data(), shape, where);
    case DType::kS32: return FromList<int32_t>(proto.int32_data(), shape, where);
    case DType::kS64: return FromList<int64_t>(proto.int64_data(), shape, where);
    case DType::kBool: return FromList<bool>(proto.int32_data(), shape, where);
  }
  OCTET_CHECK(false, "element type {}", static_cast<int>(dtype));
}

void TensorToProto(const Tensor& tensor, const std::string& name, Proto* proto) {
  proto->set_name(name);
  proto->set_data_type(static_cast<int>(CodeOf(tensor.dtype())));
  for (const int64_t d : tensor.shape()) proto->add_dims(d);
  proto->set_raw_data(tensor.raw(), tensor.bytes());
}

Tensor ReadTensorProto(const std::string& path) {
  const std::string bytes = ReadFile(path, "tensor file");
  Proto proto;
  OCTET_REQUIRE(proto.ParseFromString(bytes), "'{}' is no ONNX tensor (broken protobuf)", path);
  return TensorFromProto(proto, path, std::filesystem::path(path).parent_path().string());
}

}  // namespace octet::onnx

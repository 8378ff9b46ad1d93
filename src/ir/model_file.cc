#include "ir/model_file.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"
#include "ir/text.h"

namespace octet::ir {
namespace {

constexpr char kMagic[] = "octetmdl";
constexpr uint32_t kVersion = 1;
enum Section : uint32_t { kGraphText = 1, kInfo = 2, kTensor = 3 };
enum Group : uint8_t { kConstant = 0, kState = 1 };

class Writer {
 public:
  template <typename T>
  void Put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void Raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  void Text(uint32_t kind, const std::string& text) {
    Put<uint32_t>(kind);
    Put<uint64_t>(text.size());
    bytes_ += text;
  }
  void TensorSection(Group group, const std::string& name, const Tensor& t) {
    Put<uint32_t>(kTensor);
    Put<uint64_t>(1 + 4 + name.size() + 2 + 8 * t.shape().size() + t.bytes());
    Put<uint8_t>(group);
    Put<uint32_t>(static_cast<uint32_t>(name.size()));
    bytes_ += name;
    Put<uint8_t>(static_cast<uint8_t>(t.dtype()));
    Put<uint8_t>(static_cast<uint8_t>(t.rank()));
    for (const int64_t d : t.shape()) Put<int64_t>(d);
    Raw(t.raw(), t.bytes());
  }
  std::string Take() {
    Put<uint64_t>(Fnv1a64(bytes_.data(), bytes_.size()));
    return std::move(bytes_);
  }

 private:
  std::string bytes_;
};

class Reader {
 public:
  Reader(const char* data, size_t size, const std::string& path) : data_(data), size_(size), path_(path) {}
  bool done() const { return at_ == size_; }
  [[noreturn]] void Fail(const std::string& what) const {
    OCTET_FAIL("model file '{}' is damaged: {} at byte {}; use another copy or train again", path_, what, at_);
  }
  const char* Take(uint64_t count) {
    if (count > size_ - at_) Fail(fmt::format("{} bytes expected, {} left", count, size_ - at_));
    const char* p = data_ + at_;
    at_ += count;
    return p;
  }
  template <typename T>
  T Get() {
    T value;
    std::memcpy(&value, Take(sizeof value), sizeof value);
    return value;
  }
  std::string Text(uint64_t count) {
    const char* p = Take(count);
    return {p, p + count};
  }
  Tensor TensorBody() {
    const auto dtype = Get<uint8_t>();
    if (dtype > static_cast<uint8_t>(DType::kBool)) Fail("unknown element type");
    const auto rank = Get<uint8_t>();
    Shape shape;
    uint64_t elements = 1;
    for (int i = 0; i < rank; ++i) {
      shape.push_back(Get<int64_t>());
      if (shape.back() < 0 || (shape.back() > 0 && elements > size_ / static_cast<uint64_t>(shape.back()))) {
        Fail("impossible tensor size");
      }
      elements *= static_cast<uint64_t>(shape.back());
    }
    const auto type = static_cast<DType>(dtype);
    const char* bytes = Take(elements * SizeOf(type));
    Tensor t(type, shape);
    std::memcpy(t.mutable_raw(), bytes, t.bytes());
    return t;
  }

 private:
  const char* data_;
  size_t size_;
  const std::string& path_;
  size_t at_ = 0;
};

}  // namespace

std::string SerializeModel(const Model& model) {
  Writer w;
  w.Raw(kMagic, 8);
  w.Put<uint32_t>(kVersion);
  w.Put<uint32_t>(0);
  w.Text(kGraphText, Print(model.graph));
  w.Text(kInfo, nlohmann::json(model.info).dump());
  for (const ValueId id : model.graph.constants()) {
    const Value& v = model.graph.value(id);
    w.TensorSection(kConstant, v.name, v.constant);
  }
  for (const auto& [name, tensor] : model.state) w.TensorSection(kState, name, tensor);
  return w.Take();
}

Model DeserializeModel(const std::string& bytes, const std::string& path) {
  OCTET_REQUIRE(bytes.size() >= 8 && std::memcmp(bytes.data(), kMagic, 8) == 0,
                "'{}' is not an octet model: it does not begin with '{}'", path, kMagic);
  OCTET_REQUIRE(bytes.size() >= 24, "model file '{}' is truncated: {} bytes", path, bytes.size());
  Reader r(bytes.data(), bytes.size() - 8, path);
  r.Take(8);
  const auto version = r.Get<uint32_t>();
  OCTET_REQUIRE(version == kVersion, "model file '{}' has version {}; this octet reads version {}", path, version,
                kVersion);
  uint64_t stored = 0;
  std::memcpy(&stored, bytes.data() + bytes.size() - 8, 8);
  OCTET_REQUIRE(stored == Fnv1a64(bytes.data(), bytes.size() - 8),
                "model file '{}' is truncated or damaged (checksum differs); use another copy or train again", path);
  r.Get<uint32_t>();
  Model model;
  std::string text;
  std::map<std::string, Tensor> constants;
  while (!r.done()) {
    const auto kind = r.Get<uint32_t>();
    const auto size = r.Get<uint64_t>();
    switch (kind) {
      case kGraphText: text = r.Text(size); break;
      case kInfo: {
        const std::string json = r.Text(size);
        try {
          model.info = nlohmann::json::parse(json).get<std::map<std::string, std::string>>();
        } catch (const nlohmann::json::exception& e) {
          r.Fail(e.what());
        }
        break;
      }
      case kTensor: {
        const auto group = r.Get<uint8_t>();
        const std::string name = r.Text(r.Get<uint32_t>());
        Tensor t = r.TensorBody();
        (group == kConstant ? constants : model.state)[name] = std::move(t);
        break;
      }
      default: r.Fail(fmt::format("unknown section {}", kind));
    }
  }
  model.graph = Parse(text, constants, false, path);
  return model;
}

void WriteModel(const std::string& path, const Model& model) {
  WriteFileAtomic(path, SerializeModel(model));
}

Model ReadModel(const std::string& path) {
  return DeserializeModel(ReadFile(path, "model file"), path);
}

}  // namespace octet::ir

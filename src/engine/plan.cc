#include "engine/plan.h"

#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "ir/text.h"

namespace octet::engine {
namespace {

constexpr char kMagic[] = "octeplan";
constexpr uint32_t kVersion = 2;
constexpr size_t kHeaderBytes = 16;
constexpr size_t kChecksumBytes = 8;
enum Section : uint32_t { kInfo = 1, kGraph = 2, kConstant = 3 };

class Writer {
 public:
  template <typename T>
  void Put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void Raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  void Text(const std::string& text) {
    Put<uint32_t>(static_cast<uint32_t>(text.size()));
    bytes_ += text;
  }
  void AddSection(Section kind, const Writer& payload) {
    Put<uint32_t>(kind);
    Put<uint64_t>(payload.bytes_.size());
    bytes_ += payload.bytes_;
  }
  std::string Take() { return std::move(bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Every read is checked against the end; sizes come from the file and are not trusted.
class Reader {
 public:
  Reader(const char* data, size_t size, const std::string& path) : data_(data), size_(size), path_(path) {}
  bool done() const { return at_ == size_; }
  [[noreturn]] void Fail(const std::string& what) const {
    OCTET_FAIL("plan '{}' is damaged: {}; build it again", path_, what);
  }
  const char* Take(uint64_t count) {
    if (count > size_ - at_) Fail(fmt::format("{} bytes expected at byte {}, {} left", count, at_, size_ - at_));
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
  std::string Text() {
    const auto size = Get<uint32_t>();
    return std::string(Take(size), size);
  }
  Reader Sub(uint64_t count) { return Reader(Take(count), count, path_); }
  size_t left() const { return size_ - at_; }

 private:
  const char* data_;
  size_t size_;
  const std::string& path_;
  size_t at_ = 0;
};

// The codes of weights are most of a plan; with an owner of the bytes they stay where they are.
Tensor ReadTensor(Reader& r, const std::shared_ptr<const void>& owner) {
  const auto dtype = r.Get<uint8_t>();
  if (dtype > static_cast<uint8_t>(DType::kBool)) r.Fail(fmt::format("element type {} is unknown", dtype));
  const auto rank = r.Get<uint8_t>();
  Shape shape;
  uint64_t elements = 1;
  for (int i = 0; i < rank; ++i) {
    const auto d = r.Get<int64_t>();
    if (d < 0 || (d > 0 && elements > r.left() / static_cast<uint64_t>(d)))
      r.Fail("a constant is larger than the file");
    elements *= static_cast<uint64_t>(d);
    shape.push_back(d);
  }
  const auto type = static_cast<DType>(dtype);
  const char* bytes = r.Take(elements * SizeOf(type));
  if (owner && SizeOf(type) == 1) return Tensor::Alias(type, shape, bytes, owner);
  Tensor tensor(type, shape);
  if (elements > 0) std::memcpy(tensor.mutable_raw(), bytes, tensor.bytes());
  return tensor;
}

}  // namespace

uint64_t PlanChecksum(const char* data, size_t size) {
  constexpr uint64_t kPrime = 0x100000001b3;
  uint64_t lanes[4] = {0xcbf29ce484222325, 1, 2, 3};
  size_t at = 0;
  for (; at + 32 <= size; at += 32) {
    for (int i = 0; i < 4; ++i) {
      uint64_t word;
      std::memcpy(&word, data + at + 8 * i, 8);
      lanes[i] = (lanes[i] ^ word) * kPrime;
      lanes[i] ^= lanes[i] >> 29;  // high bits come down, else the product alone would never mix them in
    }
  }
  uint64_t sum = size;
  for (const uint64_t lane : lanes) sum = (sum ^ lane) * kPrime;
  for (; at < size; ++at) sum = (sum ^ static_cast<uint8_t>(data[at])) * kPrime;
  return sum ^ sum >> 32;
}

namespace {

Plan Deserialize(const char* data, size_t size, const std::shared_ptr<const void>& owner, const std::string& path) {
  OCTET_REQUIRE(size >= 8 && std::memcmp(data, kMagic, 8) == 0,
                "'{}' is not an octet plan ({}); make one with the build command", path,
                size == 0 ? "the file is empty" : fmt::format("it does not begin with '{}'", kMagic));
  OCTET_REQUIRE(size >= kHeaderBytes + kChecksumBytes, "plan '{}' is truncated: only {} bytes; build it again", path,
                size);
  uint32_t version = 0;
  std::memcpy(&version, data + 8, 4);
  OCTET_REQUIRE(version == kVersion, "plan '{}' has version {}; this octet reads version {}: build it again", path,
                version, kVersion);
  uint64_t stored = 0;
  const size_t body = size - kChecksumBytes;
  std::memcpy(&stored, data + body, kChecksumBytes);
  OCTET_REQUIRE(stored == PlanChecksum(data, body),
                "plan '{}' is truncated or damaged (its checksum differs); build it again", path);
  Reader r(data, body, path);
  r.Take(kHeaderBytes);
  Plan plan;
  std::string text;
  bool have_graph = false;
  std::map<std::string, Tensor> constants;
  while (!r.done()) {
    const auto kind = r.Get<uint32_t>();
    Reader section = r.Sub(r.Get<uint64_t>());
    switch (kind) {
      case kInfo: {
        const auto count = section.Get<uint32_t>();
        for (uint32_t i = 0; i < count; ++i) {
          std::string key = section.Text();
          plan.info[key] = section.Text();
        }
        break;
      }
      case kGraph: {
        const size_t size = section.left();
        text.assign(section.Take(size), size);
        have_graph = true;
        break;
      }
      case kConstant: {
        std::string name = section.Text();
        constants[name] = ReadTensor(section, owner);
        break;
      }
      default: r.Fail(fmt::format("section kind {} is unknown", kind));
    }
    if (!section.done()) r.Fail(fmt::format("a section has {} bytes too many", section.left()));
  }
  if (!have_graph) r.Fail("it holds no graph");
  plan.graph = ir::Parse(text, constants, false, fmt::format("graph in plan '{}'", path));
  for (const ir::ValueId id : plan.graph.constants()) {
    const ir::Value& value = plan.graph.value(id);
    if (!(value.type == ir::TensorType{value.constant.dtype(), value.constant.shape()})) {
      r.Fail(fmt::format("constant '{}' has another type than the graph says", value.name));
    }
  }
  return plan;
}

}  // namespace

std::string SerializePlan(const Plan& plan) {
  Writer w;
  w.Raw(kMagic, 8);
  w.Put<uint32_t>(kVersion);
  w.Put<uint32_t>(0);
  Writer info;
  info.Put<uint32_t>(static_cast<uint32_t>(plan.info.size()));
  for (const auto& [key, value] : plan.info) {
    info.Text(key);
    info.Text(value);
  }
  w.AddSection(kInfo, info);
  Writer text;
  const std::string printed = ir::Print(plan.graph);
  text.Raw(printed.data(), printed.size());
  w.AddSection(kGraph, text);
  for (const ir::ValueId id : plan.graph.constants()) {
    const ir::Value& value = plan.graph.value(id);
    Writer constant;
    constant.Text(value.name);
    constant.Put<uint8_t>(static_cast<uint8_t>(value.constant.dtype()));
    constant.Put<uint8_t>(static_cast<uint8_t>(value.constant.rank()));
    for (const int64_t d : value.constant.shape()) constant.Put<int64_t>(d);
    constant.Raw(value.constant.raw(), value.constant.bytes());
    w.AddSection(kConstant, constant);
  }
  w.Put<uint64_t>(PlanChecksum(w.bytes().data(), w.bytes().size()));
  return w.Take();
}

Plan DeserializePlan(const std::string& bytes, const std::string& path) {
  return Deserialize(bytes.data(), bytes.size(), nullptr, path);
}

void WritePlan(const std::string& path, const Plan& plan) {
  WriteFileAtomic(path, SerializePlan(plan));
}

Plan ReadPlan(const std::string& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::Open(path, "plan");
  Plan plan = Deserialize(file->data(), file->size(), file, path);
  plan.file = file;
  return plan;
}

}  // namespace octet::engine

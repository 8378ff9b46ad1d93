#include "data/tf_example.h"

#include <cstring>

#include "base/error.h"

namespace octet::data {
namespace {

enum Wire { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

void PutVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

void PutField(int number, std::string_view content, std::string* out) {
  out->push_back(static_cast<char>(number << 3 | kLength));
  PutVarint(content.size(), out);
  out->append(content);
}

std::string EncodeFeature(const TfFeature& feature) {
  std::string list, out;
  if (!feature.bytes.empty()) {
    for (const std::string& value : feature.bytes) PutField(1, value, &list);
    PutField(1, list, &out);
  } else if (!feature.floats.empty()) {
    static_assert(sizeof(float) == 4);
    std::string packed(feature.floats.size() * 4, '\0');
    std::memcpy(packed.data(), feature.floats.data(), packed.size());
    PutField(1, packed, &list);
    PutField(2, list, &out);
  } else if (!feature.ints.empty()) {
    std::string packed;
    for (const int64_t value : feature.ints) PutVarint(static_cast<uint64_t>(value), &packed);
    PutField(1, packed, &list);
    PutField(3, list, &out);
  }
  return out;
}

// Goes through the fields of one message.
class Fields {
 public:
  Fields(std::string_view bytes, const std::string& where) : rest_(bytes), where_(where) {}

  bool Next() {
    if (rest_.empty()) return false;
    const uint64_t key = Varint();
    number = static_cast<int>(key >> 3);
    wire = static_cast<int>(key & 7);
    switch (wire) {
      case kVarint: value = Varint(); break;
      case kFixed64: content = Take(8); break;
      case kLength: content = Take(Varint()); break;
      case kFixed32: content = Take(4); break;
      default: Fail();
    }
    return true;
  }
  uint64_t Varint() {
    uint64_t result = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(Take(1)[0]);
      result |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return result;
    }
    Fail();
  }
  bool empty() const { return rest_.empty(); }
  [[noreturn]] void Fail() const { OCTET_FAIL("{}: its content is no tf.train.Example", where_); }

  int number = 0;
  int wire = 0;
  uint64_t value = 0;
  std::string_view content;

 private:
  std::string_view Take(uint64_t size) {
    if (size > rest_.size()) Fail();
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
  const std::string& where_;
};

void DecodeFloats(std::string_view packed, const Fields& fields, std::vector<float>* out) {
  if (packed.size() % 4 != 0) fields.Fail();
  const size_t old = out->size();
  out->resize(old + packed.size() / 4);
  if (!packed.empty()) std::memcpy(out->data() + old, packed.data(), packed.size());
}

TfFeature DecodeFeature(std::string_view bytes, const std::string& where) {
  TfFeature feature;
  Fields outer(bytes, where);
  while (outer.Next()) {
    if (outer.wire != kLength) outer.Fail();
    Fields list(outer.content, where);
    while (list.Next()) {
      if (list.number != 1) continue;
      if (outer.number == 1) {
        if (list.wire != kLength) list.Fail();
        feature.bytes.emplace_back(list.content);
      } else if (outer.number == 2) {
        DecodeFloats(list.content, list, &feature.floats);
      } else if (outer.number == 3 && list.wire == kVarint) {
        feature.ints.push_back(static_cast<int64_t>(list.value));
      } else if (outer.number == 3) {
        Fields packed(list.content, where);
        while (!packed.empty()) feature.ints.push_back(static_cast<int64_t>(packed.Varint()));
      }
    }
  }
  return feature;
}

}  // namespace

std::string EncodeExample(const TfExample& example) {
  std::string features, out;
  for (const auto& [name, feature] : example) {
    std::string entry;
    PutField(1, name, &entry);
    PutField(2, EncodeFeature(feature), &entry);
    PutField(1, entry, &features);
  }
  PutField(1, features, &out);
  return out;
}

TfExample DecodeExample(std::string_view bytes, const std::string& where) {
  TfExample example;
  Fields outer(bytes, where);
  while (outer.Next()) {
    if (outer.number != 1) continue;
    if (outer.wire != kLength) outer.Fail();
    Fields features(outer.content, where);
    while (features.Next()) {
      if (features.number != 1 || features.wire != kLength) continue;
      std::string name;
      TfFeature feature;
      Fields entry(features.content, where);
      while (entry.Next()) {
        if (entry.wire != kLength) entry.Fail();
        if (entry.number == 1) name = std::string(entry.content);
        if (entry.number == 2) feature = DecodeFeature(entry.content, where);
      }
      example[name] = std::move(feature);
    }
  }
  return example;
}

}  // namespace octet::data

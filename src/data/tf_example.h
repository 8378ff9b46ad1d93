// tf.train.Example, the protocol buffer inside TFRecord files: named lists of bytes, floats or integers. The few fields
// are written and read by hand.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace octet::data {

// One of the three lists; an empty feature has none.
struct TfFeature {
  std::vector<std::string> bytes;
  std::vector<float> floats;
  std::vector<int64_t> ints;
};

inline TfFeature Bytes(std::vector<std::string> values) {
  return {std::move(values), {}, {}};
}
inline TfFeature Floats(std::vector<float> values) {
  return {{}, std::move(values), {}};
}
inline TfFeature Ints(std::vector<int64_t> values) {
  return {{}, {}, std::move(values)};
}

using TfExample = std::map<std::string, TfFeature>;

std::string EncodeExample(const TfExample& example);
// `where` names the record in the user Error on bytes that are no Example.
TfExample DecodeExample(std::string_view bytes, const std::string& where);

}  // namespace octet::data

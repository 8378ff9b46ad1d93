// The description of one spec key: what the loader checks, what the getters return, what docs/spec.md prints.
// A task (classification, efficientdet) is a table of these; see tables.h.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace octet::spec {

enum class Type { kBool, kInt, kFloat, kString, kInts, kFloats, kStrings };

bool IsList(Type type);

// A value of a key. monostate is YAML's null (TAO's None): "not given, and that is fine".
using Value = std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<int64_t>,
                           std::vector<double>, std::vector<std::string>>;

// What a value may be. For lists, the range and the choices hold for each element.
struct Limits {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;
  std::vector<std::string> choices;  // compared without case; the table's spelling is what getters return
  std::vector<int> counts;           // allowed lengths of a list; empty: any
};

Limits Any();
Limits AtLeast(double low);
Limits Above(double low);
Limits Between(double low, double high);     // both ends allowed
Limits InHalfOpen(double low, double high);  // [low, high)
Limits OneOf(std::vector<std::string> choices);
Limits Count(std::vector<int> counts);

enum class Use {
  kUsed,
  kIgnored,  // means nothing in octet: accepted, with a warning when it is set to something else than its default
};

inline constexpr std::string_view kMissing = "???";  // OmegaConf's mark for "must be supplied"

struct Key {
  std::string path;  // "train.lr_config.learning_rate"
  Type type;
  std::string default_text;  // in YAML; "null", or kMissing
  Limits limits;
  std::string doc;
  Use use = Use::kUsed;
};

// "an integer >= 1", "one of caffe, torch, tf", "a list of floats in [0, 1]", "true or false"
std::string Expected(const Key& key);

// The value of scalar text or of the elements of a list, checked against type and limits. Throws Error(kUser) that
// begins with `where` ("spec.yaml:12") and says what was expected.
Value ParseScalar(const Key& key, const std::string& text, const std::string& where);
Value ParseList(const Key& key, const std::vector<std::string>& elements, const std::string& where);

// As YAML on one line; Parse(Print(v)) == v.
std::string ToYamlText(const Value& value);

}  // namespace octet::spec

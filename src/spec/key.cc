#include "spec/key.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/strings.h"

namespace octet::spec {
namespace {

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string RangeText(const Limits& limits) {
  const bool low = std::isfinite(limits.low);
  const bool high = std::isfinite(limits.high);
  if (low && high) {
    return fmt::format(" in {}{:g}, {:g}{}", limits.low_open ? '(' : '[', limits.low, limits.high,
                       limits.high_open ? ')' : ']');
  }
  if (low) return fmt::format(" {} {:g}", limits.low_open ? ">" : ">=", limits.low);
  if (high) return fmt::format(" {} {:g}", limits.high_open ? "<" : "<=", limits.high);
  return "";
}

std::string ElementName(Type type, bool plural) {
  switch (type) {
    case Type::kBool: return plural ? "booleans" : "true or false";
    case Type::kInt:
    case Type::kInts: return plural ? "integers" : "an integer";
    case Type::kFloat:
    case Type::kFloats: return plural ? "floats" : "a float";
    case Type::kString:
    case Type::kStrings: return plural ? "strings" : "a string";
  }
  return "";
}

[[noreturn]] void FailType(const Key& key, const std::string& got, const std::string& where) {
  OCTET_FAIL("{}: {}: expected {}, got '{}'", where, key.path, Expected(key), got);
}

void CheckRange(const Key& key, double value, const std::string& text, const std::string& where) {
  const Limits& l = key.limits;
  const bool ok = (l.low_open ? value > l.low : value >= l.low) && (l.high_open ? value < l.high : value <= l.high);
  OCTET_REQUIRE(ok, "{}: {}: {} is out of range; expected {}", where, key.path, text, Expected(key));
}

std::string CheckChoice(const Key& key, const std::string& text, const std::string& where) {
  if (key.limits.choices.empty()) return text;
  for (const std::string& choice : key.limits.choices) {
    if (Lower(choice) == Lower(text)) return choice;
  }
  const bool word = key.type == Type::kString || key.type == Type::kStrings;
  const std::string nearest = word ? NearestName(text, key.limits.choices) : "";
  const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest);
  OCTET_FAIL("{}: {}: expected {}, got '{}'{}", where, key.path, Expected(key), text, hint);
}

int64_t ParseInt(const Key& key, const std::string& text, const std::string& where) {
  int64_t value = 0;
  const char* begin = text.c_str() + (!text.empty() && text[0] == '+' ? 1 : 0);
  const char* end = text.c_str() + text.size();
  const auto result = std::from_chars(begin, end, value);
  if (text.empty() || result.ec != std::errc() || result.ptr != end) FailType(key, text, where);
  CheckChoice(key, text, where);
  CheckRange(key, static_cast<double>(value), text, where);
  return value;
}

double ParseFloat(const Key& key, const std::string& text, const std::string& where) {
  // from_chars takes neither blanks, hexadecimal nor the locale's decimal comma; a leading '+' is YAML's.
  double value = 0;
  const char* begin = text.c_str() + (!text.empty() && text[0] == '+' ? 1 : 0);
  const char* end = text.c_str() + text.size();
  const auto result = std::from_chars(begin, end, value);
  if (text.empty() || result.ec != std::errc() || result.ptr != end || !std::isfinite(value)) {
    FailType(key, text, where);
  }
  CheckRange(key, value, text, where);
  return value;
}

bool ParseBool(const Key& key, const std::string& text, const std::string& where) {
  const std::string lower = Lower(text);
  if (lower == "true" || lower == "yes" || lower == "on" || lower == "1") return true;
  if (lower == "false" || lower == "no" || lower == "off" || lower == "0") return false;
  FailType(key, text, where);
}

std::string Quoted(const std::string& text) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '/' || c == '.' || c == '-' || c == '=';
  };
  static const char* const kWords[] = {"null", "true", "false", "yes", "no", "on", "off"};
  const std::string lower = Lower(text);
  const bool reserved = std::any_of(std::begin(kWords), std::end(kWords), [&](const char* w) { return lower == w; });
  const bool letter_first =
      !text.empty() && (std::isalpha(static_cast<unsigned char>(text[0])) || text[0] == '/' || text[0] == '_');
  if (!reserved && letter_first && std::all_of(text.begin(), text.end(), plain)) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string FloatText(double value) {
  const std::string text = fmt::format("{}", value);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

struct YamlPrinter {
  std::string operator()(std::monostate) const { return "null"; }
  std::string operator()(bool v) const { return v ? "true" : "false"; }
  std::string operator()(int64_t v) const { return fmt::format("{}", v); }
  std::string operator()(double v) const { return FloatText(v); }
  std::string operator()(const std::string& v) const { return Quoted(v); }
  template <typename T>
  std::string operator()(const std::vector<T>& v) const {
    std::vector<std::string> parts;
    for (const T& element : v) parts.push_back((*this)(element));
    return "[" + Join(parts, ", ") + "]";
  }
};

}  // namespace

bool IsList(Type type) {
  return type == Type::kInts || type == Type::kFloats || type == Type::kStrings;
}

Limits Any() {
  return {};
}

Limits AtLeast(double low) {
  Limits limits;
  limits.low = low;
  return limits;
}

Limits Above(double low) {
  Limits limits = AtLeast(low);
  limits.low_open = true;
  return limits;
}

Limits Between(double low, double high) {
  Limits limits = AtLeast(low);
  limits.high = high;
  return limits;
}

Limits InHalfOpen(double low, double high) {
  Limits limits = Between(low, high);
  limits.high_open = true;
  return limits;
}

Limits OneOf(std::vector<std::string> choices) {
  Limits limits;
  limits.choices = std::move(choices);
  return limits;
}

Limits Count(std::vector<int> counts) {
  Limits limits;
  limits.counts = std::move(counts);
  return limits;
}

std::string Expected(const Key& key) {
  const Limits& l = key.limits;
  if (!IsList(key.type)) {
    if (!l.choices.empty()) return "one of " + Join(l.choices, ", ");
    return ElementName(key.type, false) + RangeText(l);
  }
  std::string count;
  for (size_t i = 0; i < l.counts.size(); ++i) {
    count += fmt::format("{}{}", i == 0 ? "" : " or ", l.counts[i]);
  }
  if (!count.empty()) count += " ";
  if (!l.choices.empty()) return fmt::format("a list of {}values out of {}", count, Join(l.choices, ", "));
  return fmt::format("a list of {}{}{}", count, ElementName(key.type, true), RangeText(l));
}

Value ParseScalar(const Key& key, const std::string& text, const std::string& where) {
  switch (key.type) {
    case Type::kBool: return ParseBool(key, text, where);
    case Type::kInt: return ParseInt(key, text, where);
    case Type::kFloat: return ParseFloat(key, text, where);
    case Type::kString: return CheckChoice(key, text, where);
    default: FailType(key, text, where);
  }
}

Value ParseList(const Key& key, const std::vector<std::string>& elements, const std::string& where) {
  const std::string shown = "[" + Join(elements, ", ") + "]";
  if (!IsList(key.type)) FailType(key, shown, where);
  const std::vector<int>& counts = key.limits.counts;
  if (!counts.empty() && std::find(counts.begin(), counts.end(), static_cast<int>(elements.size())) == counts.end()) {
    FailType(key, shown, where);
  }
  if (key.type == Type::kInts) {
    std::vector<int64_t> values;
    for (const std::string& text : elements) values.push_back(ParseInt(key, text, where));
    return values;
  }
  if (key.type == Type::kFloats) {
    std::vector<double> values;
    for (const std::string& text : elements) values.push_back(ParseFloat(key, text, where));
    return values;
  }
  std::vector<std::string> values;
  for (const std::string& text : elements) values.push_back(CheckChoice(key, text, where));
  return values;
}

std::string ToYamlText(const Value& value) {
  return std::visit(YamlPrinter{}, value);
}

}  // namespace octet::spec

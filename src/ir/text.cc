#include "ir/text.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/error.h"

namespace octet::ir {
namespace {

constexpr int64_t kInlineElements = 8;

bool IsPlain(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '/' || c == '-';
}

std::string Quote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      default: out += c;
    }
  }
  return out + '"';
}

std::string PrintName(const std::string& name) {
  for (const char c : name) {
    if (!IsPlain(c)) return "%" + Quote(name);
  }
  return name.empty() ? "%\"\"" : "%" + name;
}

// Shortest text that reads back as the same float; always with a mark that tells it from an integer.
std::string PrintFloat(double value, bool single) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = single ? fmt::format("{}", static_cast<float>(value)) : fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string PrintElements(const Tensor& t) {
  std::string out = "[";
  const auto doubles = t.dtype() == DType::kF32 || t.dtype() == DType::kF64;
  const std::vector<double> f = doubles ? t.ToVector<double>() : std::vector<double>();
  const std::vector<int64_t> n = doubles ? std::vector<int64_t>() : t.ToVector<int64_t>();
  for (int64_t i = 0; i < t.size(); ++i) {
    if (i > 0) out += ',';
    out += doubles ? PrintFloat(f[i], t.dtype() == DType::kF32) : std::to_string(n[i]);
  }
  return out + "]";
}

template <typename T, typename F>
std::string PrintList(const std::vector<T>& items, F print) {
  std::string out = "[";
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ',';
    out += print(items[i]);
  }
  return out + "]";
}

struct AttrPrinter {
  std::string operator()(int64_t v) const { return std::to_string(v); }
  std::string operator()(float v) const { return PrintFloat(v, true); }
  std::string operator()(const std::string& v) const { return Quote(v); }
  std::string operator()(const std::vector<int64_t>& v) const {
    return PrintList(v, [](int64_t x) { return std::to_string(x); });
  }
  std::string operator()(const std::vector<float>& v) const {
    return "f" + PrintList(v, [](float x) { return PrintFloat(x, true); });
  }
  std::string operator()(const std::vector<std::string>& v) const { return "s" + PrintList(v, Quote); }
  std::string operator()(const Tensor& v) const {
    return "tensor " + ToString(TensorType{v.dtype(), v.shape()}) + PrintElements(v);
  }
};

}  // namespace

std::string PrintAttr(const Attr& attr) {
  return std::visit(AttrPrinter(), attr);
}

std::string Print(const Graph& graph) {
  std::string out = "graph " + Quote(graph.name()) + " {\n";
  for (const auto& [key, text] : graph.metadata()) out += "  meta " + Quote(key) + " = " + Quote(text) + "\n";
  const auto typed = [&](ValueId id) {
    const Value& v = graph.value(id);
    return PrintName(v.name) + ": " + ToString(v.type);
  };
  for (const ValueId id : graph.inputs()) out += "  input " + typed(id) + "\n";
  for (const ValueId id : graph.constants()) {
    const Tensor& t = graph.value(id).constant;
    out += "  const " + typed(id) + " = " + (t.size() <= kInlineElements ? PrintElements(t) : "blob") + "\n";
  }
  for (const NodeId id : graph.Order()) {
    const Node& node = graph.node(id);
    out += "  ";
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (i > 0) out += ", ";
      out += node.outputs[i] == kNoValue ? "_" : typed(node.outputs[i]);
    }
    out += " = " + node.op + "(";
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (i > 0) out += ", ";
      out += node.inputs[i] == kNoValue ? "_" : PrintName(graph.value(node.inputs[i]).name);
    }
    out += ")";
    if (!node.attrs.empty()) {
      out += " {";
      bool first = true;
      for (const auto& [key, attr] : node.attrs) {
        out += (first ? "" : ", ") + key + "=" + PrintAttr(attr);
        first = false;
      }
      out += "}";
    }
    out += " " + Quote(node.name) + "\n";
  }
  for (const ValueId id : graph.outputs()) out += "  output " + PrintName(graph.value(id).name) + "\n";
  return out + "}\n";
}

namespace {

class Parser {
 public:
  Parser(const std::string& text, const std::map<std::string, Tensor>& blobs, bool zero_blobs,
         const std::string& source)
      : text_(text), blobs_(blobs), zero_blobs_(zero_blobs), source_(source) {}

  Graph Run() {
    Word("graph");
    graph_.set_name(String());
    Expect('{');
    while (!Accept('}')) Statement();
    Skip();
    if (at_ != text_.size()) Fail("text after the closing brace");
    return std::move(graph_);
  }

 private:
  [[noreturn]] void Fail(const std::string& what) const {
    const auto line =
        1 + std::count(text_.begin(), text_.begin() + static_cast<long>(std::min(at_, text_.size())), '\n');
    OCTET_FAIL("{}:{}: {}", source_, line, what);
  }
  void Skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  char Peek() {
    Skip();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Accept(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  void Expect(char c) {
    if (!Accept(c)) Fail(fmt::format("expected '{}' before '{}'", c, text_.substr(std::min(at_, text_.size()), 12)));
  }
  std::string Identifier() {
    Skip();
    const size_t begin = at_;
    while (at_ < text_.size() && IsPlain(text_[at_])) ++at_;
    if (at_ == begin) Fail("expected a word");
    return text_.substr(begin, at_ - begin);
  }
  void Word(const std::string& word) {
    if (Identifier() != word) Fail("expected '" + word + "'");
  }
  std::string String() {
    Expect('"');
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      char c = text_[at_++];
      if (c == '\\' && at_ < text_.size()) {
        c = text_[at_++];
        if (c == 'n') c = '\n';
        if (c == 'r') c = '\r';
      }
      out += c;
    }
    if (at_ == text_.size()) Fail("unterminated string");
    ++at_;
    return out;
  }
  std::string Name() {
    Expect('%');
    return at_ < text_.size() && text_[at_] == '"' ? String() : Identifier();
  }
  std::string NumberText() {
    Skip();
    const size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '.' ||
                                  text_[at_] == '-' || text_[at_] == '+')) {
      ++at_;
    }
    if (at_ == begin) Fail("expected a number");
    return text_.substr(begin, at_ - begin);
  }
  static bool LooksFloat(const std::string& t) { return t.find_first_of(".en") != std::string::npos; }
  int64_t ToInt(const std::string& t) {
    int64_t v = 0;
    const auto [end, ec] = std::from_chars(t.data(), t.data() + t.size(), v);
    if (ec != std::errc() || end != t.data() + t.size()) Fail("'" + t + "' is not an integer");
    return v;
  }
  float ToFloat(const std::string& t) {
    char* end = nullptr;
    const float v = std::strtof(t.c_str(), &end);
    if (end != t.c_str() + t.size()) Fail("'" + t + "' is not a number");
    return v;
  }
  double ToDouble(const std::string& t) {
    char* end = nullptr;
    const double v = std::strtod(t.c_str(), &end);
    if (end != t.c_str() + t.size()) Fail("'" + t + "' is not a number");
    return v;
  }
  TensorType Type() {
    TensorType type;
    Skip();
    const size_t begin = at_;
    while (at_ < text_.size() && std::isalnum(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
    const std::string name = text_.substr(begin, at_ - begin);
    try {
      type.dtype = DTypeFromName(name);
    } catch (const Error& e) {
      Fail(e.what());
    }
    Expect('[');
    if (Accept(']')) return type;
    do {
      if (Accept('N')) {
        type.shape.push_back(kDynamic);
      } else {
        type.shape.push_back(ToInt(NumberText()));
        if (type.shape.back() < 0) Fail("negative size");
      }
    } while (Accept(','));
    Expect(']');
    return type;
  }
  template <typename F>
  void List(F item) {
    Expect('[');
    if (Accept(']')) return;
    do item();
    while (Accept(','));
    Expect(']');
  }
  Tensor Elements(const TensorType& type) {
    for (const int64_t d : type.shape) {
      if (d < 0) Fail("a constant cannot have a dynamic size");
    }
    std::vector<std::string> items;
    List([&] { items.push_back(NumberText()); });
    if (static_cast<int64_t>(items.size()) != NumElements(type.shape)) {
      Fail(fmt::format("{} elements for {}", items.size(), ToString(type)));
    }
    Tensor t(type.dtype, type.shape);
    for (size_t i = 0; i < items.size(); ++i) {
      switch (type.dtype) {
        case DType::kF32: t.mutable_data<float>()[i] = ToFloat(items[i]); break;
        case DType::kF64: t.mutable_data<double>()[i] = ToDouble(items[i]); break;
        case DType::kS8: t.mutable_data<int8_t>()[i] = static_cast<int8_t>(ToInt(items[i])); break;
        case DType::kU8: t.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(ToInt(items[i])); break;
        case DType::kS32: t.mutable_data<int32_t>()[i] = static_cast<int32_t>(ToInt(items[i])); break;
        case DType::kS64: t.mutable_data<int64_t>()[i] = ToInt(items[i]); break;
        case DType::kBool: t.mutable_data<bool>()[i] = ToInt(items[i]) != 0; break;
      }
    }
    return t;
  }
  Attr Attribute() {
    const char c = Peek();
    if (c == '"') return String();
    if (c == '[') {
      std::vector<int64_t> v;
      List([&] { v.push_back(ToInt(NumberText())); });
      return v;
    }
    if (c == 'f' && at_ + 1 < text_.size() && text_[at_ + 1] == '[') {
      ++at_;
      std::vector<float> v;
      List([&] { v.push_back(ToFloat(NumberText())); });
      return v;
    }
    if (c == 's' && at_ + 1 < text_.size() && text_[at_ + 1] == '[') {
      ++at_;
      std::vector<std::string> v;
      List([&] { v.push_back(String()); });
      return v;
    }
    if (text_.compare(at_, 7, "tensor ") == 0) {
      at_ += 7;
      return Elements(Type());
    }
    const std::string number = NumberText();
    if (LooksFloat(number)) return ToFloat(number);
    return ToInt(number);
  }
  ValueId Lookup(const std::string& name) {
    const ValueId id = graph_.Find(name);
    if (id == kNoValue) Fail("'%" + name + "' is not defined above");
    return id;
  }
  void Define(const std::string& name) {
    if (graph_.Find(name) != kNoValue) Fail("'%" + name + "' is defined twice");
  }
  void Statement() {
    if (Peek() == '%' || Peek() == '_') return NodeLine();
    const std::string word = Identifier();
    if (word == "meta") {
      const std::string key = String();
      Expect('=');
      graph_.metadata()[key] = String();
    } else if (word == "input") {
      const std::string name = Name();
      Define(name);
      Expect(':');
      graph_.AddInput(name, Type());
    } else if (word == "const") {
      Constant();
    } else if (word == "output") {
      graph_.MarkOutput(Lookup(Name()));
    } else {
      Fail("expected meta, input, const, output or a node, not '" + word + "'");
    }
  }
  void Constant() {
    const std::string name = Name();
    Define(name);
    Expect(':');
    const TensorType type = Type();
    Expect('=');
    if (Peek() == '[') {
      graph_.AddConstant(name, Elements(type));
      return;
    }
    Word("blob");
    const auto blob = blobs_.find(name);
    if (blob == blobs_.end()) {
      if (!zero_blobs_) Fail("no data for constant '%" + name + "'");
      graph_.AddConstant(name, Tensor(type.dtype, type.shape));
      return;
    }
    if (!(TensorType{blob->second.dtype(), blob->second.shape()} == type)) {
      Fail(fmt::format("constant '%{}' is {}, but its data is {}", name, ToString(type),
                       ToString(TensorType{blob->second.dtype(), blob->second.shape()})));
    }
    graph_.AddConstant(name, blob->second);
  }
  void NodeLine() {
    std::vector<std::string> names;
    std::vector<TensorType> types;
    do {
      if (Accept('_')) {
        names.emplace_back();
        types.emplace_back();
        continue;
      }
      names.push_back(Name());
      Define(names.back());
      Expect(':');
      types.push_back(Type());
    } while (Accept(','));
    Expect('=');
    const std::string op = Identifier();
    Expect('(');
    std::vector<ValueId> inputs;
    if (!Accept(')')) {
      do {
        inputs.push_back(Accept('_') ? kNoValue : Lookup(Name()));
      } while (Accept(','));
      Expect(')');
    }
    Attrs attrs;
    if (Accept('{')) {
      do {
        const std::string key = Identifier();
        Expect('=');
        attrs[key] = Attribute();
      } while (Accept(','));
      Expect('}');
    }
    const NodeId id = graph_.AddNode(op, String(), std::move(inputs), names, std::move(attrs));
    for (size_t i = 0; i < names.size(); ++i) {
      if (!names[i].empty()) graph_.set_type(graph_.node(id).outputs[i], types[i]);
    }
  }

  const std::string& text_;
  const std::map<std::string, Tensor>& blobs_;
  bool zero_blobs_;
  const std::string& source_;
  size_t at_ = 0;
  Graph graph_;
};

}  // namespace

Graph Parse(const std::string& text, const std::map<std::string, Tensor>& blobs, bool zero_blobs,
            const std::string& source) {
  return Parser(text, blobs, zero_blobs, source).Run();
}

}  // namespace octet::ir

#include "engine/session.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "engine/arena.h"
#include "engine/bind.h"
#include "ir/op_def.h"

namespace octet::engine {
namespace {

using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

// Kernels read whole vectors, up to this many bytes past a tensor.
constexpr int64_t kOverRead = 256;
constexpr int64_t kMostBytes = int64_t{64} << 30;  // for one tensor

}  // namespace

Session::Session(std::shared_ptr<const Network> network, ir::Graph graph, const ContextOptions& options,
                 std::shared_ptr<Team> team, const Session* host)
    : network_(std::move(network)), options_(options), graph_(std::move(graph)), team_(std::move(team)) {
  walk_ = [this](int member) { Walk(member); };
  PlaceValues();
  AllocateArena(host);
  FindDirectOutputs();
  for (const NodeId id : network_->order) steps_.push_back(BindNode(*this, id));
}

Place& Session::place(ValueId id) {
  const auto it = places_.find(id);
  OCTET_CHECK(it != places_.end(), "value {} has no place", id == kNoValue ? "(absent)" : graph_.value(id).name);
  return it->second;
}

void Session::PlaceValues() {
  const auto add = [&](ValueId id) {
    Place& p = places_[id];
    p.name = graph_.value(id).name;
    p.type = graph_.value(id).type;
    p.nchw = AsNchw(p.type.shape);
    p.codes = p.type.dtype == DType::kS8;
    const Node* producer = graph_.producer(id);
    // The image's few channels stay close together, so that a convolution over it reads rows of taps as one run.
    const bool narrow = producer && producer->op == "QQuantize" && p.nchw.c <= 4;
    p.view.pixel = narrow ? 4 : (p.nchw.c + 15) / 16 * 16;
  };
  for (const ValueId id : graph_.inputs()) add(id);
  for (const NodeId id : network_->order) {
    for (const ValueId out : graph_.node(id).outputs) {
      if (out == kNoValue) continue;
      add(out);
      computed_.push_back(out);
    }
  }
  const std::unordered_set<ValueId> channels_last = ChannelsLastValues(graph_);
  for (const ValueId id : channels_last) place(id).channels_last = true;
  views_ = FindViews(graph_, channels_last);
  for (const NodeId id : network_->order) {
    const Node& node = graph_.node(id);
    if (node.op != "QConv") continue;
    Place& x = place(node.input(0));
    const Border need = InputBorder(graph_, node);
    x.top = std::max(x.top, need.top);
    x.bottom = std::max(x.bottom, need.bottom);
    x.left = std::max(x.left, need.left);
    x.right = std::max(x.right, need.right);
  }
  for (auto& [id, p] : places_) {
    // A plan's sizes and pads are not to be believed: in double nothing overflows.
    const double image = (static_cast<double>(p.top) + static_cast<double>(p.nchw.h) + static_cast<double>(p.bottom)) *
                         (static_cast<double>(p.left) + static_cast<double>(p.nchw.w) + static_cast<double>(p.right));
    const double channels = static_cast<double>(p.nchw.c) + 16;
    OCTET_REQUIRE(static_cast<double>(p.nchw.n) * channels * image * 8 < kMostBytes,
                  "engine: '{}', {}, needs more than {} GiB", p.name, ir::ToString(p.type), kMostBytes >> 30);
    if (p.codes) {
      p.view.row = (p.left + p.nchw.w + p.right) * p.view.pixel;
      p.view.image = (p.top + p.nchw.h + p.bottom) * p.view.row;
      p.bytes = p.nchw.n * p.view.image;
    } else {
      p.bytes = NumElements(p.type.shape) * static_cast<int64_t>(SizeOf(p.type.dtype));
    }
  }
}

void Session::AllocateArena(const Session* host) {
  std::unordered_map<ValueId, Lifetime> lives;
  const int steps = static_cast<int>(network_->order.size());
  for (int s = 0; s < steps; ++s) {
    const Node& node = graph_.node(network_->order[s]);
    for (const ValueId out : node.outputs) {
      if (out != kNoValue) lives[out] = {place(out).bytes, s, s};
    }
    for (const ValueId in : node.inputs) {
      const auto it = in == kNoValue ? lives.end() : lives.find(in);
      if (it != lives.end()) it->second.last = s;
    }
  }
  for (const ValueId id : graph_.outputs()) {
    if (lives.count(id)) lives[id].last = steps;
  }
  const auto home = [&](ValueId id) {
    const auto it = views_.values.find(id);
    return it == views_.values.end() ? View{id, 0} : it->second;
  };
  for (const auto& [id, view] : views_.values) {
    Lifetime& whole = lives.at(view.home);
    whole.first = std::min(whole.first, lives.at(id).first);
    whole.last = std::max(whole.last, lives.at(id).last);
  }
  std::vector<ValueId> homes;
  std::vector<Lifetime> requests;
  for (const ValueId id : computed_) {
    if (views_.values.count(id) != 0) continue;
    homes.push_back(id);
    requests.push_back(lives[id]);
    if (options_.keep_intermediates) {
      requests.back().first = 0;
      requests.back().last = steps;
    }
  }
  const ArenaLayout layout = LayOutArena(requests);
  if (host != nullptr && host->arena_bytes_ >= layout.bytes) {
    arena_ = host->arena_;
  } else {
    arena_bytes_ = layout.bytes;
    arena_.reset(new std::byte[layout.bytes + kOverRead + 64]);  // not touched before a Run needs it
  }
  auto* base = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(arena_.get()) + 63) / 64 * 64);
  for (size_t i = 0; i < homes.size(); ++i) {
    Place& p = place(homes[i]);
    std::byte* at = base + layout.offsets[i];
    if (p.codes) {
      p.view.data = reinterpret_cast<uint8_t*>(at) + p.top * p.view.row + p.left * p.view.pixel;
    } else {
      p.dense = at;
    }
  }
  for (const ValueId id : computed_) {
    if (views_.values.count(id) != 0) place(id).dense = place(home(id).home).dense + home(id).offset;
  }
}

// Outputs that only convolutions write and only steps without work read.
void Session::FindDirectOutputs() {
  direct_.resize(graph_.outputs().size());
  if (options_.keep_intermediates) return;  // which are read after the Run
  const auto home = [&](ValueId id) {
    const auto it = views_.values.find(id);
    return it == views_.values.end() ? View{id, 0} : it->second;
  };
  for (size_t i = 0; i < direct_.size(); ++i) {
    const ValueId output = graph_.outputs()[i];
    if (graph_.producer(output) == nullptr || place(output).codes) continue;
    const ValueId whole = home(output).home;
    DirectOutput direct;
    direct.own = place(output).dense;
    bool fits = place(whole).bytes == place(output).bytes && place(output).bytes > 0;
    for (const ValueId id : computed_) {
      if (home(id).home != whole) continue;
      direct.places.push_back({&place(id), home(id).offset});
      const ir::NodeId producer = graph_.value(id).producer;
      fits = fits && (is_view(producer) || IsFloatConv(graph_, graph_.node(producer)));
      for (const NodeId reader : graph_.value(id).consumers) fits = fits && is_view(reader);
    }
    for (size_t k = 0; k < direct_.size(); ++k) {
      const ValueId other = graph_.outputs()[k];
      fits = fits && (k == i || graph_.producer(other) == nullptr || home(other).home != whole);
    }
    if (fits) direct_[i] = std::move(direct);
  }
}

// What each thread does in a Run.
void Session::Walk(int member) {
  using Clock = std::chrono::steady_clock;
  auto last = step_ms_ ? Clock::now() : Clock::time_point();
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    if (step.parallel) {
      step.run(member, team_->size());
    } else if (member == 0) {
      step.run(0, 1);
    }
    if (!team_->Meet()) return;
    if (step_ms_ && member == 0) {
      const auto now = Clock::now();
      (*step_ms_)[i] = std::chrono::duration<double, std::milli>(now - last).count();
      last = now;
    }
  }
}

void Session::SetInputs(const std::vector<const float*>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    place(graph_.inputs()[i]).dense = reinterpret_cast<std::byte*>(const_cast<float*>(inputs[i]));
  }
}

// Empty: all into the arena.
void Session::SetOutputs(const std::vector<float*>& outputs) {
  const auto overlap = [](const void* a, int64_t a_bytes, const void* b, int64_t b_bytes) {
    const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
    return x < y + static_cast<uintptr_t>(b_bytes) && y < x + static_cast<uintptr_t>(a_bytes);
  };
  const auto bytes = [&](ValueId id) {
    return NumElements(graph_.value(id).type.shape) * static_cast<int64_t>(sizeof(float));
  };
  for (size_t i = 0; i < direct_.size(); ++i) {
    DirectOutput& d = direct_[i];
    if (d.places.empty()) continue;
    d.given = !outputs.empty();
    const int64_t size = bytes(graph_.outputs()[i]);
    // A caller may use one buffer twice; then outputs are copied after all inputs were read.
    for (size_t k = 0; d.given && k < outputs.size(); ++k) {
      d.given = k == i || !overlap(outputs[i], size, outputs[k], bytes(graph_.outputs()[k]));
    }
    for (const ValueId input : graph_.inputs()) {
      d.given = d.given && !overlap(outputs[i], size, place(input).dense, bytes(input));
    }
    std::byte* to = d.given ? reinterpret_cast<std::byte*>(outputs[i]) : d.own;
    for (const auto& [p, offset] : d.places) p->dense = to + offset;
  }
}

void Session::Run(const std::vector<const float*>& inputs, const std::vector<float*>& outputs) {
  SetInputs(inputs);
  SetOutputs(outputs);
  team_->Run(walk_);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (direct_[i].given) continue;
    const ValueId id = graph_.outputs()[i];
    if (graph_.value(id).is_constant()) {
      std::memcpy(outputs[i], graph_.value(id).constant.raw(), graph_.value(id).constant.bytes());
    } else {
      std::memcpy(outputs[i], place(id).dense, place(id).bytes);
    }
  }
}

Tensor Session::ReadTensor(ValueId id) const {
  if (graph_.value(id).is_constant()) return graph_.value(id).constant;
  const Place& p = place(id);
  Tensor result(p.type.dtype, p.type.shape);
  if (p.codes) {
    ToNchw(p.view, result.mutable_data<int8_t>(), p.nchw.n, p.nchw.c, p.nchw.h, p.nchw.w);
  } else if (p.channels_last) {
    const auto* from = reinterpret_cast<const float*>(p.dense);
    const int64_t plane = p.nchw.h * p.nchw.w;
    for (int64_t i = 0; i < result.size(); ++i) {
      const int64_t image = i / (p.nchw.c * plane), c = i / plane % p.nchw.c;
      result.mutable_data<float>()[i] = from[(image * plane + i % plane) * p.nchw.c + c];
    }
  } else if (p.bytes > 0) {
    std::memcpy(result.mutable_raw(), p.dense, p.bytes);
  }
  return result;
}

void Session::WriteTensor(ValueId id, const Tensor& tensor) {
  Place& p = place(id);
  OCTET_CHECK(tensor.dtype() == p.type.dtype && tensor.shape() == p.type.shape, "'{}' should be {}, it is {}{}", p.name,
              ir::ToString(p.type), NameOf(tensor.dtype()), ToString(tensor.shape()));
  OCTET_CHECK(!p.channels_last, "'{}' is written by its own step only", p.name);
  if (p.codes) {
    FromNchw(tensor.data<int8_t>(), p.view, p.nchw.n, p.nchw.c, p.nchw.h, p.nchw.w);
  } else if (p.bytes > 0) {
    std::memcpy(p.dense, tensor.raw(), p.bytes);
  }
}

Tensor Session::Intermediate(const std::string& name) const {
  const ValueId id = graph_.Find(name);
  OCTET_REQUIRE(id != kNoValue && std::find(computed_.begin(), computed_.end(), id) != computed_.end(),
                "engine: graph '{}' computes no value named '{}'", graph_.name(), name);
  OCTET_CHECK(options_.keep_intermediates, "Intermediate needs a context with keep_intermediates");
  return ReadTensor(id);
}

std::vector<std::string> Session::intermediate_names() const {
  std::vector<std::string> names;
  for (const ValueId id : computed_) names.push_back(graph_.value(id).name);
  return names;
}

std::vector<std::string> Session::fallback_nodes() const {
  std::vector<std::string> names;
  for (const Step& step : steps_) {
    if (step.fallback) names.push_back(graph_.node(step.node).name);
  }
  return names;
}

std::vector<StepTime> Session::Profile(const std::vector<const float*>& inputs) {
  SetInputs(inputs);
  SetOutputs({});
  std::vector<double> ms(steps_.size());
  step_ms_ = &ms;
  try {
    team_->Run(walk_);
  } catch (...) {
    step_ms_ = nullptr;
    throw;
  }
  step_ms_ = nullptr;
  std::vector<StepTime> times;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Node& node = graph_.node(steps_[i].node);
    times.push_back({node.name, node.op, ms[i], steps_[i].macs, steps_[i].fallback});
  }
  return times;
}

}  // namespace octet::engine
